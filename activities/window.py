"""One slice of a watching window: loops that read, judgements that may end it early."""

import asyncio
import contextlib
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from activities.heartbeat import Progress
from activities.own_probes import OwnProbes
from activities.probing import Prober
from activities.sources import Sources
from slipway.errors import Unreachable
from slipway.judgements.counters import Traffic, Unreadable
from slipway.judgements.extension import extension
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
from slipway.messages.watch import (
    Extension,
    Kept,
    Mark,
    Reading,
    SliceSeen,
    Watched,
    WatchSlice,
)
from slipway.verdicts import Kind, Signal, Verdict, weight

if TYPE_CHECKING:
    from activities.adapters.cluster import Cluster
    from activities.adapters.probes import Probes
    from activities.adapters.prometheus import Prometheus
    from activities.log_source import LogSource

_BEGINS = 30.0
"""Seconds that an API server may take to answer at a window's beginning."""
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


class Window:
    """One slice of one window."""

    def __init__(self, instruments: Instruments, request: WatchSlice, progress: Progress) -> None:
        self._tools = instruments
        self._request = request
        self._progress = progress
        self._alarms: list[Verdict] = []
        self._alarm = asyncio.Event()
        self._sources = Sources(instruments.cluster, instruments.metrics, instruments.logs, request)
        self._own = OwnProbes(
            instruments.prober, instruments.probes, request, self._sources, self._ring
        )
        self._mark = request.mark or Mark(began=0.0)

    async def watch(self) -> SliceSeen:
        """Read until the slice ends or something calls for a rollback, then judge.

        A ROLLBACK that an earlier attempt saw stands: samples that arrived late since must not
        change it.
        """
        begun = time.monotonic()
        mark = await self._begin()
        loops = [*self._own.loops(), self._every_scrape(mark)]
        tasks = [asyncio.create_task(loop) for loop in loops]
        try:
            took = await self._read(mark)
            end = begun + self._request.length
            spare = min(_SPARE, self._request.length / 4, _LOGS_TAKE + 3 * took)
            await self._until(end - spare)
            found = [] if self._alarm.is_set() else await self._judge_all(mark)
            self._ring(found)
            await self._until(end)
            if any(one.signal is Signal.HEALTH for one in self._alarms):
                await self._own.settle()
        finally:
            for task in tasks:
                task.cancel()
            done = await asyncio.gather(*tasks, return_exceptions=True)
        for one in done:
            if isinstance(one, Exception):
                raise one
        others = [one for one in found if one.kind is not Kind.ROLLBACK]
        verdicts = sorted([*self._alarms, *others], key=lambda one: -weight(one.kind))
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
        """Return the window's mark; the first attempt at its first slice makes it.

        Raises Unreachable when it cannot: without the pods' restarts so far, all those of their
        lives would count as the window's.
        """
        told, until = self._progress.kept, time.monotonic() + min(_BEGINS, self._request.length)
        before = Kept.model_validate_json(told) if told else None
        mark = self._request.mark or (before.mark if before else None)
        while True:
            began = time.time()
            await self._sources.look_at_pods()
            missing = self._sources.pods_missing
            if mark is not None or missing is None:
                break
            if time.monotonic() > until:
                raise Unreachable(f"{missing.because}.", missing.remedy)
            self._progress.say(f"{self._request.window}: {missing.because}")
            await asyncio.sleep(_LEAST_READ)
        self._mark = mark or Mark(began=began, restarts=restarts(self._sources.pods))
        self._keep()
        self._ring(before.alarms if before else [])
        return self._mark

    def _left(self, mark: Mark, more: Extension | None) -> Mark:
        """What this slice leaves for the next one."""
        reread = mark.reread or bool(more and more.reread)
        own = self._own
        return mark.model_copy(
            update={
                "failing": own.failing,
                "asked": own.asked,
                "reread": reread,
                "logs": self._sources.logs_read,
            }
        )

    def _keep(self) -> None:
        kept = Kept(mark=self._mark, alarms=self._alarms)
        self._progress.keep(kept.model_dump_json())

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
        if request.last:
            await self._own.finish()
        found = self._own.at_the_end()
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
            asked=self._own.asked.get(name),
        )

    def _judged(self) -> list[Watched]:
        """The services whose scrapes are kept: those the window is about, and those that alarm."""
        alarming = {one.service for one in self._alarms}
        return [
            one
            for one in self._request.watched
            if one.service.name in alarming or (self._request.last and one.focus)
        ]

    def _ring(self, verdicts: list[Verdict]) -> None:
        known = {(one.service, one.signal) for one in self._alarms}
        for verdict in verdicts:
            if verdict.kind is Kind.ROLLBACK and (verdict.service, verdict.signal) not in known:
                self._alarms.append(verdict)
                self._alarm.set()
                self._keep()

    def _reading(self, watched: Watched, mark: Mark) -> Reading:
        health = self._own.health.get(watched.service.name, "")
        judged = ""
        if watched in self._judged():
            judged = say_judged(seen_of(self._of(watched), self._request, mark, last=True))
        return self._sources.reading(watched, health, judged)


def _number(value: float | Unreadable | None) -> float | None:
    return None if isinstance(value, Unreadable) else value
