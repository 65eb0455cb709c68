"""Connections and calls to other parties: after one service, and at the very end."""

from typing import Any

import pytest

from slipway.checks import Health
from slipway.judgements.counters import Scrape, Traffic, Unreadable
from slipway.judgements.window import ServiceRead, Shared, judge_shared
from slipway.messages.rollout import Workload
from slipway.messages.watch import Watched, WatchSlice
from slipway.plan import Limits, Metrics, Service
from slipway.verdicts import Kind, Reason

LIMITS = Limits()
NOTHING = Unreadable("0 divided by 0")


def _request(*, full: bool) -> WatchSlice:
    return WatchSlice(
        window="monitor:buddy",
        watched=[],
        metrics=Metrics(url="http://127.0.0.1:1"),
        limits=LIMITS,
        logs=[],
        baseline=3600,
        probe_every=5,
        length=30,
        window_length=120,
        last=True,
        full=full,
    )


def _buddy(requests: float) -> list[ServiceRead]:
    service = Service(
        name="buddy", title="Buddy", port=1, url="http://127.0.0.1:1", health=Health()
    )
    workload = Workload(service="buddy", namespace="n", deployment="buddy", container="app")
    watched = Watched(service=service, workload=workload, pod_hash="x", replaced=True, focus=True)
    return [ServiceRead(watched, [], Traffic((Scrape(5.0, requests, 0.0),), {"p": 0.0}))]


def _judged(connections: Any, external: Any, *, full: bool, requests: float = 1000) -> list[Any]:
    found = judge_shared(Shared(connections, external), _buddy(requests), _request(full=full))
    return [(one.kind, one.reason, one.service) for one in found]


def test_both_hold_after_one_service_already_and_calls_name_it() -> None:
    assert _judged(0.9, 0.4, full=False) == [
        (Kind.HOLD, Reason.TOO_MANY_CONNECTIONS, None),
        (Kind.HOLD, Reason.EXTERNAL_CALLS_FAILING, "buddy"),
    ]


@pytest.mark.parametrize("full", [True, False])
def test_below_their_limits_they_say_nothing(full: bool) -> None:
    assert _judged(LIMITS.connections, LIMITS.external_failures, full=full) == []


def test_calls_of_a_service_with_too_few_requests_are_not_judged_by_themselves() -> None:
    few = LIMITS.min_requests - 1
    assert _judged(0.1, 0.5, full=False, requests=few) == []
    assert len(_judged(0.1, 0.5, full=False, requests=few + 1)) == 1
    assert len(_judged(0.1, 0.5, full=True, requests=few)) == 1


def test_what_cannot_be_read_parks_the_last_window_alone() -> None:
    assert _judged(NOTHING, NOTHING, full=False) == []
    assert [kind for kind, _, _ in _judged(NOTHING, NOTHING, full=True)] == [
        Kind.INCONCLUSIVE,
        Kind.INCONCLUSIVE,
    ]
