"""What could not be read says so itself: it is not taken for something that was seen."""

import asyncio
import socket

from kubernetes import client

from activities.adapters.cluster import Cluster
from activities.adapters.kube_api import KubeApi
from activities.adapters.loki import Loki
from activities.adapters.prometheus import Prometheus
from activities.log_source import LogSource
from activities.sources import Sources
from slipway.judgements.counters import Unreadable
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
