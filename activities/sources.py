"""What a watching window reads besides health: pods, traffic, latency, logs, shared numbers."""

import asyncio
import math
import time
from dataclasses import replace
from typing import TYPE_CHECKING

from activities.counted import CHUNK, Chunks, Counted, read_histogram
from slipway.errors import SlipwayError, Unreachable
from slipway.judgements import workload as objects
from slipway.judgements.counters import Pods, Traffic, Unreadable, prefix_of, quantile
from slipway.judgements.logs import ErrorLines, classify, in_steps, usual
from slipway.judgements.queries import fill
from slipway.judgements.traffic import coverage, uncounted
from slipway.judgements.workload import Raw
from slipway.messages.watch import LogsRead, Reading, Watched, WatchSlice

if TYPE_CHECKING:
    from activities.adapters.cluster import Cluster
    from activities.adapters.prometheus import Prometheus
    from activities.log_source import LogSource

_LOOKBACK = 5.0
"""Seconds beside two scrapes, before a window, in which a counter's last sample is looked for."""

_SIDE_BY_SIDE = 4
"""Services whose counters are read at a time."""
_LEAST_TOLD = 60.0
"""Seconds of the time before that a log must tell of to say what error lines are usual."""
_UNKNOWN = Unreadable("its ReplicaSet is not known")


