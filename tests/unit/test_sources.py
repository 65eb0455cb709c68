"""What could not be read says so itself: it is not taken for something that was seen."""

import asyncio
import socket
import time
from typing import Any

from kubernetes import client

from activities.adapters.cluster import Cluster
from activities.adapters.kube_api import KubeApi
from activities.adapters.loki import Loki
from activities.adapters.prometheus import Prometheus
from activities.log_source import LogSource
from activities.sources import Sources
from slipway.judgements.counters import Series, Traffic, Unreadable
from slipway.judgements.window import ServiceRead, judge_now
from slipway.judgements.workload import HASH_LABEL, Raw
from slipway.messages.watch import Mark, WatchSlice
from slipway.verdicts import Kind
from starter.loading import load_plan
from tests.unit.evidence_set import ROOT
from tests.unit.watch_slice import watch_slice


def test_traffic_of_pods_that_nobody_could_list_is_not_a_service_without_pods() -> None:
    with socket.socket() as taken:  # bound, and nobody listens
        taken.bind(("127.0.0.1", 0))
        host = f"http://127.0.0.1:{taken.getsockname()[1]}"
        api = KubeApi(client.Configuration(host=host))
        cluster = Cluster(api)
        sources = Sources(cluster, Prometheus(), LogSource(cluster, Loki()), watch_slice())

        async def look() -> None:
            await sources.look_at_pods()
            await sources.read_traffic(0.0)

        asyncio.run(look())
        api.close()

    told = sources.traffic["api-gateway"]
    assert isinstance(told, Unreadable)
    assert "Kubernetes API" in told.because
    assert "ReplicaSet" not in told.because


def _pods(*names: str) -> list[Raw]:
    return [
        {
            "metadata": {
                "name": name,
                "namespace": "production",
                "labels": {HASH_LABEL: "5f8dbd7c9"},
                "creationTimestamp": "2026-01-01T00:00:00Z",
            },
            "status": {"conditions": [{"type": "Ready", "status": "True"}]},
        }
        for name in names
    ]


class _Held(Prometheus):
    """Metrics of two pods, which fail from the window's beginning; or of none."""

    def __init__(self, *names: str) -> None:
        super().__init__()
        self.names = names

    async def samples(self, *_: Any, **__: Any) -> list[Series] | Unreadable:
        now = time.time()
        times = [now - 60 + 5 * number for number in range(13)]
        return [
            Series(
                {"pod": name, "code": "500"}, tuple((at, 50.0 * n) for n, at in enumerate(times))
            )
            for name in self.names
        ] or Unreadable("no such series", empty=True)


def _read(request: WatchSlice, held: _Held, *pods: str) -> Sources:
    cluster = Cluster(KubeApi(client.Configuration(host="http://127.0.0.1:1")))
    logs = LogSource(cluster, Loki())
    sources = Sources(cluster, held, logs, request)
    sources.pods = _pods(*pods)
    asyncio.run(sources.read_traffic(time.time() - 61))
    return sources


def test_what_was_read_of_the_others_is_kept_when_a_pod_cannot_be_read() -> None:
    names = [f"api-gateway-5f8dbd7c9-{letter * 5}" for letter in "bcd"]
    request = watch_slice()
    sources = _read(request, _Held(*names[:2]), *names)
    traffic = sources.traffic["api-gateway"]
    assert isinstance(traffic, Traffic)
    assert traffic.failures == traffic.requests == 2 * 600
    assert names[2] in traffic.gap
    assert sources.summary().endswith("0 services readable")
    mark = Mark(began=time.time() - 61)
    read = ServiceRead(request.watched[0], [], traffic)
    (verdict,) = judge_now(read, request, mark)
    assert verdict.kind is Kind.ROLLBACK


def test_only_a_service_of_logs_goes_without_counters() -> None:
    request = watch_slice()
    plan = load_plan(ROOT / "plans" / "teei-production.yaml")
    for name, uncounted in (("api-gateway", False), ("discord-bot", True)):
        one = request.watched[0].model_copy(update={"service": plan.service(name)})
        sources = _read(request.model_copy(update={"watched": [one]}), _Held())
        traffic = sources.traffic[name]
        assert isinstance(traffic, Traffic) is uncounted
