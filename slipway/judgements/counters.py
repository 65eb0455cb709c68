"""Counters as they are read, and what was counted: raw samples, never rates.

Rates and `increase` are not used: a series born at 12 failures has an increase of 0, a missing
5xx series makes a ratio vanish, and a restart hides what came before. Raw samples tell it all.
"""

import math
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
    empty: bool = False
    """Whether it was answered, and there is nothing of it."""
    too_long: bool = False
    """Whether the answer was too long to be read."""


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
    gap: str = ""
    """Why it cannot stand for the whole service; what is there was counted all the same, and may
    show that the release is broken, never that it is not."""
    uncounted: bool = False
    """Whether the service serves no HTTP and has no request counter: then it has no traffic."""

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


CODE_REMEDY = (
    "Let the counter tell the status of a request in a label `code`: rename the label it has "
    "(`metric_relabel_configs` in Prometheus), or name another counter in `metrics.requests` of "
    "the plan."
)
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


def without_code(series: Iterable[Series], pods: Pods) -> Unreadable | None:
    """Return why failed requests cannot be told from others: a counter without the label `code`
    would count all of them as good."""
    for one in series:
        pod = one.labels.get("pod", "")
        if pod.startswith(pods.prefix) and not one.labels.get("code"):
            there = ", ".join(sorted({*one.labels} - {"__name__"}))
            because = f"the request counter of {pod} has no label `code` (its labels: {there})"
            return Unreadable(because, CODE_REMEDY)
    return None


def share_above(buckets: Mapping[float, float], limit: float) -> float | Unreadable:
    """Return the share of requests slower than `limit` seconds."""
    total = buckets.get(math.inf, 0.0)
    if total <= 0:
        return Unreadable("the latency histogram counted nothing")
    within = next((count for bound, count in buckets.items() if same_bound(bound, limit)), None)
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


def bound_of(text: str) -> float:
    """Return a bucket's upper bound in seconds, NaN where that is none."""
    try:
        return float(text)  # "+Inf", "0.5", "1.0"
    except ValueError:
        return math.nan


def same_bound(one: float, other: float) -> bool:
    """Whether two bounds are the same, however they are written."""
    return math.isclose(one, other, rel_tol=1e-9)
