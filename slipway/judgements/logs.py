"""Error lines of pod logs, by class and all together, against the hour before; and the database's
own alarm about corrupted data, one line of which is enough."""

import json
import math
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from slipway.judgements.forms import Raised, expected_events, judge_events
from slipway.judgements.log_levels import is_error
from slipway.judgements.sqlstates import tells_of_corruption
from slipway.plan import Limits, LogClass
from slipway.verdicts import Kind, Reason, Signal, Verdict

ALL = "any"
"""Stands for all error lines beside the plan's classes."""
CORRUPTED = "XX001/XX002"
"""Stands for error lines that carry SQLSTATE data_corrupted or index_corrupted."""
LONGEST = 65_536
"""Characters of a line that are looked at: a level may stand behind a long stack trace."""
_SEARCHED = 16_384
"""Characters in which the plan's patterns are searched: they may take the square of that."""
MOST_LINES = 20_000
"""Lines that are read of a log store at once; of more than that the newest ones."""
_BEAT = 2000
"""Characters of a line in which a heartbeat is looked for."""
_UNSEEN = 3
_WRITTEN_BY_RUNTIME = re.compile(r"^\S+ (?:stdout|stderr) [FP] ")


@dataclass(frozen=True)
class LogLine:
    """One line of a pod's log: when it was written (unix seconds) and its text."""

    at: float
    text: str


def parse_lines(text: str) -> list[LogLine]:
    """Return the lines of a log read with timestamps; lines without one are left out.

    Only a newline ends one: whatever else `str.splitlines` knows may stand in a text that a user
    sent, and what follows it would pass for a line of its own."""
    lines = (one.removesuffix("\r").partition(" ") for one in text.split("\n"))
    return [LogLine(at, rest[:LONGEST]) for stamp, _, rest in lines if (at := _seconds(stamp))]


def unwrapped(line: str) -> str:
    """Return what a container wrote, without what some collectors leave around it: the runtime's
    time, stream and flag, or an object with the line under `log`."""
    line = _WRITTEN_BY_RUNTIME.sub("", line)
    if line.startswith("{") and '"log"' in line:
        try:
            found = json.loads(line)
        except (ValueError, RecursionError):
            return line
        inner = found.get("log") if isinstance(found, dict) else None
        return inner.rstrip("\n") if isinstance(inner, str) else line
    return line


def classify(lines: Iterable[LogLine], classes: Iterable[LogClass]) -> dict[str, int]:
    """Return how many error lines belong to each class, how many there are, and how many tell of
    corrupted data; one line may belong to several."""
    patterns = [(one.name, re.compile(one.pattern)) for one in classes]
    counts = dict.fromkeys([*(name for name, _ in patterns), ALL, CORRUPTED], 0)
    for line in lines:
        if is_error(line.text):
            counts[ALL] += 1
            counts[CORRUPTED] += tells_of_corruption(line.text)
            for name, pattern in patterns:
                counts[name] += pattern.search(line.text[:_SEARCHED]) is not None
    return counts


def usual(counts: Mapping[str, int], seconds: float, *, cut: bool) -> dict[str, float]:
    """Return how many error lines a second are usual, by class, after `counts` in `seconds`.

    Of a log that is `cut` to less than was asked for, three more are counted: so many a time in
    which none was seen may have at most (at 95 %, the rule of three). Else one calm minute would
    stand for an hour without errors, and roll a healthy release back.
    """
    more = _UNSEEN if cut else 0
    return {name: (count + more) / seconds for name, count in counts.items()}


@dataclass(frozen=True)
class ErrorLines:
    """The error lines of a service in a window, class by class, in equal steps of time."""

    counts: Mapping[str, Sequence[int]]
    step: float
    """Seconds."""
    missing: float = 0.0
    """Seconds of the window whose lines were gone, or too many, when they were to be read."""

    @property
    def totals(self) -> dict[str, int]:
        """Lines in all, by class."""
        return {name: sum(steps) for name, steps in self.counts.items()}


