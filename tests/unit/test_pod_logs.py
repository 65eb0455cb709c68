"""Logs of pods: the newest lines are read, however much was written."""

import asyncio
import time

import pytest

from activities.adapters import pod_logs
from activities.adapters.http import Http
from activities.probing import Prober
from slipway.checks import LogHeartbeat
from slipway.errors import Unreachable
from slipway.plan import ServiceKind
from tests.unit.kubelet_stub import Kubelet, kubelet, log_of
from tests.unit.watch_slice import watch_slice

NAME = "api-gateway-5f8dbd7c9-x2v7k"


def _logs_of(server: Kubelet) -> list[str]:
    read = server.cluster().pod_log("production", NAME, "app", since_seconds=3600)
    return [line.text for line in asyncio.run(read)]


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> int:
    """Bytes that are read at once, few enough for a test."""
    monkeypatch.setattr(pod_logs, "MOST_BYTES", 20_000)
    return 20_000


def test_a_log_that_is_too_long_is_read_from_its_end(small: int) -> None:
    lines = [(at, f"INFO {n}") for n, (at, _) in enumerate(log_of(60, 5000))]
    with kubelet({NAME: lines}) as server:
        found = _logs_of(server)
    assert found[-1] == "INFO 4999"
    assert 100 < len(found) < 600
    assert found == [text for _, text in lines[-len(found) :]]


def test_newest_lines_that_are_longer_are_read_all_the_same(small: int) -> None:
    lines = [*log_of(60, 5000), (time.time(), "ERROR last"), *log_of(0.1, 20, "x" * 800)]
    with kubelet({NAME: lines}) as server:
        found = _logs_of(server)
        assert len(server.asked) <= 6
    assert found[-1] == "x" * 800


def test_a_line_that_is_too_long_is_told(small: int) -> None:
    lines = [*log_of(60, 5000), (time.time(), "x" * 2 * small)]
    with (
        kubelet({NAME: lines}) as server,
        pytest.raises(Unreachable, match=f"pod {NAME} are too long to be read"),
    ):
        _logs_of(server)


def test_a_chatty_bot_is_alive() -> None:
    """Its heartbeat is a minute old, and 1,200 other lines have been written since."""
    lines = [(time.time() - 60, "gateway heartbeat"), *log_of(59, 1200)]
    service = (
        watch_slice()
        .watched[0]
        .service.model_copy(
            update={
                "kind": ServiceKind.LOG,
                "heartbeat": LogHeartbeat(pattern="gateway heartbeat", max_silence=120),
            }
        )
    )
    with kubelet({NAME: lines}) as server:
        prober = Prober(Http(), server.cluster())
        assert asyncio.run(prober.by_log(service, "production", [NAME])) == ""
