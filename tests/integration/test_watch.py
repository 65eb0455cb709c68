"""The watch over running services: healthy ones pass, each fault is found by its own signal."""

import asyncio
import time
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from temporalio.testing import ActivityEnvironment
from temporalio.worker import ExecuteActivityInput

from activities.heartbeat import beating
from activities.watch import Watch
from slipway.messages.watch import (
    Asked,
    Before,
    Kept,
    Mark,
    ReadBefore,
    SliceSeen,
    Watched,
    WatchSlice,
)
from slipway.plan import CorruptionProbe
from slipway.verdicts import Kind, Reason, Signal, Verdict
from tests.integration.cluster_world import ClusterWorld, activity

pytestmark = pytest.mark.stack

LENGTH = 8.0


def watch(place: ClusterWorld) -> Watch:
    return Watch(place.cluster, place.metrics, place.logs, place.http, place.probes)


def request(place: ClusterWorld, watched: list[Watched], **more: Any) -> WatchSlice:
    plan = place.plan
    values: dict[str, Any] = {
        "window": "monitor:test",
        "watched": watched,
        "metrics": plan.metrics,
        "limits": plan.limits,
        "logs": plan.logs,
        "baseline": plan.lengths.baseline,
        "probe_every": plan.lengths.probe,
        "length": LENGTH,
        "window_length": LENGTH,
        "last": True,
        "time_scale": plan.time_scale,
        "corruption": plan.corruption,
        "probe_url": plan.database.probe_url,
        **more,
    }
    return WatchSlice(**values)


async def seen(place: ClusterWorld, watched: list[Watched], **more: Any) -> SliceSeen:
    found: SliceSeen = await activity(watch(place).slice, request(place, watched, **more))
    return found


async def to_the_end(place: ClusterWorld, watched: list[Watched], **more: Any) -> SliceSeen:
    """The window as the deployment watches it: longer, as often as its traffic was too little."""
    length, found = LENGTH, await seen(place, watched, **more)
    while found.more is not None:
        left, length = found.more.length - length, found.more.length
        goes_on = {"mark": found.mark, "synthetic": found.more.synthetic}
        found = await seen(place, watched, length=left, window_length=length, **goes_on, **more)
    return found


async def going_on(
    place: ClusterWorld, watched: list[Watched], holds: Callable[[SliceSeen], bool], **more: Any
) -> SliceSeen:
    """Slices of one window until something holds: the first one's end, unless the machine is busy
    and scrapes or answers come late."""
    async with asyncio.timeout(120):
        found = await seen(place, watched, **more)
        while not holds(found):
            found = await seen(place, watched, **{**more, "mark": found.mark})
    return found


def judged(found: SliceSeen) -> set[tuple[Kind, Reason | None]]:
    """Return what was judged, without the words."""
    return {(one.kind, one.reason) for one in found.verdicts}


def alarms(found: SliceSeen) -> list[Verdict]:
    """Return the verdicts by which a release is taken back."""
    return [one for one in found.verdicts if one.kind is Kind.ROLLBACK]


async def test_healthy_services_have_nothing_against_them(place: ClusterWorld) -> None:
    names = [one.name for one in place.plan.services]
    found = await to_the_end(place, await place.watched(*names), full=True)
    assert {one.kind for one in found.verdicts} <= {Kind.PROCEED}, found.verdicts
    assert {one.reason for one in found.verdicts} <= {Reason.TOO_LITTLE_TRAFFIC}
    readings = {one.service: one for one in found.readings}
    assert readings["api-gateway"].requests > 1000
    assert readings["api-gateway"].p95 is not None
    assert all(one.health == "healthy" for one in found.readings)
    assert found.connections is not None
    assert found.external is not None


async def test_errors_roll_back_before_the_window_ends(place: ClusterWorld) -> None:
    apply, rolled = await place.deploy("analytics", "errors3")
    try:
        (one,) = await place.watched("analytics", replaced=True)
        assert one.pod_hash == rolled.pod_hash
        begun = time.monotonic()
        found = await seen(place, [one], length=180.0, window_length=180.0)
        assert time.monotonic() - begun < 180
        verdict = found.verdicts[0]
        assert (verdict.kind, verdict.reason) == (Kind.ROLLBACK, Reason.ERROR_RATE_TOO_HIGH)
        assert verdict.service == "analytics"
        assert verdict.numbers["failures"] >= 6
    finally:
        await place.put_back(apply)


