"""Error lines of pod logs, by class, against the hour before."""

import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime

from slipway.plan import Limits, LogClass
from slipway.verdicts import Kind, Reason, Signal, Verdict

_LONGEST = 2000
_LEVEL = re.compile(r"\b(ERROR|FATAL|CRITICAL|ALERT|EMERG|EMERGENCY|PANIC|SEVERE)\b")
_LEVEL_HEAD = 120
"""Characters of a line in which its level is looked for."""
_ERROR_NAMES = {"error", "fatal", "critical", "alert", "emerg", "emergency", "panic", "severe"}
_PINO_ERROR = 50


@dataclass(frozen=True)
class LogLine:
    """One line of a pod's log: when it was written (unix seconds) and its text."""

    at: float
    text: str


def parse_lines(text: str) -> list[LogLine]:
    """Return the lines of a log read with timestamps; lines without one are left out."""
    lines = (one.partition(" ") for one in text.splitlines())
    return [LogLine(at, rest[:_LONGEST]) for stamp, _, rest in lines if (at := _seconds(stamp))]


def is_error(line: str) -> bool:
    """Whether a line is of level ERROR or above, as text or as JSON (`level`, `severity`)."""
    if line.startswith("{"):
        level = _json_level(line)
        if isinstance(level, int | float):
            return level >= _PINO_ERROR
        if level is not None:
            return str(level).lower() in _ERROR_NAMES
    return _LEVEL.search(line[:_LEVEL_HEAD]) is not None


def classify(lines: Iterable[LogLine], classes: Iterable[LogClass]) -> dict[str, int]:
    """Return how many error lines belong to each class; one line may belong to several."""
    patterns = [(one.name, re.compile(one.pattern)) for one in classes]
    counts = {name: 0 for name, _ in patterns}
    for line in lines:
        if is_error(line.text):
            for name, pattern in patterns:
                counts[name] += pattern.search(line.text) is not None
    return counts


def judge_logs(
    service: str,
    counts: Mapping[str, int],
    per_second: Mapping[str, float],
    seconds: float,
    limits: Limits,
) -> Verdict | None:
    """Return ROLLBACK when one class has at least `log_lines` lines in the window and more than
    `log_factor` times those of the time before, scaled to the window.

    `per_second`: lines of each class before the release; `seconds`: the window so far.
    """
    for name, count in sorted(counts.items(), key=lambda one: -one[1]):
        usual = per_second.get(name, 0.0) * seconds
        if count >= limits.log_lines and count > limits.log_factor * usual:
            because = (
                f"{service}: {count} error lines of class {name!r} in {seconds:.0f} s; "
                f"{usual:.1f} were to be expected from the hour before."
            )
            return Verdict(
                kind=Kind.ROLLBACK,
                signal=Signal.LOGS,
                reason=Reason.ERRORS_IN_LOGS,
                service=service,
                because=because,
                numbers={"lines": float(count), "expected": usual, "seconds": seconds},
            )
    return None


def heartbeat_problem(lines: Iterable[LogLine], pattern: str, now: float, silence: float) -> str:
    """Return why a service that is verified by its log seems dead, or the empty text."""
    wanted = re.compile(pattern)
    beats = [one.at for one in lines if wanted.search(one.text)]
    if not beats:
        return f"no log line matches {pattern!r}"
    ago = now - max(beats)
    if ago > silence:
        return f"the last log line matching {pattern!r} is {ago:.0f} s old, {silence:.0f} s may be"
    return ""


def _json_level(line: str) -> str | int | float | None:
    try:
        found = json.loads(line)
    except (ValueError, RecursionError):
        return None
    if not isinstance(found, dict):
        return None
    level = found.get("level", found.get("severity"))
    return level if isinstance(level, str | int | float) else None


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
