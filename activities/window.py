"""One slice of a watching window: loops that read, judgements that may end it early."""

import asyncio
import contextlib
import time
from collections.abc import Coroutine
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from activities.heartbeat import Progress
from activities.probing import Prober
from activities.sources import Sources
from slipway.judgements.corruption import judge_probe
from slipway.judgements.counters import Traffic, Unreadable
from slipway.judgements.extension import ASKING_RATE, extension
from slipway.judgements.health import count_probe, judge_health
from slipway.judgements.pods import restarts
from slipway.judgements.readings import say_scrapes
from slipway.judgements.traffic import nothing_to_read
from slipway.judgements.window import (
    ServiceRead,
    Shared,
    judge_now,
    judge_service,
    judge_shared,
    say_judged,
    seen_of,
)
from slipway.judgements.workload import name_of
from slipway.messages.watch import (
    Asked,
    Extension,
    Kept,
    Mark,
    Reading,
    SliceSeen,
    Watched,
    WatchSlice,
)
from slipway.plan import Service, ServiceKind
from slipway.verdicts import Kind, Signal, Verdict, weight

if TYPE_CHECKING:
    from activities.adapters.cluster import Cluster
    from activities.adapters.probes import Probes
    from activities.adapters.prometheus import Prometheus
    from activities.log_source import LogSource

_SIDE_BY_SIDE = 20
_LEAST_PAUSE = 0.25
"""Between two probes of one service, also when time is compressed."""
_LOG_PAUSE = 2.0
"""Between two reads of a log that a service is verified by."""
_LEAST_READ = 1.0
_SPARE = 1.0
"""The last reading begins so many seconds before the slice ends, at most."""
_LOGS_TAKE = 0.3
"""About how much longer the last reading takes than the others."""


@dataclass(frozen=True)
class Instruments:
    """What a window reads with."""

    cluster: "Cluster"
    metrics: "Prometheus"
    logs: "LogSource"
    prober: Prober
    probes: "Probes"


@dataclass
class _Seen:
    """What has been seen in this slice so far."""

    failing: dict[str, int] = field(default_factory=dict)
    health: dict[str, str] = field(default_factory=dict)
    alarms: list[Verdict] = field(default_factory=list)
    corruption: list[Verdict] = field(default_factory=list)
    asked: dict[str, Asked] = field(default_factory=dict)