class Sources:
    """Reads, and keeps what was read last. What could not be read says so: it is never zero."""

    def __init__(
        self, cluster: "Cluster", metrics: "Prometheus", logs: "LogSource", request: WatchSlice
    ) -> None:
        self._cluster = cluster
        self._metrics = metrics
        self._logs = logs
        self._request = request
        self._limit = asyncio.Semaphore(_SIDE_BY_SIDE)
        self._counted: dict[str, Counted] = {}
        self.pods: list[Raw] = []
        self.pods_missing: Unreadable | None = None
        self.traffic: dict[str, Traffic | Unreadable] = {}
        self.buckets: dict[str, dict[float, float] | Unreadable] = {}
        self.slow: dict[str, Traffic] = {}
        self.lines: dict[str, ErrorLines | Unreadable] = {}
        self.rates: dict[str, dict[str, float]] = {}
        self.logs_read = dict(request.mark.logs) if request.mark else {}
        self.connections: float | Unreadable | None = None
        self.external: float | Unreadable | None = None

    async def look_at_pods(self) -> None:
        """Read all pods of the namespaces, in one read each."""
        namespaces = {one.workload.namespace for one in self._request.watched}
        try:
            lists = await asyncio.gather(*map(self._cluster.list_pods, namespaces))
        except SlipwayError as error:
            self.pods_missing = Unreadable(error.what.rstrip("."), error.remedy)
            return
        self.pods, self.pods_missing = [pod for found in lists for pod in found], None

    def _judged(self) -> list[Watched]:
        """The services that the window is about: one that was just replaced, or all."""
        return [one for one in self._request.watched if one.focus or self._request.full]

    def pods_of(self, watched: Watched) -> list[Raw]:
        """Return the pods of the version that a service should be running."""
        if not watched.pod_hash:
            return []
        prefix = prefix_of(watched.workload.deployment, watched.pod_hash)
        return [
            pod
            for pod in self.pods
            if objects.name_of(pod).startswith(prefix)
            and objects.label(pod, objects.HASH_LABEL) == watched.pod_hash
            and objects.metadata(pod).get("namespace") == watched.workload.namespace
            and not objects.metadata(pod).get("deletionTimestamp")
        ]

    def require_pods_of(self, watched: Watched) -> list[Raw]:
        """Return the same pods; raise Unreachable where they could not be read."""
        if self.pods_missing is not None:
            raise Unreachable(f"{self.pods_missing.because}.", self.pods_missing.remedy)
        return self.pods_of(watched)

    async def read_traffic(self, began: float) -> None:
        """Read the request counters of all services since the window began."""
        if self.pods_missing is not None and not self.pods:  # whose counters, nobody knows
            names = (one.service.name for one in self._request.watched)
            self.traffic = dict.fromkeys(names, self.pods_missing)
            return
        await asyncio.gather(*(self._count(one, began) for one in self._request.watched))

    async def _count(self, watched: Watched, began: float) -> None:
        service, metrics, pods = watched.service, self._request.metrics, self._known(watched)
        if not watched.pod_hash:
            self.traffic[service.name] = _UNKNOWN
            return
        counted = self._counted.get(service.name)
        if counted is None:
            chunks = self._chunks(metrics.requests, watched)
            counted = Counted(chunks, self._since(began), began, metrics.error_code)
            self._counted[service.name] = counted
        async with self._limit:
            at = time.time()
            found = await counted.read(pods, at)
        if uncounted(watched, found):
            found = Traffic((), {}, uncounted=True)
        elif isinstance(found, Traffic):
            gap = coverage(found, pods, at, began, metrics.scrape_interval)
            found = replace(found, gap=gap)
        self.traffic[service.name] = found

    async def read_latency(self, began: float) -> None:
        """Read the latency histograms of the services whose latency is judged."""
        await asyncio.gather(*(self._read_histogram(one, began) for one in self._judged()))

    async def _read_histogram(self, watched: Watched, began: float) -> None:
        name, request, pods = watched.service.name, self._request, self._known(watched)
        if not watched.pod_hash:
            self.buckets[name] = _UNKNOWN
            return
        chunks, limit = self._chunks(request.metrics.latency, watched), request.limits.latency_p95
        async with self._limit:
            until = time.time()
            found = await read_histogram(chunks, self._since(began), began, pods, limit, until)
        if isinstance(found, Unreadable):
            self.buckets[name] = found
        else:
            self.buckets[name], self.slow[name] = found

    def _chunks(self, selector: str, watched: Watched) -> Chunks:
        """What is asked for a service: one at a time, so that one too large hides no other."""
        namespace = watched.workload.namespace
        query = fill(selector, namespace=namespace, pods=regex_of([watched]))
        url = self._request.metrics.url
        return Chunks(self._metrics, url, query, thin_until=time.time() - CHUNK)

    def _since(self, began: float) -> float:
        return began - 2 * self._request.metrics.scrape_interval - _LOOKBACK

    async def read_shared(self, began: float) -> None:
        """Read the database's connections, and the external calls of the services in focus."""
        judged = self._judged()
        if not judged:
            return
        at, metrics = time.time(), self._request.metrics
        window = max(at - began, 4 * metrics.scrape_interval)
        namespace = self._request.watched[0].workload.namespace
        pods = regex_of(judged)
        self.connections, self.external = await asyncio.gather(
            *(
                self._metrics.number(
                    metrics.url, fill(query, namespace=namespace, pods=pods, window=window), at
                )
                for query in (metrics.connections, metrics.external)
            )
        )

    async def read_logs(self, began: float) -> None:
        """Count the error lines of every service since the window began."""
        await asyncio.gather(*(self._read_log(one, began) for one in self._request.watched))

    async def _read_log(self, watched: Watched, began: float) -> None:
        name, baseline = watched.service.name, self._request.baseline
        past = watched.log_rates is None and not watched.replaced
        since = began - baseline if past else began
        work, pods = watched.workload, self.pods_of(watched)
        pattern, asked = regex_of([watched]), time.time()
        try:
            read = await self._logs.of_pods(self._request.loki, work, pods, pattern, since)
        except SlipwayError as error:
            self.lines[name] = Unreadable(error.what.rstrip("."), error.remedy)
            return
        step, classes = self._request.metrics.scrape_interval, self._request.logs
        missed = self._missed(name, began, read.since)
        self.logs_read[name] = LogsRead(until=asked, missed=missed)
        self.lines[name] = in_steps(read.lines, classes, began, step, time.time(), missing=missed)
        before = classify((one for one in read.lines if one.at < began), classes)
        told = began - max(since, read.since)
        if watched.log_rates is not None:
            self.rates[name] = dict(watched.log_rates)
        elif past and told < min(_LEAST_TOLD, baseline / 10):
            self.rates[name] = dict.fromkeys(before, math.inf)  # of which nothing is known
        else:
            cut = past and read.since > since
            self.rates[name] = usual(before, told if past else baseline, cut=cut)

    def _missed(self, name: str, began: float, told_since: float) -> float:
        """Return the seconds of the window whose lines nobody has read. A log may tell less than it
        did: the kubelet begins a new file, or so much is written that a limit cuts it. What the
        slices before have read of it was judged by them."""
        read = self._request.mark.logs.get(name) if self._request.mark else None
        if read is None:
            return max(0.0, told_since - began)
        return read.missed + max(0.0, told_since - read.until)

    def _known(self, watched: Watched) -> Pods:
        ready = [pod for pod in self.pods_of(watched) if objects.holds(pod, "Ready")]
        return Pods(
            prefix=prefix_of(watched.workload.deployment, watched.pod_hash),
            born={objects.name_of(pod): objects.born(pod) for pod in ready},
            replaced=watched.replaced,
        )

    def summary(self) -> str:
        """Return the traffic read so far in a few words, for the heartbeat."""
        read = [one for one in self.traffic.values() if isinstance(one, Traffic)]
        requests, failures = sum(one.requests for one in read), sum(one.failures for one in read)
        whole = sum(not one.gap for one in read)
        return f"{failures} of {requests} requests failed, {whole} services readable"

    def reading(self, watched: Watched, health: str, judged: str) -> Reading:
        """Return what was read of one service."""
        name = watched.service.name
        traffic, buckets = self.traffic.get(name), self.buckets.get(name)
        lines = self.lines.get(name)
        read = traffic if isinstance(traffic, Traffic) else Traffic((), {})
        return Reading(
            service=name,
            requests=read.requests,
            failures=read.failures,
            failing_scrapes=read.failing_scrapes,
            p95=quantile(buckets, 0.95) if isinstance(buckets, dict) else None,
            error_lines=lines.totals if isinstance(lines, ErrorLines) else {},
            health=health,
            judged=judged,
        )


def regex_of(watched: list[Watched]) -> str:
    """A regular expression of the pod names of these services. Names are DNS labels."""
    prefixes = (prefix_of(one.workload.deployment, one.pod_hash) for one in watched)
    return "|".join(f"{prefix}.+" for prefix in prefixes)