def in_steps(
    lines: Iterable[LogLine],
    classes: Sequence[LogClass],
    began: float,
    step: float,
    until: float,
    *,
    missing: float = 0.0,
) -> ErrorLines:
    """Return the error lines written between `began` and `until` (unix seconds). `missing`: seconds
    in between whose lines nobody has read."""
    number = max(1, math.ceil((until - began) / step))
    sorted_in: list[list[LogLine]] = [[] for _ in range(number)]
    for line in lines:
        if line.at >= began:
            sorted_in[min(number - 1, int((line.at - began) / step))].append(line)
    found = [classify(part, classes) for part in sorted_in]
    counts = {name: [part[name] for part in found] for name in found[0]}
    return ErrorLines(counts, step, missing)


@dataclass(frozen=True)
class Before:
    """Error lines a second, by class, in the `seconds` before."""

    per_second: Mapping[str, float]
    seconds: float


def judge_logs(
    service: str, lines: ErrorLines, before: Before, planned: int, limits: Limits, *, last: bool
) -> Verdict | None:
    """Judge the classes of error lines, and all of them together. `planned`: steps of the window.

    A class counts with at least `log_lines` lines and more than `log_factor` times those of the
    time before. ROLLBACK then wants both e-processes, HOLD at a window's end (`last`) less of both:
    a few lines that come all at once are no release that fails. Of corrupted data one line is
    enough.
    """
    totals = lines.totals
    seconds = len(next(iter(lines.counts.values()), ())) * lines.step
    if corrupted := totals.get(CORRUPTED, 0):
        return _corrupted(service, corrupted, seconds)
    held = None
    for name, count in sorted(totals.items(), key=lambda one: (one[0] == ALL, -one[1])):
        usual = before.per_second.get(name, 0.0)
        if count < limits.log_lines or count <= limits.log_factor * usual * seconds:
            continue
        if name == ALL and name not in before.per_second:
            continue  # the usual rate was taken by an older slipway
        expected = expected_events(usual * before.seconds, before.seconds, lines.step)
        found = judge_events(lines.counts[name], planned, expected)
        if found.rolls_back:
            return _raised(Kind.ROLLBACK, service, name, count, usual * seconds, seconds, found)
        if found.holds and held is None:
            held = _raised(Kind.HOLD, service, name, count, usual * seconds, seconds, found)
    return held if last else None


def _corrupted(service: str, count: int, seconds: float) -> Verdict:
    because = f"{service}: {count} log lines carry SQLSTATE XX001 or XX002: the data is corrupted."
    return Verdict(
        kind=Kind.ROLLBACK,
        signal=Signal.LOGS,
        reason=Reason.DATA_CORRUPTION,
        service=service,
        because=because,
        numbers={"lines": float(count), "seconds": seconds},
    )


def _raised(
    kind: Kind,
    service: str,
    name: str,
    count: int,
    usual: float,
    seconds: float,
    found: Raised,
) -> Verdict:
    because = (
        f"{service}: {count} {lines_of(name)} in {seconds:.0f} s; "
        f"{usual:.1f} were to be expected from the hour before."
    )
    return Verdict(
        kind=kind,
        signal=Signal.LOGS,
        reason=Reason.ERRORS_IN_LOGS,
        service=service,
        because=because,
        numbers={
            "lines": float(count),
            "expected": usual,
            "seconds": seconds,
            "ln_e1": found.log_e1,
            "ln_e2": found.log_e2,
        },
    )


def lines_of(name: str) -> str:
    """Return what the lines that are counted under a name are called."""
    return "error lines" if name == ALL else f"error lines of class {name!r}"


def heartbeat_problem(lines: Iterable[LogLine], pattern: str, now: float, silence: float) -> str:
    """Return why a service that is verified by its log seems dead, or the empty text."""
    wanted = re.compile(pattern)
    beats = [one.at for one in lines if wanted.search(one.text[:_BEAT])]
    if not beats:
        return f"no log line matches {pattern!r}"
    ago = now - max(beats)
    if ago > silence:
        return f"the last log line matching {pattern!r} is {ago:.0f} s old, {silence:.0f} s may be"
    return ""


def _seconds(stamp: str) -> float:
    """Return unix seconds of `2026-11-23T18:00:00.123456789Z`; 0 when it is none."""
    head, dot, rest = stamp.partition(".")
    digits = re.match(r"\d+", rest)
    zone = rest[digits.end() :] if digits else ""
    fraction = float(f"0.{digits.group()}") if digits else 0.0
    try:
        return datetime.fromisoformat(head + zone if dot else stamp).timestamp() + fraction
    except ValueError:
        return 0.0
