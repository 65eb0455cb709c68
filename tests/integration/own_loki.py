"""The real Loki, on a free port, and a collector that brings it the logs of pods."""

import json
import shutil
import tempfile
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx
import yaml

from devstack import build, ports
from devstack.layout import HOST
from devstack.process import Processes, Spec
from devstack.products import LOKI
from slipway.judgements import workload as objects
from slipway.plan import Loki
from tests.integration.cluster_world import ClusterWorld

TENANT = "teei"
_NAME = "loki"
_GRPC = "loki-grpc"
_SECONDS = 120.0


@dataclass
class OwnLoki:
    """A server of a test's own, which serves several tenants."""

    url: str

    def plan(self, **changes: object) -> Loki:
        """What a plan says of it."""
        return Loki.model_validate({"url": self.url, "tenant": TENANT, **changes})

    def push(
        self, labels: Mapping[str, str], lines: Iterable[tuple[int, str]], tenant: str = TENANT
    ) -> None:
        """Store lines (nanoseconds, text) of one stream."""
        values = [[str(at), text] for at, text in lines]
        answer = httpx.post(
            f"{self.url}/loki/api/v1/push",
            headers={"X-Scope-OrgID": tenant},
            json={"streams": [{"stream": dict(labels), "values": values}]},
            trust_env=False,
            timeout=30,
        )
        assert answer.status_code == 204, answer.text

    async def collect(self, place: ClusterWorld, *services: str, deaf_to: str = "") -> None:
        """Bring it what the pods of these services have written, as a collector would, but for
        one pod."""
        for name in services:
            work = place.workload(name)
            deployment = await place.cluster.get_deployment(work.namespace, work.deployment)
            for pod in await place.cluster.list_pods_of(deployment):
                if (pod_name := objects.name_of(pod)) == deaf_to:
                    continue
                lines = await place.cluster.pod_log(work.namespace, pod_name, work.container)
                labels = {"namespace": work.namespace, "pod": pod_name, "container": work.container}
                if lines:
                    self.push(labels, ((int(one.at * 1e9), one.text) for one in lines))


@contextmanager
def own_loki() -> Iterator[OwnLoki]:
    """A running server; what it has stored goes with it."""
    root = Path(tempfile.mkdtemp(prefix="slipway-loki-", dir="/var/tmp"))
    chosen = ports.choose([_NAME, _GRPC], {})
    file = root / "loki.yaml"
    file.write_text(yaml.safe_dump(_config(root, chosen)))
    program = str(build.ensure([LOKI])[_NAME])
    processes = Processes(root)
    processes.start(Spec(_NAME, (program, f"-config.file={file}"), cwd=root))
    url = f"http://{HOST}:{chosen[_NAME]}"
    try:
        processes.wait_ready(_NAME, lambda: _missing(url), _SECONDS)
        yield OwnLoki(url)
    finally:
        processes.stop(_NAME)
        shutil.rmtree(root, ignore_errors=True)


def _missing(url: str) -> str | None:
    """None once it takes lines and gives them: `/ready` alone waits longer than that."""
    server, at = OwnLoki(url), time.time_ns()
    try:
        server.push({"job": "probe"}, [(at, "a line")], tenant="probe")
        found = httpx.get(
            f"{url}/loki/api/v1/query_range",
            params={"query": '{job="probe"}', "limit": 1},
            headers={"X-Scope-OrgID": "probe"},
            trust_env=False,
            timeout=10,
        )
        return None if json.loads(found.content)["data"]["result"] else "it holds no line yet"
    except (httpx.HTTPError, AssertionError, ValueError, KeyError) as error:
        return str(error) or type(error).__name__


def _config(root: Path, chosen: Mapping[str, int]) -> dict[str, object]:
    return {
        "auth_enabled": True,
        "analytics": {"reporting_enabled": False},
        "server": {
            "http_listen_address": HOST,
            "http_listen_port": chosen[_NAME],
            "grpc_listen_address": HOST,
            "grpc_listen_port": chosen[_GRPC],
            "log_level": "warn",
        },
        "common": {
            "instance_addr": HOST,
            "path_prefix": str(root / "data"),
            "replication_factor": 1,
            "ring": {"kvstore": {"store": "inmemory"}},
            "storage": {
                "filesystem": {
                    "chunks_directory": str(root / "data" / "chunks"),
                    "rules_directory": str(root / "data" / "rules"),
                }
            },
        },
        # tests store in a moment what production writes in a day
        "limits_config": {
            "ingestion_rate_mb": 64,
            "ingestion_burst_size_mb": 64,
            "per_stream_rate_limit": "64MB",
            "per_stream_rate_limit_burst": "64MB",
        },
        "schema_config": {
            "configs": [
                {
                    "from": "2024-01-01",
                    "store": "tsdb",
                    "object_store": "filesystem",
                    "schema": "v13",
                    "index": {"prefix": "index_", "period": "24h"},
                }
            ]
        },
    }
