"""The plain rule (b6s): so many failures, in so many scrapes, and a ratio over the line. It is
printed beside the detector's verdict, and is what any detector must beat."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

LAST = 24
"""The last scrapes that are also judged by themselves (2 minutes at 5 s), so that a fault that
begins late is not hidden by the healthy time before it."""


@dataclass(frozen=True)
class PlainRule:
    """What the rule asks for."""

    failures: int = 6
    failing_scrapes: int = 3
    line: float = 0.01
    last: int = LAST

    def breaks(self, scrapes: Sequence[tuple[float, float]]) -> bool:
        """Whether (requests, failures) scrapes, all or the last ones, call for a rollback now."""
        return any(self.over(part) for part in (scrapes, scrapes[-self.last :]))

    def over(self, scrapes: Iterable[tuple[float, float]], line: float | None = None) -> bool:
        """Whether these scrapes together have enough failures, in enough scrapes, and a ratio over
        the line."""
        counted = list(scrapes)
        requests, failures = sum(max(one) for one in counted), sum(k for _, k in counted)
        failing = sum(k > 0 for _, k in counted)
        enough = failures >= self.failures and failing >= self.failing_scrapes
        return enough and failures > (self.line if line is None else line) * requests


def first_break(scrapes: Sequence[tuple[float, float]], rule: PlainRule) -> int | None:
    """Return the number (from 1) of the scrape at which the rule would have rolled back, or None.

    One pass over running totals: as `breaks` after every scrape, at a fraction of its cost.
    """
    recent = _Totals()
    whole = _Totals()
    for number, (requests, failures) in enumerate(scrapes, start=1):
        whole.add(requests, failures, 1)
        recent.add(requests, failures, 1)
        if number > rule.last:
            recent.add(*scrapes[number - 1 - rule.last], -1)
        if whole.over(rule) or recent.over(rule):
            return number
    return None


@dataclass
class _Totals:
    requests: float = 0.0
    failures: float = 0.0
    failing: int = 0

    def add(self, requests: float, failures: float, sign: int) -> None:
        self.requests += sign * max(requests, failures)
        self.failures += sign * failures
        self.failing += sign * (failures > 0)

    def over(self, rule: PlainRule) -> bool:
        enough = self.failures >= rule.failures and self.failing >= rule.failing_scrapes
        return enough and self.failures > rule.line * self.requests