@pytest.mark.parametrize(
    ("service", "fault", "signal", "reason"),
    [
        ("buddy", "unhealthy", Signal.HEALTH, Reason.UNHEALTHY),
        ("journey", "errorlogs", Signal.LOGS, Reason.ERRORS_IN_LOGS),
    ],
)
async def test_each_fault_is_found_by_its_signal(
    place: ClusterWorld, service: str, fault: str, signal: Signal, reason: Reason
) -> None:
    before = await place.capture(service)
    apply, rolled = await place.deploy(service, fault)
    try:
        one = Watched(
            service=place.plan.service(service),
            workload=place.workload(service),
            pod_hash=rolled.pod_hash,
            replaced=True,
            focus=True,
            log_rates=before.log_rates,
        )
        found = await going_on(place, [one], lambda one: bool(alarms(one)))
        verdict = alarms(found)[0]
        assert (verdict.signal, verdict.reason) == (signal, reason)
        assert verdict.service == service
    finally:
        await place.put_back(apply)


async def test_a_slow_version_is_held(place: ClusterWorld) -> None:
    apply, _ = await place.deploy("journey", "slow900")
    try:
        watched = await place.watched("journey", replaced=True)
        held = (Kind.HOLD, Reason.LATENCY_TOO_HIGH)
        found = await going_on(place, watched, lambda one: held in judged(one))
        assert judged(found) <= {held, (Kind.INCONCLUSIVE, Reason.NOTHING_TO_READ)}
    finally:
        await place.put_back(apply)


async def test_without_prometheus_nothing_proceeds(
    place: ClusterWorld, unused_tcp_port: int
) -> None:
    metrics = place.plan.metrics.model_copy(update={"url": f"http://127.0.0.1:{unused_tcp_port}"})
    watched = await place.watched("buddy", "discord-bot")
    found = await seen(place, watched, metrics=metrics, length=2.0, window_length=2.0, full=True)
    kinds = {(one.service, one.kind, one.reason) for one in found.verdicts}
    for service in ("buddy", "discord-bot", None):
        assert (service, Kind.INCONCLUSIVE, Reason.NOTHING_TO_READ) in kinds
    assert found.connections is None


async def test_what_cannot_be_read_for_a_moment_is_read_again(
    place: ClusterWorld, unused_tcp_port: int
) -> None:
    watched = await place.watched("buddy")
    away = place.plan.metrics.model_copy(update={"url": f"http://127.0.0.1:{unused_tcp_port}"})
    missed = await seen(place, watched, metrics=away)
    assert missed.more is not None
    assert missed.more.reread
    longer = {"length": missed.more.length - LENGTH, "window_length": missed.more.length}
    back = await going_on(
        place,
        watched,
        lambda one: Reason.NOTHING_TO_READ not in {reason for _, reason in judged(one)},
        mark=missed.mark,
        **longer,
    )
    assert back.readings[0].requests > 0

    still = await seen(place, watched, metrics=away, mark=missed.mark)
    assert still.more is None  # once is enough: now a person is asked


async def test_before_the_window_ends_a_gap_is_not_judged(
    place: ClusterWorld, unused_tcp_port: int
) -> None:
    metrics = place.plan.metrics.model_copy(update={"url": f"http://127.0.0.1:{unused_tcp_port}"})
    watched = await place.watched("buddy")
    found = await seen(place, watched, metrics=metrics, length=1.0, last=False)
    assert found.verdicts == []


async def test_a_version_that_does_not_run_any_more_cannot_be_judged(place: ClusterWorld) -> None:
    (one,) = await place.watched("buddy")
    gone = one.model_copy(update={"pod_hash": "abcdef1234"})
    found = await seen(place, [gone], length=2.0, window_length=2.0)
    assert {one.reason for one in found.verdicts} == {Reason.NOTHING_TO_READ}


async def test_corruption_ends_the_window_at_once(place: ClusterWorld) -> None:
    probe = CorruptionProbe(name="never sound", sql="SELECT false")
    watched = await place.watched("buddy")
    found = await seen(place, watched, corruption=[probe], length=60.0, window_length=60.0)
    assert found.verdicts[0].reason is Reason.DATA_CORRUPTION


async def test_slices_of_a_window_go_on_where_the_last_one_ended(place: ClusterWorld) -> None:
    watched = await place.watched("api-gateway")
    first = await seen(place, watched, length=3.0, last=False)
    before = first.readings[0].requests
    second = await going_on(
        place,
        watched,
        lambda one: one.readings[0].requests > before,
        length=3.0,
        mark=first.mark,
    )
    assert second.mark.began == first.mark.began
    after = second.readings[0].requests
    again = await going_on(
        place,
        watched,
        lambda one: one.readings[0].requests >= after,
        length=1.0,
        mark=first.mark,
    )
    assert again.mark.began == first.mark.began


async def beaten(place: ClusterWorld, given: WatchSlice, *kept: str) -> tuple[SliceSeen, list[Any]]:
    """Run a slice as a worker does, after an attempt that left `kept`; return its beats as well."""
    environment = ActivityEnvironment()
    environment.info = replace(
        environment.info, heartbeat_timeout=timedelta(seconds=1), heartbeat_details=["", *kept]
    )
    beats: list[Any] = []
    environment.on_heartbeat = lambda *details: beats.append(details)

    async def as_a_worker_runs_it(given: WatchSlice) -> SliceSeen:
        input_ = ExecuteActivityInput(watch(place).slice, (given,), None, {})
        found: SliceSeen = await beating(input_, lambda _: watch(place).slice(given))
        return found

    return await environment.run(as_a_worker_runs_it, given), beats


