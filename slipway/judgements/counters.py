"""From raw counter samples to what happened in a window: per pod, per scrape, resets included.

Rates and `increase` are not used: a series born at 12 failures has an increase of 0, a missing
5xx series makes a ratio vanish, and a restart hides what came before. Raw samples tell it all.
"""

import math
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Series:
    """One series: its labels, and samples (unix seconds, value) in order of time."""

    labels: Mapping[str, str]
    samples: tuple[tuple[float, float], ...]


@dataclass(frozen=True)
class Unreadable:
    """Nothing that could be judged was read, and why: never the same as zero."""

    because: str
    remedy: str = ""


@dataclass(frozen=True)
class Pods:
    """The pods a service should be running. `born`: creation times (unix seconds) by name."""

    prefix: str
    """What the names of its pods begin with."""
    born: Mapping[str, float] = field(default_factory=dict)
    """Ready pods; those that have gone are still read by their prefix."""
    replaced: bool = False
    """Whether this run brought them up, so that their counters began at zero with it."""


@dataclass(frozen=True)
class Scrape:
    """What all pods together counted between two scrapes."""

    at: float
    requests: float
    failures: float


@dataclass(frozen=True)
class Traffic:
    """Everything counted in a window, scrape by scrape."""

    scrapes: tuple[Scrape, ...]
    newest: Mapping[str, float]
    """Time of the newest sample, pod by pod."""
    unfinished: bool = False
    """Whether a pod has yet to report in the last scrape: then its counts will still grow."""

    @property
    def finished(self) -> tuple[Scrape, ...]:
        """The scrapes that will not change when they are read again."""
        return self.scrapes[:-1] if self.unfinished else self.scrapes

    @property
    def requests(self) -> int:
        """Requests in all."""
        return round(sum(one.requests for one in self.scrapes))

    @property
    def failures(self) -> int:
        """Failed requests in all."""
        return round(sum(one.failures for one in self.scrapes))

    @property
    def failing_scrapes(self) -> int:
        """Scrapes that saw at least one failed request."""
        return sum(one.failures > 0 for one in self.scrapes)

    @property
    def ratio(self) -> float:
        """Share of failed requests; 0 without requests."""
        return self.failures / self.requests if self.requests else 0.0


_SAFE = "[bcdfghjklmnpqrstvwxz2456789]"
"""What Kubernetes makes random names of (k8s.io/apimachinery/pkg/util/rand): no vowels, so that no
other word is taken for one."""
_KEPT = 58
_WHOLE = _KEPT - len("-0123456789-")
"""Characters of a Deployment's name up to which its pods' names hold the whole template hash."""


def prefix_of(deployment: str, pod_hash: str) -> str:
    """Return what the pod names of a ReplicaSet begin with: Kubernetes cuts its name at 58
    characters before it adds five of its own."""
    return f"{deployment}-{pod_hash}-"[:_KEPT]


def pods_of_any_version(deployment: str) -> str:
    """Return a regular expression of the pod names that a Deployment's ReplicaSets ever made."""
    if len(deployment) > _WHOLE:
        return f"{deployment}-"[:_KEPT] + ".+"
    return f"{deployment}-{_SAFE}{{1,10}}-{_SAFE}{{5}}"


def fold(series: Iterable[Series], pods: Pods, began: float, error_code: str) -> Traffic:
    """Return what a service's pods counted since `began` (unix seconds).

    `error_code`: regular expression of the codes that count as failed, matched as a whole.
    """
    failed = re.compile(error_code)
    steps: list[tuple[float, str, float, float]] = []
    newest: dict[str, float] = {}
    for pod, rows in _by_pod(series, pods).items():
        marks = [1.0 if failed.fullmatch(row.labels.get("code", "")) else 0.0 for row in rows]
        for at, increments in _increments(pod, rows, pods, began):
            bad = sum(one * mark for one, mark in zip(increments, marks, strict=True))
            steps.append((at, pod, sum(increments), bad))
        newest[pod] = max(row.samples[-1][0] for row in rows)
    return _slots(sorted(steps), newest)


def fold_buckets(series: Iterable[Series], pods: Pods, began: float) -> dict[float, float]:
    """Return a latency histogram since `began`: cumulative counts by upper bound in seconds."""
    counts: dict[float, float] = {}
    for pod, rows in _by_pod(series, pods).items():
        bounds = [_bound(row.labels.get("le", "")) for row in rows]
        for _, increments in _increments(pod, rows, pods, began):
            for bound, one in zip(bounds, increments, strict=True):
                counts[bound] = counts.get(bound, 0.0) + one
    return {bound: counts[bound] for bound in sorted(counts) if not math.isnan(bound)}


