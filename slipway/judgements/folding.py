"""Raw counter samples folded to what was counted, scrape by scrape and process by process.

Samples are taken in chunks of time: however they are cut, the counts are the same, so that a day
need not be held at once. What a reset means: docs/decisions/0014.
"""

import math
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field

from slipway.judgements.counters import Pods, Scrape, Series, Traffic, bound_of, same_bound

Weights = tuple[float, float]
"""How often an increment counts as requests, and as failures."""
_TARGET = ("pod", "container", "instance", "job", "endpoint")
"""Labels that name what was scraped (Prometheus' Kubernetes discovery and its operator): series
that agree in them are counted by one process, scraped at one moment, and restart together."""
_Process = tuple[str, ...]
_Key = frozenset[tuple[str, str]]


def fold(series: Iterable[Series], pods: Pods, began: float, error_code: str) -> Traffic:
    """Return what a service's pods counted since `began` (unix seconds).

    `error_code`: regular expression of the codes that count as failed, matched as a whole.
    """
    return Counting(pods, began, failed_by_code(error_code)).add(series).traffic


def fold_slow(series: Iterable[Series], pods: Pods, began: float, limit: float) -> Traffic:
    """Return a latency histogram's requests since `began`, scrape by scrape: those slower than
    `limit` seconds count as failures. It needs a bucket at that limit (`share_above`)."""
    return Counting(pods, began, slower_than(limit)).add(series).traffic


def fold_buckets(series: Iterable[Series], pods: Pods, began: float) -> dict[float, float]:
    """Return a latency histogram since `began`: cumulative counts by upper bound in seconds."""
    return Buckets(pods, began).add(series).counts


def failed_by_code(error_code: str) -> Callable[[Mapping[str, str]], Weights]:
    """Return how a series of requests counts: failed where its code fits, as a whole."""
    failed = re.compile(error_code)
    return lambda labels: (1.0, float(bool(failed.fullmatch(labels.get("code", "")))))


def slower_than(limit: float) -> Callable[[Mapping[str, str]], Weights]:
    """Return how a bucket counts: all requests, less those within `limit` seconds, are slow."""

    def weigh(labels: Mapping[str, str]) -> Weights:
        bound = bound_of(labels.get("le", ""))
        every = float(bound == math.inf)
        return every, every - float(same_bound(bound, limit))

    return weigh


class Counting:
    """Requests and failures, scrape by scrape."""

    def __init__(
        self, pods: Pods, began: float, weigh: Callable[[Mapping[str, str]], Weights]
    ) -> None:
        self._increments = _Increments(pods, began)
        self._weigh = weigh
        self._steps: list[tuple[float, _Process, float, float]] = []

    def add(self, series: Iterable[Series]) -> "Counting":
        """Take a chunk of samples; those of a time that was taken before are left out."""
        for process, rows in self._increments.by_process(series).items():
            weighed = [(row, self._weigh(row.labels)) for row in rows]
            counting = [row for row, weights in weighed if any(weights)]
            weights = [weights for _, weights in weighed if any(weights)]
            for at, new in self._increments.of(process, counting):
                total = sum(one * weight for one, (weight, _) in zip(new, weights, strict=True))
                bad = sum(one * weight for one, (_, weight) in zip(new, weights, strict=True))
                self._steps.append((at, process, total, max(0.0, bad)))
        return self

    def fork(self, pods: Pods) -> "Counting":
        """Return a copy that goes on by itself, with the pods that are known now."""
        copy = Counting(pods, self._increments.began, self._weigh)
        copy._steps = [*self._steps]
        copy._increments = self._increments.fork(pods)
        return copy

    @property
    def traffic(self) -> Traffic:
        """All of it so far."""
        return _slots(sorted(self._steps), self._increments.newest)


class Buckets:
    """Cumulative counts of a latency histogram by upper bound."""

    def __init__(self, pods: Pods, began: float) -> None:
        self._increments = _Increments(pods, began)
        self._counts: dict[float, float] = {}

    def add(self, series: Iterable[Series]) -> "Buckets":
        """Take a chunk of samples; those of a time that was taken before are left out."""
        for process, rows in self._increments.by_process(series).items():
            bounds = [bound_of(row.labels.get("le", "")) for row in rows]
            for _, new in self._increments.of(process, rows):
                for bound, one in zip(bounds, new, strict=True):
                    self._counts[bound] = self._counts.get(bound, 0.0) + one
        return self

    @property
    def counts(self) -> dict[float, float]:
        """By upper bound in seconds, in order."""
        return {bound: self._counts[bound] for bound in sorted(self._counts) if bound == bound}


