"""A proxy before the real API server that spoils single replies: another status, a reply that comes
late, is cut off, is no JSON, or never comes although the request took effect."""

import json
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import httpx
from kubernetes import client, config

from activities.adapters.cluster import Cluster
from activities.adapters.kube_api import KubeApi
from devstack.stack import Stack
from devstack.world import kube
from tests.http_stub import Handler, serving

LOST, CUT, GARBAGE = "lost", "cut", "garbage"


@dataclass
class Spoil:
    """What becomes of the next `times` requests of a method to a path that ends in a text."""

    method: str
    path: str
    how: int | float | str
    """A status instead of asking the server; seconds that its reply comes late; LOST, CUT or
    GARBAGE after the server has done what was asked."""
    times: int = 1
    said: str = "spoilt by the test"
    met: int = 0


@dataclass
class Proxy:
    """What is to be spoilt, and how to reach the server through it."""

    stack: Stack
    address: str = ""
    spoils: list[Spoil] = field(default_factory=list)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def cluster(self) -> Cluster:
        """slipway's own client, led through the proxy."""
        configuration = client.Configuration()
        config.load_kube_config(
            self.stack.kube_slipway_kubeconfig, client_configuration=configuration
        )
        configuration.refresh_api_key_hook = None  # it would lead back to the server
        configuration.host = self.address
        return Cluster(KubeApi(configuration))

    def spoil(self, method: str, path: str, how: float | str, **more: Any) -> Spoil:
        """Spoil the next requests to a path."""
        spoil = Spoil(method, path, how, **more)
        with self.lock:
            self.spoils.append(spoil)
        return spoil

    def take(self, method: str, path: str) -> Spoil | None:
        """Return what this request meets."""
        with self.lock:
            for one in self.spoils:
                if one.met < one.times and one.method == method and path.endswith(one.path):
                    one.met += 1
                    return one
        return None


@contextmanager
def proxy(stack: Stack) -> Iterator[Proxy]:
    """Serve the proxy on a free port."""
    made = Proxy(stack)
    settings = kube.settings(stack)
    settings["headers"] = {}  # each request carries its own token
    upstream = httpx.Client(**settings)

    class Served(Handler):
        def answer(self) -> None:
            length = int(self.headers.get("Content-Length") or 0)
            body = self.rfile.read(length)
            spoil = made.take(self.command, self.path)
            if spoil is not None and isinstance(spoil.how, int):
                self._reply(spoil.how, _status(spoil.how, spoil.said))
                return
            kept = ("authorization", "content-type", "accept")
            headers = {key: value for key, value in self.headers.items() if key.lower() in kept}
            answer = upstream.request(self.command, self.path, content=body, headers=headers)
            content = answer.content
            if spoil is not None:
                if spoil.how == LOST:
                    self.close_connection = True
                    return
                if isinstance(spoil.how, float):
                    time.sleep(spoil.how)  # the slow reply itself, in the proxy's own thread
                content = b"<html>busy</html>" if spoil.how == GARBAGE else content
            cut = spoil is not None and spoil.how == CUT
            self._reply(answer.status_code, content, cut=cut)

        def _reply(self, status: int, content: bytes, *, cut: bool = False) -> None:
            try:
                self.send_response(status)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(content)))
                self.send_header("Connection", "close")
                self.end_headers()
                self.wfile.write(content[: len(content) // 2] if cut else content)
                self.close_connection = True
            except OSError:  # who asked did not wait
                return

    try:
        with serving(Served) as made.address:
            yield made
    finally:
        upstream.close()


def _status(code: int, said: str) -> bytes:
    return json.dumps(
        {"kind": "Status", "status": "Failure", "code": code, "message": said}
    ).encode()
