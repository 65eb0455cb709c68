"""Where the error lines of a service's pods are read: in Kubernetes, or in the plan's Loki."""

import asyncio
import re
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from slipway.base import say_length
from slipway.errors import Absent, Unreachable
from slipway.judgements import workload as objects
from slipway.judgements.log_levels import is_error
from slipway.judgements.logs import MOST_LINES, LogLine
from slipway.judgements.pods import started
from slipway.judgements.queries import fill
from slipway.judgements.workload import Raw
from slipway.messages.rollout import Workload
from slipway.plan import Loki as Store

if TYPE_CHECKING:
    from activities.adapters.cluster import Cluster
    from activities.adapters.loki import Loki
    from activities.adapters.pod_logs import PodLog

_SKEW = 2.0
"""Seconds by which a collector's time of a line may differ from the kubelet's."""
_SILENT = 60.0
"""Seconds that a container may be silent at first, while it starts."""
_BUSY = 100
"""Lines of any level that a log must hold before its beginning is taken for that of a new file."""


@dataclass(frozen=True)
class Read:
    """The error lines that were read of logs."""

    lines: list[LogLine]
    since: float
    """Since when these are all of them (unix seconds); later than was asked for where older ones
    could not be read."""


class LogSource:
    """Reads error lines. What cannot be read is an error: it is never no lines."""

    def __init__(self, cluster: "Cluster", loki: "Loki") -> None:
        """`cluster` holds the pods; `loki` is asked only where a plan names one."""
        self._cluster = cluster
        self._loki = loki

    async def of_pod(self, work: Workload, pod: Raw, since: float) -> Read:
        """Return the error lines of a pod's log since then (unix seconds), from Kubernetes."""
        try:
            found = await self._cluster.log_since(
                work.namespace,
                objects.name_of(pod),
                work.container,
                since_seconds=time.time() - since,
            )
            told = await self._told_since(work, pod, found, since)
        except Absent:
            return Read([], since)  # went away since the pods were listed
        return Read(await asyncio.to_thread(_errors, found.lines, since), told)

    async def _told_since(self, work: Workload, pod: Raw, found: "PodLog", since: float) -> float:
        """Return since when a log tells: a limit may have cut it, or the kubelet have begun a new
        file, since when it gives nothing of the old one.

        A new file shows in that the log's very first line is younger than both what was asked for
        and the container. A container that was silent since its start looks the same, so a log of
        few lines is taken for that of such a one: its silence is good news, and a second's worth
        of lines no measure of an hour.
        """
        if not found.whole:
            return max(since, found.lines[0].at if found.lines else time.time())
        began = max(since, started(pod, work.container))
        if len(found.lines) < _BUSY or found.lines[0].at <= began + _SILENT:
            return since
        name = objects.name_of(pod)
        first = await self._cluster.first_line(work.namespace, name, work.container)
        return since if first is not None and first.at <= began else found.lines[0].at

    async def of_pods(
        self, store: Store | None, work: Workload, pods: list[Raw], pattern: str, since: float
    ) -> Read:
        """Return the error lines of a service since then: of the `pods`, or, from Loki, of all
        whose names fit `pattern` (a regular expression), of these those that may be errors."""
        if store is not None:
            lines = await self.of_store(store, work, pods, pattern, since)
            return Read(lines, told_since(lines, since))
        found = await asyncio.gather(*(self.of_pod(work, pod, since) for pod in pods))
        lines = [line for one in found for line in one.lines]
        return Read(lines, max((one.since for one in found), default=since))

    async def oldest(
        self, store: Store, work: Workload, pattern: str, since: float
    ) -> float | None:
        """Return when the oldest line of a service's pods was written that Loki holds since then
        (unix seconds), or None when it holds none. Raises Unreachable when it does not answer."""
        return await self._loki.oldest(store, _selector(store, work, pattern), since, time.time())

    async def first_of(self, work: Workload, pods: list[Raw], since: float) -> float | None:
        """Return when the oldest line of these pods since then was written that Kubernetes has."""
        found = await asyncio.gather(*(self._first_line(work, pod, since) for pod in pods))
        return min((one.at for one in found if one is not None), default=None)

    async def of_store(
        self, store: Store, work: Workload, pods: list[Raw], pattern: str, since: float
    ) -> list[LogLine]:
        """Return the lines that may be errors, from Loki. `pods` tell whether it holds all.

        Raises Unreachable when it does not."""
        selector = _selector(store, work, pattern)
        lines = await self._loki.error_lines(store, selector, since, time.time())
        await asyncio.gather(*(self._require_whole(store, work, pod, since) for pod in pods))
        return lines

    async def _require_whole(self, store: Store, work: Workload, pod: Raw, since: float) -> None:
        """Raise Unreachable where a pod wrote what Loki should hold by now and does not: its first
        line after the newest one that Loki holds is older than the delay. Each pod is asked for:
        collectors run node by node, and one of them may be deaf.
        """
        now, name = time.time(), objects.name_of(pod)
        selector = _selector(store, work, re.escape(name))
        newest = await self._loki.newest(store, selector, since, now)
        after = since if newest is None else newest + _SKEW
        if now - after < store.delay:
            return  # whatever it wrote since may still be on its way
        wrote = await self._first_line(work, pod, after)
        if wrote is not None and now - wrote.at >= store.delay:
            ago = say_length(max(1.0, round(now - wrote.at)))
            raise Unreachable(
                f"Loki does not hold what pod {name} of {work.service} wrote {ago} ago.",
                "Check the collector of the pods' logs (it must keep every level), and the labels "
                "in the plan's `loki.selector`; where collecting takes longer, raise `loki.delay`.",
            )

    async def _first_line(self, work: Workload, pod: Raw, since: float) -> LogLine | None:
        try:
            return await self._cluster.first_line(
                work.namespace,
                objects.name_of(pod),
                work.container,
                since_seconds=time.time() - since,
            )
        except Absent:
            return None  # went away since the pods were listed


def told_since(lines: list[LogLine], since: float) -> float:
    """Return since when lines from Loki, which gives the newest so many, are all there are."""
    return lines[0].at if len(lines) >= MOST_LINES else since


def _errors(lines: list[LogLine], since: float) -> list[LogLine]:
    """The others need not be kept: most lines tell of no error."""
    return [line for line in lines if line.at >= since and is_error(line.text)]


def _selector(store: Store, work: Workload, pattern: str) -> str:
    return fill(store.selector, namespace=work.namespace, pods=pattern, container=work.container)