@dataclass
class _Past:
    """What a process had counted when it was scraped last."""

    last: dict[_Key, float] = field(default_factory=dict)
    there: frozenset[_Key] = frozenset()
    """The series of that scrape; others of `last` were not in it."""
    at: float = -math.inf


class _Increments:
    """What each scrape of a process added, since `began`."""

    def __init__(self, pods: Pods, began: float) -> None:
        self.pods = pods
        self.began = began
        self.newest: dict[str, float] = {}
        self._pasts: dict[_Process, _Past] = {}

    def fork(self, pods: Pods) -> "_Increments":
        copy = _Increments(pods, self.began)
        copy.newest = {**self.newest}
        pasts = self._pasts.items()
        copy._pasts = {key: _Past({**one.last}, one.there, one.at) for key, one in pasts}
        return copy

    def by_process(self, series: Iterable[Series]) -> dict[_Process, list[Series]]:
        """Return the series of the service's pods, by the process that counted them."""
        found: dict[_Process, list[Series]] = {}
        for one in series:
            if one.labels.get("pod", "").startswith(self.pods.prefix) and one.samples:
                process = tuple(one.labels.get(name, "") for name in _TARGET)
                found.setdefault(process, []).append(one)
        return found

    def of(self, process: _Process, rows: list[Series]) -> Iterator[tuple[float, list[float]]]:
        """Yield time and increments, one for each row, of each scrape that was not taken before.

        The first scrape of a process whose past is unknown adds nothing.
        """
        past, pod = self._pasts.setdefault(process, _Past()), process[0]
        counts_from_zero = self.pods.replaced or self.pods.born.get(pod, -math.inf) >= self.began
        keys = [frozenset(row.labels.items()) for row in rows]
        values = [dict(row.samples) for row in rows]
        for at in sorted({at for row in values for at in row if at > past.at}):
            known = past.at > -math.inf or counts_from_zero
            new = _taken(past, at, keys, values)
            if known and at > self.began:
                yield at, new
        self.newest[pod] = max(self.newest.get(pod, -math.inf), past.at)


def _taken(
    past: _Past, at: float, keys: list[_Key], values: list[dict[float, float]]
) -> list[float]:
    """Take a scrape into the past, and return what each series added.

    A series that falls from one scrape to the next means that the process restarted: all of its
    counters began anew, those as well that are not there yet. A registry makes them when they are
    counted for the first time, so that the old value of one must not be waited with: it would all
    be counted again. One that was missing and is lower when it is there again began anew in
    between, and the others were counted meanwhile.
    """
    now = {key: row[at] for key, row in zip(keys, values, strict=True) if at in row}
    if any(value < past.last[key] for key, value in now.items() if key in past.there):
        past.last = {}
    new = []
    for key in keys:
        value, old = now.get(key), past.last.get(key, 0.0)
        new.append(0.0 if value is None else value - old if value >= old else value)
    past.last |= now
    past.there, past.at = frozenset(now), at
    return new


def _slots(
    steps: list[tuple[float, _Process, float, float]], newest: Mapping[str, float]
) -> Traffic:
    """Join the processes' scrapes: a slot ends when one of them reports again. The last one is
    finished when every one that reported in the one before has."""
    scrapes: list[Scrape] = []
    expected, seen = {process for _, process, _, _ in steps}, set[_Process]()
    at = requests = failures = 0.0
    for when, process, count, bad in steps:
        if process in seen:
            scrapes.append(Scrape(at, requests, failures))
            expected, seen, requests, failures = seen, set(), 0.0, 0.0
        seen.add(process)
        at, requests, failures = when, requests + count, failures + bad
    if seen:
        scrapes.append(Scrape(at, requests, failures))
    return Traffic(tuple(scrapes), newest, unfinished=not expected <= seen)
