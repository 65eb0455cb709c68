"""How a row is measured: shares of runs, and times to detect. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from benchmarks.judgement.results import Found
from benchmarks.judgement.scrapes import Flags
from slipway.judgements.bounds import upper_bound

MET, SHORT, UNSHOWN = "met", "FALLS SHORT", "too few runs"
_DOUBT = 0.05


@dataclass(frozen=True)
class Measured:
    """What a rule came to."""

    value: float
    """A share of runs, or seconds; infinity where too few runs were found."""
    text: str
    short: str
    verdict: str = ""
    """`MET`, `SHORT`, `UNSHOWN`; empty where there is no target."""


class Measure(Protocol):
    """Something that is measured of the runs of some cells."""

    @property
    def target(self) -> str:
        """The target in words; empty: none."""

    def of(self, cells: Sequence[Found], column: str) -> Measured:
        """Measure it for a rule."""


@dataclass(frozen=True)
class Alarms:
    """The share of runs in which the rule fires at all: of healthy ones none should. Of several
    cells the worst is told. Met only if the upper bound, at 95 %, is within the target as well."""

    most: float | None = None

    @property
    def target(self) -> str:
        """The target in words."""
        return "" if self.most is None else f"≤ {percent(self.most)}"

    def of(self, cells: Sequence[Found], column: str) -> Measured:
        """Measure the share."""
        value, count, runs = max(_fired(one, column) for one in cells)
        bound = upper_bound(count, runs, _DOUBT)
        text = f"{count:,} of {runs:,} ({percent(value)}; 95 %: ≤ {percent(bound)})"
        return Measured(value, text, percent(value), self._verdict(value, bound))

    def _verdict(self, value: float, bound: float) -> str:
        if self.most is None:
            return ""
        return SHORT if value > self.most else MET if bound <= self.most else UNSHOWN


@dataclass(frozen=True)
class NoAlarm:
    """Not a single run of all cells may fire."""

    @property
    def target(self) -> str:
        """The target in words."""
        return "0"

    def of(self, cells: Sequence[Found], column: str) -> Measured:
        """Count them."""
        counts = [_fired(one, column) for one in cells]
        count, runs = sum(one for _, one, _ in counts), sum(one for _, _, one in counts)
        return Measured(
            count / runs, f"{count:,} of {runs:,}", percent(count / runs), SHORT if count else MET
        )


@dataclass(frozen=True)
class Alarmed:
    """The share of faulty runs in which the rule fires, and not before the fault begins; of several
    cells the worst."""

    least: float | None = None

    @property
    def target(self) -> str:
        """The target in words."""
        return "" if self.least is None else f"≥ {percent(self.least)}"

    def of(self, cells: Sequence[Found], column: str) -> Measured:
        """Measure the share."""
        value = min(float(np.mean(_detected(cell, column))) for cell in cells)
        reached = value >= (0.0 if self.least is None else self.least)
        verdict = "" if self.least is None else MET if reached else SHORT
        return Measured(value, percent(value), percent(value), verdict)


@dataclass(frozen=True)
class Delay:
    """95 % of the runs are found within so many seconds, the lag of 2 s included; of several cells
    the slowest. A rule that fires before the fault has begun was wrong, and has not found it."""

    most: float | None = None

    @property
    def target(self) -> str:
        """The target in words."""
        return "" if self.most is None else f"p95 ≤ {self.most:.0f} s"

    def of(self, cells: Sequence[Found], column: str) -> Measured:
        """Measure the 95th percentile: the nearest rank."""
        value, short, text = max(self._of(one, column) for one in cells)
        verdict = "" if self.most is None else MET if value <= self.most else SHORT
        return Measured(value, text, short, verdict)

    @staticmethod
    def _of(found: Found, column: str) -> tuple[float, str, str]:
        seen = _detected(found, column)
        delay = np.where(seen, found.times[column] - found.cell.onset, np.inf)
        p95 = float(np.quantile(delay, 0.95, method="inverted_cdf"))
        if np.isfinite(p95):
            return p95, f"{p95:.1f} s", f"{p95:.1f} s (mean {delay[seen].mean():.1f})"
        share = f"{percent(float(seen.mean()))} found"
        early = float(np.mean(found.times[column] < found.cell.onset))
        return p95, share, share + (f", {percent(early)} before it began" if early else "")


def percent(share: float) -> str:
    """Return a share in words, with three significant digits: `0.015 %`, `78.2 %`, `100 %`."""
    return f"{100 * share:.3g} %"


def _detected(found: Found, column: str) -> Flags:
    times = found.times[column]
    detected: Flags = np.isfinite(times) & (times >= found.cell.onset)
    return detected


def _fired(found: Found, column: str) -> tuple[float, int, int]:
    count = int(np.isfinite(found.times[column]).sum())
    return count / found.runs, count, found.runs
