"""What a watching slice asks by itself: health, read paths, and the plan's corruption probes."""

import asyncio
import contextlib
import time
from collections.abc import Callable, Coroutine
from dataclasses import replace
from typing import TYPE_CHECKING

from activities.probing import Prober
from activities.sources import Sources
from slipway.errors import SlipwayError
from slipway.judgements.corruption import ProbeResult, judge_probe
from slipway.judgements.counters import Unreadable
from slipway.judgements.extension import ASKING_RATE
from slipway.judgements.health import FAILED_PROBES, count_probe, judge_health
from slipway.judgements.traffic import nothing_to_read
from slipway.judgements.workload import name_of
from slipway.messages.watch import Asked, Mark, Watched, WatchSlice
from slipway.plan import CorruptionProbe, Service, ServiceKind
from slipway.verdicts import Kind, Signal, Verdict

if TYPE_CHECKING:
    from activities.adapters.probes import Probes

_SIDE_BY_SIDE = 20
_QUERIES = 4
"""Corruption probes at once: a slow one must not keep the others from running in a slice."""
_STATEMENT = 12.0
"""Seconds: what a statement of a probe may take, and its connection."""
_LEAST_PAUSE = 0.25
"""Between two probes of one service, also when time is compressed."""
_LOG_PAUSE = 2.0
"""Between two reads of a log that a service is verified by."""
_NEXT_PROBE = 6.0
"""Seconds that a service's next probe may take to fail, beside the pause before it."""


class OwnProbes:
    """Loops that run as long as the slice, and what they have seen so far."""

    def __init__(
        self,
        prober: Prober,
        probes: "Probes",
        request: WatchSlice,
        sources: Sources,
        ring: Callable[[list[Verdict]], None],
    ) -> None:
        """`sources` knows the pods; `ring` is told of every verdict at once."""
        self._prober = prober
        self._probes = probes
        self._request = request
        self._sources = sources
        self._ring = ring
        self._limit = asyncio.Semaphore(_SIDE_BY_SIDE)
        self._probed = asyncio.Event()
        self._looked = asyncio.Event()
        before = request.mark or Mark(began=0.0)
        self.failing = dict(before.failing)
        self.asked = dict(before.asked)
        self.health: dict[str, str] = {}
        self._unknown: dict[str, Unreadable] = {}
        """Services whose last probe told nothing."""
        self._corruption: dict[str, Verdict] = {}

    def loops(self) -> list[Coroutine[None, None, None]]:
        """Return what is to run until the slice ends."""
        watched = self._request.watched
        loops = [self._probe(one) for one in watched]
        loops += [self._ask(one) for one in watched if one.service.name in self._request.synthetic]
        return [*loops, self._look_for_corruption()]

    def at_the_end(self) -> list[Verdict]:
        """Return what stands against going on at the slice's end, besides alarms."""
        unknown = [nothing_to_read(Signal.HEALTH, *one) for one in self._unknown.items()]
        silent = ProbeResult("", None, "it gave no answer before the slice ended")
        for probe in self._request.corruption:
            self._corruption.setdefault(probe.name, judge_probe(replace(silent, name=probe.name)))
        corruption = [one for one in self._corruption.values() if one.kind is not Kind.PROCEED]
        return [*unknown, *corruption]

    async def finish(self) -> None:
        """Give corruption probes the time that a statement may take: a slice may be shorter."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_STATEMENT):
                await self._looked.wait()

    async def settle(self) -> None:
        """After an alarm about health: wait until the services that are failing as well have failed
        as often or answered, so that a cause they share is not taken for the first one's fault."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(self._pause(by_log=False) + _NEXT_PROBE):
                while any(0 < failed < FAILED_PROBES for failed in self.failing.values()):
                    self._probed.clear()
                    await self._probed.wait()

    async def _probe(self, watched: Watched) -> None:
        """Probe one service again and again; three failures in a row raise the alarm."""
        service, name = watched.service, watched.service.name
        by_log = service.kind is ServiceKind.LOG
        while True:
            async with self._limit:
                try:
                    problem = await self._problem(watched, by_log)
                    self._unknown.pop(name, None)
                except SlipwayError as error:  # of what tells about it, not of the service
                    self._unknown[name] = Unreadable(error.what.rstrip("."), error.remedy)
                    self.health[name] = f"not known: {error.what}"
                    problem = None
            if problem is not None:
                self.failing = count_probe(self.failing, name, problem)
                self.health[name] = problem or "healthy"
                verdict = judge_health(name, self.failing[name], problem)
                self._ring([verdict] if verdict else [])
                self._probed.set()
            await asyncio.sleep(self._pause(by_log))

    def _pause(self, by_log: bool) -> float:
        return max(self._request.probe_every, _LOG_PAUSE if by_log else _LEAST_PAUSE)

    async def _problem(self, watched: Watched, by_log: bool) -> str:
        if not by_log:
            return await self._prober.over_http(watched.service, watched.service.url)
        pods = [name_of(one) for one in self._sources.require_pods_of(watched)]
        return await self._prober.by_log(watched.service, watched.workload.namespace, pods)

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
            problem = await self._prober.read(service, path)
        before = self.asked.get(service.name, Asked())
        self.asked[service.name] = Asked(
            requests=before.requests + 1,
            failures=before.failures + bool(problem),
            example=before.example or problem,
        )

    async def _look_for_corruption(self) -> None:
        """Run each corruption probe once; what one says counts when it says it."""
        few = asyncio.Semaphore(_QUERIES)

        async def look(probe: CorruptionProbe) -> None:
            async with few:
                found = await self._probes.run(
                    self._request.probe_url, [probe], self._request.probes_before
                )
            self._corruption[probe.name] = judge_probe(found[0])
            self._ring([self._corruption[probe.name]])

        await asyncio.gather(*map(look, self._request.corruption))
        self._looked.set()