def fold_slow(series: Iterable[Series], pods: Pods, began: float, limit: float) -> Traffic:
    """Return a latency histogram's requests since `began`, scrape by scrape: those slower than
    `limit` seconds count as failures. It needs a bucket at that limit (`share_above`)."""
    steps: list[tuple[float, str, float, float]] = []
    newest: dict[str, float] = {}
    for pod, rows in _by_pod(series, pods).items():
        bounds = [_bound(row.labels.get("le", "")) for row in rows]
        for at, increments in _increments(pod, rows, pods, began):
            pairs = list(zip(bounds, increments, strict=True))
            total = sum(one for bound, one in pairs if bound == math.inf)
            within = sum(one for bound, one in pairs if _same(bound, limit))
            steps.append((at, pod, total, max(0.0, total - within)))
        newest[pod] = max(row.samples[-1][0] for row in rows)
    return _slots(sorted(steps), newest)


def share_above(buckets: Mapping[float, float], limit: float) -> float | Unreadable:
    """Return the share of requests slower than `limit` seconds."""
    total = buckets.get(math.inf, 0.0)
    if total <= 0:
        return Unreadable("the latency histogram counted nothing")
    within = next((count for bound, count in buckets.items() if _same(bound, limit)), None)
    if within is None:
        return Unreadable(
            f"the latency histogram has no bucket at {limit:g} s",
            f"Give the histogram a bucket at {limit:g} s and one above.",
        )
    return max(0.0, 1.0 - within / total)


def quantile(buckets: Mapping[float, float], q: float) -> float | None:
    """Return a quantile in seconds, interpolated within its bucket; for the reader only. None
    without data; the last finite bound when it lies above all of them."""
    total = buckets.get(math.inf, 0.0)
    if total <= 0:
        return None
    rank, below, lower = q * total, 0.0, 0.0
    for bound, count in sorted(buckets.items()):
        if count >= rank:
            if bound == math.inf:
                return lower
            inside = count - below
            return lower + (bound - lower) * ((rank - below) / inside if inside else 1.0)
        below, lower = count, bound
    return lower


def _by_pod(series: Iterable[Series], pods: Pods) -> dict[str, list[Series]]:
    found: dict[str, list[Series]] = {}
    for one in series:
        pod = one.labels.get("pod", "")
        if pod.startswith(pods.prefix) and one.samples:
            found.setdefault(pod, []).append(one)
    return found


def _increments(
    pod: str, rows: list[Series], pods: Pods, began: float
) -> Iterable[tuple[float, list[float]]]:
    """Yield time and increments of each scrape of one pod since `began`.

    A decrease of any series means that the container restarted: all of its counters began anew.
    """
    times = sorted({at for row in rows for at, _ in row.samples})
    values = [dict(row.samples) for row in rows]
    before = [at for at in times if at <= began]
    known_from_birth = pods.replaced or pods.born.get(pod, -math.inf) >= began
    first = not before and not known_from_birth
    last = [0.0] * len(rows)
    for at in before:
        last = [now.get(at, old) for now, old in zip(values, last, strict=True)]
    for at in times[len(before) :]:
        now = [one.get(at, old) for one, old in zip(values, last, strict=True)]
        if any(one < old for one, old in zip(now, last, strict=True)):
            last = [0.0] * len(rows)
        if not first:
            yield at, [one - old for one, old in zip(now, last, strict=True)]
        first, last = False, now


def _slots(steps: list[tuple[float, str, float, float]], newest: Mapping[str, float]) -> Traffic:
    """Join the pods' scrapes: a slot ends when one of its pods reports again. The last one is
    finished when every pod that reported in the one before has."""
    scrapes: list[Scrape] = []
    expected, seen = {pod for _, pod, _, _ in steps}, set[str]()
    at = requests = failures = 0.0
    for when, pod, count, bad in steps:
        if pod in seen:
            scrapes.append(Scrape(at, requests, failures))
            expected, seen, requests, failures = seen, set(), 0.0, 0.0
        seen.add(pod)
        at, requests, failures = when, requests + count, failures + bad
    if seen:
        scrapes.append(Scrape(at, requests, failures))
    return Traffic(tuple(scrapes), newest, unfinished=not expected <= seen)


def _bound(text: str) -> float:
    try:
        return float(text)  # "+Inf", "0.5", "1.0"
    except ValueError:
        return math.nan


def _same(one: float, other: float) -> bool:
    return math.isclose(one, other, rel_tol=1e-9)
