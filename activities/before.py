"""The traffic of the time before a deployment: what a service's pods counted, and how evenly."""

import asyncio
import time
from collections.abc import Coroutine
from typing import TYPE_CHECKING

from activities.counted import Chunks, Counted
from activities.sources import regex_of
from slipway.judgements.counters import Pods, Unreadable, prefix_of
from slipway.judgements.incidents import condensed
from slipway.judgements.queries import fill
from slipway.messages.watch import Before, ReadBefore, TrafficBefore, Watched

if TYPE_CHECKING:
    from activities.adapters.prometheus import Prometheus

_SIDE_BY_SIDE = 3
"""Queries at a time: an hour of raw samples each."""
_QUIET = 1.0
_LONGER = 60.0
"""Seconds in which what is quiet is read further back, all services together."""


async def read_before(metrics: "Prometheus", request: ReadBefore) -> Before:
    """Read an hour of every service, and more of those below one request a second."""
    limit = asyncio.Semaphore(_SIDE_BY_SIDE)
    until = asyncio.get_running_loop().time() + _LONGER

    async def one(watched: Watched) -> TrafficBefore:
        async with limit:
            found = await _read(metrics, request, watched, request.length)
            if (
                not found.because
                and _quiet(found, request)
                and request.quiet_length > found.seconds
            ):
                longer = await _within(
                    until, _read(metrics, request, watched, request.quiet_length)
                )
                return found if longer is None or longer.because else longer
            return found

    found = await asyncio.gather(*map(one, request.watched))
    names = (watched.service.name for watched in request.watched)
    return Before(before=dict(zip(names, found, strict=True)))


async def _within(
    until: float, reading: Coroutine[None, None, TrafficBefore]
) -> TrafficBefore | None:
    """Return what was read in time, or None: an hour is better than no time before at all."""
    try:
        async with asyncio.timeout_at(until):
            return await reading
    except TimeoutError:
        return None


def _quiet(found: TrafficBefore, request: ReadBefore) -> bool:
    return found.requests < _QUIET * request.time_scale * found.seconds


async def _read(
    metrics: "Prometheus", request: ReadBefore, watched: Watched, length: float
) -> TrafficBefore:
    at, plan = time.time(), request.metrics
    if not watched.pod_hash:
        return TrafficBefore(because="its ReplicaSet is not known")
    query = fill(plan.requests, namespace=watched.workload.namespace, pods=regex_of([watched]))
    since = at - length
    counted = Counted(Chunks(metrics, plan.url, query), since, since, plan.error_code)
    pods = Pods(prefix_of(watched.workload.deployment, watched.pod_hash))
    traffic = await counted.read(pods, at)
    if isinstance(traffic, Unreadable):
        return TrafficBefore(because=traffic.because, empty=traffic.empty)
    if not traffic.scrapes:
        return TrafficBefore(because="its pods were scraped less than twice")
    return condensed(
        traffic.scrapes, min(length, at - traffic.scrapes[0].at + plan.scrape_interval)
    )
