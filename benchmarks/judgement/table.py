"""The rows as a document and as a table in Markdown."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from benchmarks.judgement.measures import SHORT, Measured
from benchmarks.judgement.results import Found
from benchmarks.judgement.rows import STRESS, Row
from benchmarks.judgement.rules import RULES

_GOALS = ("#", "what", "scrapes", "runs", "target", "h3", "verdict", *RULES)
_REST = ("what", "scrapes", "runs", "h3", *RULES)


ABOUT = """\
Every window is judged by the detector that slipway ships; the others see the same scrapes. Scrapes
after a window's last failure are judged as long as that one is "now": later ones cannot change a
decision, and are left out. Times count from the fault's beginning to the decision, 2 s from scrape
to judgement included. A rate is met only if its upper bound at 95 % is within the target. Runs are
those of each cell; of several cells the worst is told. HOLD has no counterpart in the other rules:
beside it stands when they roll back."""


@dataclass(frozen=True)
class Line:
    """A row that was measured."""

    number: str
    what: str
    interval: float
    """Seconds between scrapes."""
    runs: int
    """Of each cell."""
    target: str
    h3: Measured
    others: dict[str, Measured]
    cells: tuple[str, ...] = ()
    note: str = ""


def line(row: Row, results: Mapping[str, Found]) -> Line:
    """Measure a row, for the shipped detector and every other rule."""
    found = [results[name] for name in row.cells]
    ours = row.measure.of(found, row.column)
    others = (
        {}
        if row.column.startswith("SAFE")
        else {rule: row.measure.of(found, rule) for rule in RULES}
    )
    note = row.note if ours.verdict == SHORT else ""
    runs = min(one.runs for one in found)
    return Line(
        row.number, row.what, row.interval, runs, row.measure.target, ours, others, row.cells, note
    )


def document(lines: Sequence[Line], about: Mapping[str, Any]) -> str:
    """Return the figures as JSON."""
    kept = []
    for one in lines:
        values = asdict(one) | {"verdict": one.h3.verdict}
        values["h3"] = one.h3.text
        values["others"] = {rule: measured.text for rule, measured in one.others.items()}
        kept.append(values)
    return json.dumps({**about, "rows": kept}, indent=1) + "\n"


def rendered(lines: Sequence[Line]) -> str:
    """Return the table of goals, and the one of stress without targets."""
    goals = [_goal(one) for one in lines if one.number != STRESS]
    stress = [_stress(one) for one in lines if one.number == STRESS]
    notes = list(
        dict.fromkeys(f"- {one.what}, {_scrapes(one)}: {one.note}" for one in lines if one.note)
    )
    parts = [ABOUT, *([_drawn(_GOALS, goals)] if goals else [])]
    parts += ["\n".join(notes)] if notes else []
    parts += [_drawn(_REST, stress)] if stress else []
    return "\n\n".join(parts) + "\n"


def _goal(one: Line) -> tuple[str, ...]:
    runs = f"{one.runs:,}"
    rest = [one.others[rule].short if rule in one.others else "" for rule in RULES]
    return (
        one.number,
        one.what,
        _scrapes(one),
        runs,
        one.target,
        one.h3.text,
        one.h3.verdict,
        *rest,
    )


def _stress(one: Line) -> tuple[str, ...]:
    rest = [one.others[rule].short if rule in one.others else "" for rule in RULES]
    return one.what, _scrapes(one), f"{one.runs:,}", one.h3.text, *rest


def _scrapes(one: Line) -> str:
    return f"{one.interval:.0f} s"


def _drawn(head: Sequence[str], lines: Sequence[Sequence[str]]) -> str:
    widths = [max(len(line[column]) for line in [head, *lines]) for column in range(len(head))]
    ruled = ["-" * width for width in widths]
    drawn = [
        "| "
        + " | ".join(text.ljust(width) for text, width in zip(line, widths, strict=True))
        + " |"
        for line in [head, ruled, *lines]
    ]
    return "\n".join(drawn)