class Window:
    """One slice of one window."""

    def __init__(self, instruments: Instruments, request: WatchSlice, progress: Progress) -> None:
        self._tools = instruments
        self._request = request
        self._progress = progress
        before = request.mark or Mark(began=0.0)
        self._seen = _Seen(failing=dict(before.failing), asked=dict(before.asked))
        self._alarm = asyncio.Event()
        self._limit = asyncio.Semaphore(_SIDE_BY_SIDE)
        self._sources = Sources(instruments.cluster, instruments.metrics, instruments.logs, request)
        self._mark = before

    async def watch(self) -> SliceSeen:
        """Read until the slice ends or something calls for a rollback, then judge.

        A ROLLBACK that an earlier attempt saw stands: samples that arrived late since must not
        change it.
        """
        begun = time.monotonic()
        mark = await self._begin()
        tasks = [asyncio.create_task(loop) for loop in self._loops(mark)]
        try:
            took = await self._read(mark)
            end = begun + self._request.length
            spare = min(_SPARE, self._request.length / 4, _LOGS_TAKE + 3 * took)
            await self._until(end - spare)
            found = [] if self._alarm.is_set() else await self._judge_all(mark)
            self._ring(found)
            await self._until(end)
        finally:
            for task in tasks:
                task.cancel()
            done = await asyncio.gather(*tasks, return_exceptions=True)
        for one in done:
            if isinstance(one, Exception):
                raise one
        others = [one for one in found if one.kind is not Kind.ROLLBACK]
        verdicts = sorted([*self._seen.alarms, *others], key=lambda one: -weight(one.kind))
        seen = [seen_of(self._of(one), self._request, mark, last=True) for one in self._judged()]
        more = extension(seen, verdicts, self._request)
        return SliceSeen(
            mark=self._left(mark, more),
            verdicts=verdicts,
            readings=[self._reading(one, mark) for one in self._request.watched],
            more=more,
            used={
                one.service.name: say_scrapes(one.traffic, mark.began)
                for one in seen
                if isinstance(one.traffic, Traffic)
            },
            connections=_number(self._sources.connections),
            external=_number(self._sources.external),
        )

    async def _begin(self) -> Mark:
        """Return the window's mark; the first attempt at its first slice makes it."""
        began, told = time.time(), self._progress.kept
        await self._sources.look_at_pods()
        before = Kept.model_validate_json(told) if told else None
        mark = self._request.mark or (before.mark if before else None)
        self._mark = mark or Mark(began=began, restarts=restarts(self._sources.pods))
        self._keep()
        self._ring(before.alarms if before else [])
        return self._mark

    def _left(self, mark: Mark, more: Extension | None) -> Mark:
        """What this slice leaves for the next one."""
        reread = mark.reread or bool(more and more.reread)
        seen = self._seen
        return mark.model_copy(
            update={"failing": seen.failing, "asked": seen.asked, "reread": reread}
        )

    def _keep(self) -> None:
        kept = Kept(mark=self._mark, alarms=self._seen.alarms)
        self._progress.keep(kept.model_dump_json())

    def _loops(self, mark: Mark) -> list[Coroutine[None, None, None]]:
        loops: list[Coroutine[None, None, None]] = [
            self._probe(one) for one in self._request.watched
        ]
        loops += [
            self._ask(one)
            for one in self._request.watched
            if one.service.name in self._request.synthetic
        ]
        if self._request.corruption:
            loops.append(self._corruption())
        return [*loops, self._every_scrape(mark)]

    async def _until(self, end: float) -> None:
        """Wait until a moment of the monotonic clock, or an alarm."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(max(0.0, end - time.monotonic())):
                await self._alarm.wait()

    async def _every_scrape(self, mark: Mark) -> None:
        pause = min(self._request.metrics.scrape_interval, self._request.probe_every)
        while not self._alarm.is_set():
            await asyncio.sleep(max(_LEAST_READ, pause))
            await self._read(mark)

    async def _read(self, mark: Mark) -> float:
        """Read pods and traffic, raise the alarm if they call for it; return how long it took."""
        begun, sources = time.monotonic(), self._sources
        await sources.look_at_pods()
        await sources.read_traffic(mark.began)
        for one in self._request.watched:
            self._ring(judge_now(self._of(one), self._request, mark))
        self._progress.say(f"{self._request.window}: {sources.summary()}")
        return time.monotonic() - begun

    async def _judge_all(self, mark: Mark) -> list[Verdict]:
        """The slice's last reading: everything. Only ROLLBACK counts before the window ends."""
        sources, request = self._sources, self._request
        await sources.look_at_pods()
        reads = [sources.read_traffic(mark.began), sources.read_logs(mark.began)]
        if request.last:
            reads += [sources.read_latency(mark.began), sources.read_shared(mark.began)]
        await asyncio.gather(*reads)
        found = list(self._seen.corruption)
        for one in request.watched:
            found += judge_service(self._of(one), request, mark)
        if sources.connections is not None and sources.external is not None:
            shared = Shared(sources.connections, sources.external)
            focus = [self._of(one) for one in request.watched if one.focus]
            found += judge_shared(shared, focus, request)
        if sources.pods_missing is not None:
            found.append(nothing_to_read(Signal.PODS, None, sources.pods_missing))
        return [one for one in found if request.last or one.kind is Kind.ROLLBACK]

    def _of(self, watched: Watched) -> ServiceRead:
        name, sources = watched.service.name, self._sources
        return ServiceRead(
            watched=watched,
            pods=sources.pods_of(watched),
            traffic=sources.traffic.get(name, Unreadable("nothing was read yet")),
            buckets=sources.buckets.get(name),
            slow=sources.slow.get(name),
            lines=sources.lines.get(name),
            rates=sources.rates.get(name),
            asked=self._seen.asked.get(name),
        )

    def _judged(self) -> list[Watched]:
        """The services whose scrapes are kept: those the window is about, and those that alarm."""
        alarming = {one.service for one in self._seen.alarms}
        return [
            one
            for one in self._request.watched
            if one.service.name in alarming or (self._request.last and one.focus)
        ]

    async def _probe(self, watched: Watched) -> None:
        """Probe one service again and again; three failures in a row raise the alarm."""
        service = watched.service
        by_log = service.kind is ServiceKind.LOG
        pause = max(self._request.probe_every, _LOG_PAUSE if by_log else _LEAST_PAUSE)
        while True:
            async with self._limit:
                problem = await self._problem(watched, by_log)
            self._seen.failing = count_probe(self._seen.failing, service.name, problem)
            self._seen.health[service.name] = problem or "healthy"
            verdict = judge_health(service.name, self._seen.failing[service.name], problem)
            self._ring([verdict] if verdict else [])
            await asyncio.sleep(pause)

    async def _problem(self, watched: Watched, by_log: bool) -> str:
        if not by_log:
            return await self._tools.prober.over_http(watched.service, watched.service.url)
        pods = [name_of(one) for one in self._sources.pods_of(watched)]
        return await self._tools.prober.by_log(watched.service, watched.workload.namespace, pods)

    async def _ask(self, watched: Watched) -> None:
        """Ask a service's read paths again and again, at a steady rate."""
        service, number = watched.service, 0
        pause = 1 / (ASKING_RATE * self._request.time_scale)
        begun = time.monotonic()
        async with asyncio.TaskGroup() as group:
            while True:
                path = service.read_paths[number % len(service.read_paths)]
                group.create_task(self._ask_once(service, path))
                number += 1
                await asyncio.sleep(max(0.0, begun + number * pause - time.monotonic()))

    async def _ask_once(self, service: Service, path: str) -> None:
        async with self._limit:
            problem = await self._tools.prober.read(service, path)
        before = self._seen.asked.get(service.name, Asked())
        self._seen.asked[service.name] = Asked(
            requests=before.requests + 1,
            failures=before.failures + bool(problem),
            example=before.example or problem,
        )

    async def _corruption(self) -> None:
        """Run the corruption probes once."""
        request = self._request
        results = await self._tools.probes.run(
            request.probe_url, request.corruption, request.probes_before
        )
        self._seen.corruption = [
            one for one in map(judge_probe, results) if one.kind is not Kind.PROCEED
        ]
        self._ring([one for one in self._seen.corruption if one.kind is Kind.ROLLBACK])

    def _ring(self, verdicts: list[Verdict]) -> None:
        known = {(one.service, one.signal) for one in self._seen.alarms}
        for verdict in verdicts:
            if verdict.kind is Kind.ROLLBACK and (verdict.service, verdict.signal) not in known:
                self._seen.alarms.append(verdict)
                self._alarm.set()
                self._keep()

    def _reading(self, watched: Watched, mark: Mark) -> Reading:
        health = self._seen.health.get(watched.service.name, "")
        judged = ""
        if watched in self._judged():
            judged = say_judged(seen_of(self._of(watched), self._request, mark, last=True))
        return self._sources.reading(watched, health, judged)


def _number(value: float | Unreadable | None) -> float | None:
    return None if isinstance(value, Unreadable) else value
