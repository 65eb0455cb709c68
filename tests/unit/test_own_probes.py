"""What a watching slice asks by itself: what counts when, and what tells nothing of a service."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any, cast

import pytest

from activities.own_probes import OwnProbes
from activities.probing import Prober
from activities.sources import Sources
from slipway.errors import Absent, SlipwayError, Unreachable
from slipway.judgements.corruption import ProbeResult
from slipway.messages.rollout import Workload
from slipway.messages.watch import Watched, WatchSlice
from slipway.plan import CorruptionProbe, Limits, Metrics, Service
from slipway.verdicts import Kind, Reason, Verdict

AWAY = Unreachable("The API server does not answer.", "Start it.")


class Asked(Prober):
    """Answers as a test says: of each service a function that gives a problem, or raises."""

    def __init__(self, **answers: Callable[[], str]) -> None:
        self._answers = answers

    async def over_http(self, service: Service, base: str | None) -> str:
        return self._answers[service.name]()

    async def by_log(self, service: Service, namespace: str, pods: list[str]) -> str:
        return self._answers[service.name]()


class Database:
    """Runs corruption probes: `true`, `false`, `slow`, or never an answer."""

    async def run(
        self, _: str, probes: list[CorruptionProbe], __: dict[str, str]
    ) -> list[ProbeResult]:
        found = []
        for one in probes:
            if one.sql == "never":
                await asyncio.Event().wait()
            if one.sql == "slow":
                await asyncio.sleep(0.3)
            found.append(ProbeResult(one.name, one.sql in ("true", "slow")))
        return found


class Pods(Sources):
    """Every service has pods."""

    def __init__(self) -> None:
        pass

    def require_pods_of(self, watched: Watched) -> list[dict[str, Any]]:
        return [{"metadata": {"name": f"{watched.service.name}-1"}}]


def service(name: str, **more: Any) -> Watched:
    values = {"name": name, "title": name, "port": 1, "url": "http://127.0.0.1:1", "health": {}}
    found = Service.model_validate({**values, **more})
    where = Workload(service=name, namespace="n", deployment=name, container=name)
    return Watched(service=found, workload=where, pod_hash="a", replaced=True)


def by_log(name: str) -> Watched:
    return service(name, kind="log", health=None, url=None, heartbeat={"pattern": "alive"})


@asynccontextmanager
async def running(
    prober: Prober, watched: list[Watched], corruption: list[CorruptionProbe]
) -> AsyncIterator[tuple[OwnProbes, list[Verdict], asyncio.Event]]:
    """The loops of a slice; yields what they keep, the verdicts told so far, and the alarm."""
    told: list[Verdict] = []
    alarm = asyncio.Event()

    def ring(verdicts: list[Verdict]) -> None:
        told.extend(verdicts)
        if any(one.kind is Kind.ROLLBACK for one in verdicts):
            alarm.set()

    request = WatchSlice(
        window="w",
        watched=watched,
        metrics=Metrics(url="http://127.0.0.1:1"),
        limits=Limits(),
        logs=[],
        baseline=60.0,
        probe_every=0.01,
        length=60.0,
        window_length=60.0,
        last=True,
        corruption=corruption,
    )
    own = OwnProbes(prober, cast("Any", Database()), request, Pods(), ring)
    tasks = [asyncio.create_task(one) for one in own.loops()]
    try:
        yield own, told, alarm
    finally:
        for one in tasks:
            one.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def until(condition: Callable[[], bool]) -> None:
    """Wait for a condition."""
    async with asyncio.timeout(60):
        while True:
            if condition():
                return
            await asyncio.sleep(0.01)


def probes(*answers: str) -> list[CorruptionProbe]:
    return [CorruptionProbe(name=f"probe {n}", sql=sql) for n, sql in enumerate(answers)]


async def test_corruption_is_told_while_other_probes_still_run() -> None:
    async with running(Asked(), [], probes("never", "false", "never")) as (own, told, alarm):
        async with asyncio.timeout(60):
            await alarm.wait()
        assert [one.reason for one in told] == [Reason.DATA_CORRUPTION]
        left = [one for one in own.at_the_end() if one.kind is Kind.INCONCLUSIVE]
    assert len(left) == 2
    assert "no answer before the slice ended" in left[0].because


async def test_a_probe_that_hangs_keeps_no_other_from_running() -> None:
    async with running(Asked(), [], probes("never", *["true"] * 8)) as (own, told, _):
        await until(lambda: len(told) == 8)
        assert [one.kind for one in own.at_the_end()] == [Kind.INCONCLUSIVE]


async def test_a_log_that_nobody_can_read_is_no_failed_probe() -> None:
    reads = 0

    def unread() -> str:
        nonlocal reads
        reads += 1
        raise AWAY

    async with running(Asked(bot=unread), [by_log("bot")], []) as (own, told, _):
        await until(lambda: reads > 1)
        found = own.at_the_end()
    assert told == []
    assert own.failing == {}
    assert [(one.kind, one.service) for one in found] == [(Kind.INCONCLUSIVE, "bot")]
    assert "The API server does not answer" in found[0].because


async def test_services_that_fail_together_are_told_together() -> None:
    failed = 0

    def first() -> str:
        nonlocal failed
        failed += 1
        return "no answer"

    def later() -> str:
        return "no answer" if failed > 1 else ""

    prober = Asked(one=first, two=later, three=later)
    watched = [service(name) for name in ("one", "two", "three")]
    async with running(prober, watched, []) as (own, told, alarm):
        async with asyncio.timeout(60):
            await alarm.wait()
            await own.settle()
        assert {one.service for one in told} == {"one", "two", "three"}


class Logs:
    """A cluster whose logs cannot be read for some reason."""

    def __init__(self, error: SlipwayError) -> None:
        self._error = error

    async def pod_log(self, *_: object, **__: object) -> list[object]:
        raise self._error


async def test_an_unread_log_is_raised_and_a_missing_one_is_a_problem() -> None:
    watched = by_log("bot").service
    prober = Prober(cast("Any", None), cast("Any", Logs(AWAY)))
    with pytest.raises(Unreachable):
        await prober.by_log(watched, "n", ["bot-1"])
    gone = Prober(cast("Any", None), cast("Any", Logs(Absent("There is no pod bot-1.", "Look."))))
    assert "no pod bot-1" in await gone.by_log(watched, "n", ["bot-1"])


async def test_the_last_slice_waits_for_probes_that_take_their_time() -> None:
    async with running(Asked(), [], probes("true", "slow")) as (own, _, __):
        async with asyncio.timeout(60):
            await own.finish()
        assert own.at_the_end() == []
