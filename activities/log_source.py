"""Where the error lines of a service's pods are read: in Kubernetes, or in the plan's Loki."""

import asyncio
import re
import time
from typing import TYPE_CHECKING

from slipway.base import say_length
from slipway.errors import Absent, Unreachable
from slipway.judgements import workload as objects
from slipway.judgements.logs import LogLine
from slipway.judgements.queries import fill
from slipway.judgements.workload import Raw
from slipway.messages.rollout import Workload
from slipway.plan import Loki as Store

if TYPE_CHECKING:
    from activities.adapters.cluster import Cluster
    from activities.adapters.loki import Loki

_SKEW = 2.0
"""Seconds by which a collector's time of a line may differ from the kubelet's."""


class LogSource:
    """Reads error lines. What cannot be read is an error: it is never no lines."""

    def __init__(self, cluster: "Cluster", loki: "Loki") -> None:
        """`cluster` holds the pods; `loki` is asked only where a plan names one."""
        self._cluster = cluster
        self._loki = loki

    async def of_pod(self, work: Workload, pod: Raw, since: float) -> list[LogLine]:
        """Return the lines of a pod's log since then (unix seconds), from Kubernetes."""
        try:
            found = await self._cluster.pod_log(
                work.namespace,
                objects.name_of(pod),
                work.container,
                since_seconds=time.time() - since,
            )
        except Absent:
            return []  # went away since the pods were listed
        return [line for line in found if line.at >= since]

    async def of_pods(
        self, store: Store | None, work: Workload, pods: list[Raw], pattern: str, since: float
    ) -> list[LogLine]:
        """Return the lines of a service since then: of the `pods`, or, from Loki, of all whose
        names fit `pattern` (a regular expression), of these those that may be errors."""
        if store is None:
            reads = (self.of_pod(work, pod, since) for pod in pods)
            return [line for found in await asyncio.gather(*reads) for line in found]
        return await self.of_store(store, work, pods, pattern, since)

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


def _selector(store: Store, work: Workload, pattern: str) -> str:
    return fill(store.selector, namespace=work.namespace, pods=pattern, container=work.container)