async def test_a_rollback_that_an_attempt_saw_stands_for_the_next_one(place: ClusterWorld) -> None:
    watched = await place.watched("buddy")
    alarm = Verdict(
        kind=Kind.ROLLBACK,
        signal=Signal.TRAFFIC,
        reason=Reason.ERROR_RATE_TOO_HIGH,
        service="buddy",
        because="41 of 1,180 failed.",
    )
    kept = Kept(mark=Mark(began=time.time() - 5), alarms=[alarm])
    given = request(place, watched, length=300.0, window_length=300.0)
    found, beats = await beaten(place, given, kept.model_dump_json())
    assert found.verdicts[0] == alarm
    assert found.mark.began == kept.mark.began
    assert Kept.model_validate_json(beats[-1][1]).alarms == [alarm]


async def test_the_next_attempt_goes_on_with_the_window_that_had_begun(place: ClusterWorld) -> None:
    watched = await place.watched("api-gateway")
    given = request(place, watched, length=1.0, window_length=1.0)
    first, beats = await beaten(place, given)
    again, _ = await beaten(place, given, beats[-1][1])
    assert again.mark.began == first.mark.began
    assert again.readings[0].requests >= first.readings[0].requests


async def test_what_was_judged_is_kept_with_its_numbers(place: ClusterWorld) -> None:
    watched, begun = await place.watched("api-gateway", replaced=True), time.monotonic()
    found = await seen(place, watched)
    longest = time.monotonic() - begun + 5  # a slice ends late on a busy machine
    reading = found.readings[0]
    counts = [one.split(":") for one in found.used["api-gateway"].split()]
    assert sum(int(n) for _, n, _ in counts) <= reading.requests
    assert sum(int(k) for _, _, k in counts) <= reading.failures
    assert all(0 <= float(second) < longest for second, _, _ in counts)
    assert "Plain rule" in reading.judged


def requests_asked(found: SliceSeen) -> int:
    """How often slipway asked the service itself, since the window began."""
    return found.mark.asked.get("journey", Asked()).requests


async def test_slipway_asks_read_paths_itself_and_carries_what_came_of_it(
    place: ClusterWorld,
) -> None:
    (one,) = await place.watched("journey")
    asked = {}
    for path in ("/notifications", "/nothing-here"):
        service = one.service.model_copy(update={"read_paths": [path]})
        watched = [one.model_copy(update={"service": service})]
        count, found = 10, None
        for last in (False, True):  # the second slice carries on what came of the first
            found = await going_on(
                place,
                watched,
                lambda one, count=count: requests_asked(one) > count,  # type: ignore[misc] # a default is bound
                length=2.0,
                last=last,
                mark=found.mark if found else None,
                synthetic=["journey"],
            )
            count = requests_asked(found)
        assert found is not None
        asked[path] = found.mark.asked["journey"]
    assert asked["/notifications"].failures == 0
    assert asked["/nothing-here"].failures == asked["/nothing-here"].requests
    assert asked["/nothing-here"].example == "/nothing-here: 404"


async def test_the_time_before_is_read_from_the_same_counters(place: ClusterWorld) -> None:
    watched = await place.watched("api-gateway", "discord-bot")
    gone = watched[0].model_copy(update={"pod_hash": "abcdef1234"})
    other = gone.service.model_copy(update={"name": "gone"})
    gone = gone.model_copy(update={"service": other})
    asked = ReadBefore(
        watched=[*watched, gone],
        metrics=place.plan.metrics,
        length=place.plan.lengths.baseline,
        quiet_length=place.plan.lengths.quiet_baseline,
        time_scale=place.plan.time_scale,
    )
    found: Before = await activity(watch(place).before, asked)
    busy = found.before["api-gateway"]
    assert busy.requests > 1000
    assert busy.because == ""
    assert busy.failures / busy.requests < 0.01
    assert busy.phi >= 1
    assert found.before["gone"].because


async def test_a_cancelled_slice_ends_at_once(place: ClusterWorld) -> None:
    watched = await place.watched("buddy")
    environment = ActivityEnvironment()
    environment.info = replace(environment.info, heartbeat_timeout=timedelta(seconds=1))
    beats = asyncio.Event()
    environment.on_heartbeat = lambda *details: beats.set()

    async def as_a_worker_runs_it(given: WatchSlice) -> SliceSeen:
        input_ = ExecuteActivityInput(watch(place).slice, (given,), None, {})
        seen: SliceSeen = await beating(input_, lambda _: watch(place).slice(given))
        return seen

    given = request(place, watched, length=300.0)
    task = asyncio.create_task(environment.run(as_a_worker_runs_it, given))
    async with asyncio.timeout(120):
        await beats.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
