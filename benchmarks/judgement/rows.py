"""The table: what is claimed of the detector, and on which cells it is measured."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from benchmarks.judgement.cells import FAULTS, INTERVALS, cells, fault, named
from benchmarks.judgement.measures import Alarmed, Alarms, Delay, Measure, NoAlarm
from benchmarks.judgement.parts import LONG, SHORT
from benchmarks.judgement.results import H3, HOLD, SAFE, SAFE_EVER

STRESS = "stress"
TWO_SCRAPES = (
    "One scrape never decides: two at 15 s, at a random phase, and the lag of 2 s take up to 32 s."
)
LATE_15 = (
    "Of a fault that begins late three scrapes are needed at 15 s, and the ratio of the last two "
    "minutes must pass 1 % first."
)


@dataclass(frozen=True)
class Row:
    """One line of the table."""

    number: str
    """Of the goal; `stress` for traffic that no goal is set for."""
    what: str
    interval: float
    cells: tuple[str, ...]
    measure: Measure
    column: str = H3
    note: str = ""
    """Why the target is out of reach, where it is."""


def rows() -> list[Row]:
    """Return all rows, the most important ones first."""
    order = ["1", "6", "2", "3", "4", "5", "8", "7", STRESS]
    every = [row for interval in INTERVALS for row in (*_goals(interval), *_stress(interval))]
    return sorted(every, key=lambda row: order.index(row.number))


def _goals(interval: float) -> Iterator[Row]:
    slow = interval == INTERVALS[1]

    def row(
        number: str,
        what: str,
        on: Sequence[str],
        measure: Measure,
        column: str = H3,
        note: str = "",
    ) -> Row:
        names = tuple(named(one, interval) for one in on)
        return Row(number, what, interval, names, measure, column, note if slow else "")

    healthy = "false rollback of a healthy deployment of 11 services, all at 0.1 %"
    yield row("1", healthy, ["deployments at 0.1 %"], Alarms(0.001))
    for window in (SHORT, LONG):
        text = f"3 % at 20 rps, {window / 60:.0f}-min window"
        yield row("2", text, [fault(20, 3, window)], Delay(45 if slow else 35))
    outages = [(rate, percent) for rate, percent in FAULTS if percent == 100]
    much = [fault(*one, window) for one in outages if one[0] >= 2 for window in (SHORT, LONG)]
    little = [fault(*one, window) for one in outages if one[0] < 2 for window in (SHORT, LONG)]
    yield row("3", "outage at 2, 20 and 200 rps", much, Delay(15), note=TWO_SCRAPES)
    yield row("3", "outage at 0.2 rps", little, Delay(45))
    for rate, seconds in ((20, 20), (2, 65)):
        on = [fault(rate, 10, window) for window in (SHORT, LONG)]
        note = TWO_SCRAPES if rate == 20 else ""
        yield row("4", f"10 % at {rate} rps", on, Delay(seconds), note=note)
    late = "3 % at 20 rps from minute 10 on"
    yield row("5", f"{late}: HOLD", ["late 3 % at 20 rps"], Delay(35), HOLD, LATE_15)
    yield row("5", f"{late}: ROLLBACK", ["late 3 % at 20 rps"], Delay(60), note=LATE_15)
    yield row("5", "the same at 2 rps: found in 5 min", ["late 3 % at 2 rps"], Alarmed())
    for rate in (20, 2, 200):
        for share, percent in (("2", 5), ("0.5", 20)):
            what = f"{share} % of scrapes at {percent} %, {rate} rps"
            goal = Alarms(0.01 if slow else 0.005)
            yield row("6", f"healthy, but {what}", [what], goal)
    before = [f"{p} % before and after, {rate} rps" for p in (1.2, 3) for rate in (200, 20, 2)]
    yield row("7", "no worse than before: 1.2 % and 3 %; 200, 20, 2 rps", before, NoAlarm())
    yield row("8", "0.5 % at 20 rps: HOLD", ["0.5 % at 20 rps"], Alarmed(0.95), HOLD)
    yield row("8", "0.5 % at 20 rps: ROLLBACK", ["0.5 % at 20 rps"], Alarms(0.10))


def _stress(interval: float) -> Iterator[Row]:
    """What no goal is set for: false rollbacks of a window, times to detect, SAFE."""
    used = {name for row in _goals(interval) for name in row.cells}
    for cell in cells().values():
        if cell.interval != interval or cell.name in used:
            continue
        name = (cell.name,)
        if cell.to_the_end:
            yield Row(STRESS, f"{cell.what}: at the end", interval, name, Alarms(), SAFE)
            yield Row(STRESS, f"{cell.what}: ever", interval, name, Alarms(), SAFE_EVER)
        elif cell.what in FAULTY:
            yield Row(STRESS, cell.what, interval, name, Delay())
        else:
            yield Row(STRESS, cell.what, interval, name, Alarms())


FAULTY = frozenset(
    {
        "1.2 % before, 5 % after, 20 rps",
        "1.2 % before, 5 % after, gamma per 15 s, shape 1",
        "1.2 % before, 5 % after, gamma per 15 s, shape 0.3",
        "3 %, gamma traffic, CV 1 per 5 s",
        "3 %, gamma traffic, CV 2 per 15 s",
        "3 %, each tried 3 times",
        "3 %, three pods",
        "one bad pod of 3 at 10 %",
        "one bad pod of 3 at 3 %",
        "3 %, 20 % of scrapes lost",
    }
)
"""Stress cells in which something is broken: the time to detect counts."""
