"""What error lines are usual, which a window's lines are compared with."""

import time
from collections import Counter
from dataclasses import dataclass

from activities.log_source import LogSource, told_since
from slipway.judgements import log_templates
from slipway.judgements.logs import LogLine, classify, usual
from slipway.judgements.pods import started
from slipway.judgements.workload import Raw
from slipway.messages.rollout import Workload
from slipway.plan import LogClass, Loki


@dataclass(frozen=True)
class LogsBefore:
    """What the logs of all pods together told in the time before."""

    per_second: dict[str, float]
    """Error lines a second, by class."""
    kinds: list[str]
    """Which kinds of error lines there were (`log_templates`)."""


@dataclass(frozen=True)
class Past:
    """The time before, of one service."""

    work: Workload
    pods: list[Raw]
    """Those that are there."""
    pattern: str
    """A regular expression of the names of all its pods, those that are gone as well."""
    logs: list[LogClass]
    baseline: float
    """Seconds."""
    born: float
    """When the service came to be, in unix seconds."""


async def logs_before(source: LogSource, past: Past, loki: Loki | None) -> LogsBefore:
    """Read the `baseline` seconds before now: from Loki of all pods that the service had then, from
    Kubernetes of those that are there, of a younger container those seconds since it began. Where a
    log does not reach back so far, its lines are counted over the time that it tells of."""
    total, now = _Total(past.logs), time.time()
    if loki is not None:
        seconds = _age(past.born, past.baseline)
        lines = await source.of_store(loki, past.work, past.pods, past.pattern, now - seconds)
        told = await _told_of(source, past, loki, lines, now - seconds)
        total.add(lines, min(seconds, told), cut=told < seconds)
        return total.told()
    for pod in past.pods:
        now = time.time()
        seconds = _age(started(pod, past.work.container), past.baseline)
        read = await source.of_pod(past.work, pod, now - seconds)
        told = max(1.0, now - read.since)
        total.add(read.lines, told, cut=told < seconds)
    return total.told()


async def _told_of(
    source: LogSource, past: Past, loki: Loki, lines: list[LogLine], since: float
) -> float:
    """Return of how many seconds before now the lines tell: Loki may hold less than pods wrote, and
    of very many lines the newest are read."""
    now = time.time()
    if (told := told_since(lines, since)) > since:
        return max(1.0, now - told)
    oldest = await source.oldest(loki, past.work, past.pattern, since)
    wrote = await source.first_of(past.work, past.pods, since)
    if oldest is None or wrote is None or oldest - wrote <= loki.delay:
        return now - since
    return max(1.0, now - oldest)


def _age(born: float, most: float) -> float:
    return min(most, max(1.0, time.time() - born))


class _Total:
    def __init__(self, logs: list[LogClass]) -> None:
        self._logs = logs
        self._per_second = dict.fromkeys(classify([], logs), 0.0)
        self._kinds: Counter[str] = Counter()

    def add(self, lines: list[LogLine], seconds: float, *, cut: bool) -> None:
        """Add the lines of so many seconds, of a log that may be `cut` to them."""
        self._kinds += log_templates.templates(lines)
        for name, rate in usual(classify(lines, self._logs), seconds, cut=cut).items():
            self._per_second[name] += rate

    def told(self) -> LogsBefore:
        """Return all of it."""
        return LogsBefore(self._per_second, log_templates.kept(self._kinds))
