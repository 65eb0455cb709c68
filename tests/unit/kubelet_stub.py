"""An API server that gives logs as a kubelet does: it begins where the tail begins, leaves out what
is older than asked for, and stops at the limit of bytes."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from urllib.parse import parse_qs, urlsplit

from kubernetes import client

from activities.adapters.cluster import Cluster
from activities.adapters.kube_api import KubeApi
from tests.http_stub import Handler, serving


@dataclass
class Kubelet:
    """The lines of each pod's log, with their times in unix seconds, and what was asked."""

    logs: dict[str, list[tuple[float, str]]]
    asked: list[dict[str, str]] = field(default_factory=list)
    address: str = ""

    def cluster(self) -> Cluster:
        """A client of it."""
        return Cluster(KubeApi(client.Configuration(host=self.address)))

    def give(self, pod: str, query: dict[str, str]) -> bytes:
        """Return a log as it is asked for."""
        self.asked.append(query)
        lines = self.logs[pod]
        if "tailLines" in query:
            lines = lines[-int(query["tailLines"]) :]
        since = time.time() - float(query.get("sinceSeconds", "inf"))
        text = "".join(f"{_stamp(at)} {line}\n" for at, line in lines if at >= since)
        return text.encode()[: int(query["limitBytes"])]


def _stamp(at: float) -> str:
    return datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%dT%H:%M:%S.%f000Z")


def log_of(seconds: float, lines: int, text: str = "INFO all is well") -> list[tuple[float, str]]:
    """Lines of the last so many seconds, in equal distances."""
    now = time.time()
    return [(now - seconds * (lines - n) / lines, text) for n in range(lines)]


@contextmanager
def kubelet(logs: dict[str, list[tuple[float, str]]]) -> Iterator[Kubelet]:
    """Serve these logs by the names of their pods."""
    made = Kubelet(logs)

    class Served(Handler):
        def answer(self) -> None:
            asked = urlsplit(self.path)
            query = {key: values[0] for key, values in parse_qs(asked.query).items()}
            content = made.give(asked.path.split("/")[-2], query)
            self.say(200, content)

    with serving(Served) as made.address:
        yield made
