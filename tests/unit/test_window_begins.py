"""How a window begins: with the restarts that its pods had before it."""

import pytest

from activities import window
from activities.adapters.cluster import Cluster
from activities.adapters.http import Http
from activities.adapters.loki import Loki
from activities.adapters.postgres.adapter import Postgres
from activities.adapters.probes import Probes
from activities.adapters.prometheus import Prometheus
from activities.heartbeat import Progress
from activities.log_source import LogSource
from activities.probing import Prober
from activities.window import Instruments, Window
from slipway.errors import Unreachable
from slipway.judgements.workload import Raw
from tests.unit.watch_slice import watch_slice


class Away(Cluster):
    """An API server that does not answer so many times."""

    def __init__(self, times: int) -> None:
        super().__init__()
        self.left = times

    async def list_pods(self, namespace: str, selector: str | None = None) -> list[Raw]:
        if self.left:
            self.left -= 1
            raise Unreachable("The API server does not answer.", "Start it.")
        status = {"containerStatuses": [{"name": "app", "restartCount": 4}]}
        return [{"metadata": {"name": "buddy-1", "namespace": "n"}, "status": status}]


@pytest.fixture(autouse=True)
def quickly(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(window, "_LEAST_READ", 0.01)


def begun(cluster: Cluster, length: float) -> Window:
    logs, http = LogSource(cluster, Loki()), Http()
    tools = Instruments(cluster, Prometheus(), logs, Prober(http, cluster), Probes(Postgres()))
    return Window(tools, watch_slice().model_copy(update={"length": length}), Progress())


async def test_an_api_server_that_is_back_soon_is_waited_for() -> None:
    mark = await begun(Away(3), 30.0)._begin()
    assert mark.restarts == {"n/buddy-1/app": 4}


async def test_without_the_restarts_so_far_no_window_begins() -> None:
    with pytest.raises(Unreachable):
        await begun(Away(10_000), 0.05)._begin()
