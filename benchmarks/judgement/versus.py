"""Goal 10: on goals 1, 5 (at 2 rps) and 6 together the detector must beat plain arithmetic."""

from collections.abc import Mapping

import numpy as np

from benchmarks.judgement.cells import INTERVALS, named
from benchmarks.judgement.measures import MET, SHORT, Alarmed, Measured, percent
from benchmarks.judgement.results import H3, Found
from benchmarks.judgement.table import Line

NEEDS = ("1", "5", "6")
PLAIN = ("b6s", "b6s, 2 min")
_HEALTHY = "deployments at 0.1 %"
_LATE = "late 3 % at 2 rps"
_BURSTS = ("2 % of scrapes at 5 %, 20 rps", "0.5 % of scrapes at 20 %, 20 rps")


def lines(results: Mapping[str, Found]) -> list[Line]:
    """Compare with the plain rule, at each interval, and with the slower form of it."""
    return [_line(results, rule, interval) for interval in INTERVALS for rule in PLAIN]


def _line(results: Mapping[str, Found], rule: str, interval: float) -> Line:
    names = [named(what, interval) for what in (_HEALTHY, *_BURSTS)]
    late = results[named(_LATE, interval)]
    wrong = {one: [_alarms(results[name], one) for name in names] for one in (H3, rule)}
    found = {one: Alarmed().of([late], one) for one in (H3, rule)}
    fewer = all(ours <= theirs for ours, theirs in zip(wrong[H3], wrong[rule], strict=True))
    better = fewer and found[H3].value >= found[rule].value and sum(wrong[H3]) < sum(wrong[rule])
    runs = min(results[name].runs for name in (*names, late.cell.name))
    others = {rule: _measured(wrong[rule], found[rule])}
    ours = _measured(wrong[H3], found[H3], MET if better else SHORT)
    what = f"beats {rule}: false rollbacks of goal 1, of both of goal 6; found of goal 5 at 2 rps"
    return Line("10", what, interval, runs, "better", ours, others, (*names, late.cell.name))


def _measured(wrong: list[float], found: Measured, verdict: str = "") -> Measured:
    text = f"{', '.join(percent(one) for one in wrong)}; {found.text}"
    return Measured(found.value, text, text, verdict)


def _alarms(found: Found, column: str) -> float:
    return float(np.isfinite(found.times[column]).mean())
