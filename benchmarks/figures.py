"""What a benchmark hands back: spreads of runs, targets, verdicts. Pure."""

import json
import math
import statistics
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

_ROUNDING = 1e-9


@dataclass(frozen=True)
class Spread:
    """Median and range of the runs."""

    median: float
    lowest: float
    highest: float
    runs: int


def spread(values: Sequence[float]) -> Spread:
    """Return median and range. Raises ValueError when nothing was measured."""
    if not values:
        raise ValueError("nothing was measured")
    return Spread(statistics.median(values), min(values), max(values), len(values))


def quantile(values: Sequence[float], share: float) -> float:
    """Return the value that `share` of all (0 to 1) do not exceed: the nearest rank, no value that
    was never measured. Raises ValueError when there is none."""
    if not values:
        raise ValueError("nothing was measured")
    ordered = sorted(values)
    rank = math.ceil(share * len(ordered) - _ROUNDING)
    return ordered[min(len(ordered), max(1, rank)) - 1]


@dataclass(frozen=True)
class Figure:
    """One line of the table."""

    what: str
    measured: Spread
    unit: str = ""
    """`x` for a ratio inside one run, `s`, `ms`, `/s`, `MB`; empty for a count."""
    target: float | None = None
    """At most this. None: no target is set, it is told for those who size a server."""
    worst: bool = False
    """The worst run is judged instead of the median."""
    note: str = ""

    @property
    def reached(self) -> bool | None:
        """Whether the target is reached; None when there is none."""
        if self.target is None:
            return None
        judged = self.measured.highest if self.worst else self.measured.median
        return judged <= self.target


@dataclass(frozen=True)
class Result:
    """One benchmark at one size."""

    name: str
    size: str
    figures: list[Figure]
    raw: list[dict[str, Any]] = field(default_factory=list)
    """Of each run, as measured."""
    load: float = 0.0
    """The machine's one-minute load average when it began: above its cores, others worked too."""
    command: str = ""


def to_json(results: Sequence[Result], about: dict[str, Any]) -> str:
    """Return results and what they were measured on as a document."""
    rows = [asdict(one) for one in results]
    return json.dumps({**about, "results": rows}, indent=1) + "\n"


def from_json(text: str) -> list[Result]:
    """Read results back. Raises ValueError, KeyError or TypeError for another document."""
    found = []
    for one in json.loads(text)["results"]:
        figures = [
            Figure(**{**figure, "measured": Spread(**figure["measured"])})
            for figure in one["figures"]
        ]
        found.append(Result(**{**one, "figures": figures}))
    return found


def merged(before: Sequence[Result], after: Sequence[Result]) -> list[Result]:
    """Return all results, a newer one in its older one's place."""
    newer = {(one.name, one.size): one for one in after}
    kept = [newer.pop((one.name, one.size), one) for one in before]
    return [*kept, *newer.values()]
