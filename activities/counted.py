"""What the pods of a service counted, read chunk by chunk: no answer is too long to be read,
however many series there are and however long the time is."""

from collections.abc import AsyncIterator
from typing import TYPE_CHECKING

from slipway.judgements.counters import Pods, Series, Traffic, Unreadable, without_code
from slipway.judgements.folding import Buckets, Counting, failed_by_code, slower_than

if TYPE_CHECKING:
    from activities.adapters.prometheus import Prometheus

CHUNK = 3600.0
"""Seconds of samples that are asked for at a time; halved where the answer is too long."""
_SHORTEST = 30.0
_OVERLAP = 1.0
"""Seconds that a chunk shares with the one before: moments are rounded, and what was counted
already is not counted again."""
_SETTLED = 300.0
"""What was scraped so many seconds ago does not change any more, and is not read again."""
_THIN = 60.0
"""Seconds between samples of what lies further back than the newest chunk."""


class Chunks:
    """The samples of a selector, in chunks of time."""

    def __init__(
        self, metrics: "Prometheus", url: str, query: str, *, thin_until: float = 0.0
    ) -> None:
        """Before `thin_until` (unix seconds) one sample a minute is read: a day of every scrape is
        some hundred megabytes, and counters lose nothing but what a restart hides in between."""
        self._metrics = metrics
        self._url = url
        self._query = query
        self._thin_until = thin_until
        self.length = CHUNK
        """Seconds that are asked for at a time."""

    async def between(
        self, since: float, until: float
    ) -> AsyncIterator[tuple[float, list[Series] | Unreadable]]:
        """Yield each chunk's end and samples, in order of time. One that is Unreadable is either
        empty or the last."""
        while since < until:
            end = min(since + self.length, until)
            step = _THIN if end <= self._thin_until else 0.0
            found = await self._metrics.samples(
                self._url, self._query, end - since + _OVERLAP, end, step
            )
            if isinstance(found, Unreadable) and found.too_long and end - since > _SHORTEST:
                self.length = (end - since) / 2
                continue
            yield end, found
            if isinstance(found, Unreadable) and not found.empty:
                return
            since = end


class Counted:
    """A service's requests since a window began. They are read again and again: what has settled
    once only."""

    def __init__(self, chunks: Chunks, since: float, began: float, error_code: str) -> None:
        """`since`: from when on samples are looked for (unix seconds), a little before `began`."""
        self._chunks = chunks
        self._since = since
        self._settled = Counting(Pods(""), began, failed_by_code(error_code))
        self._found = False

    async def read(self, pods: Pods, until: float) -> Traffic | Unreadable:
        """Return what was counted up to then."""
        counting, found = self._settled.fork(pods), self._found
        nothing = Unreadable("Prometheus holds no such series", empty=True)
        async for end, chunk in self._chunks.between(self._since, until):
            if isinstance(chunk, Unreadable):
                nothing = chunk
                if not chunk.empty:
                    return chunk
            elif wrong := without_code(chunk, pods):
                return wrong
            else:
                counting.add(chunk)
                found = True
            if end < until - _SETTLED:
                self._since, self._found, self._settled = end, found, counting.fork(pods)
        return counting.traffic if found else nothing


async def read_histogram(
    chunks: Chunks, since: float, began: float, pods: Pods, limit: float, until: float
) -> tuple[dict[float, float], Traffic] | Unreadable:
    """Return a latency histogram since `began`: by bucket, and the requests slower than `limit`
    seconds scrape by scrape."""
    buckets, slow = Buckets(pods, began), Counting(pods, began, slower_than(limit))
    nothing, found = Unreadable("Prometheus holds no such series", empty=True), False
    async for _, chunk in chunks.between(since, until):
        if isinstance(chunk, Unreadable):
            nothing = chunk
            if not chunk.empty:
                return chunk
            continue
        found = True
        buckets.add(chunk)
        slow.add(chunk)
    return (buckets.counts, slow.traffic) if found else nothing
