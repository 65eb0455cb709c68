"""Whether a run ended as `expectations.yaml` allows: outcome, reason, exit code, in time."""

from datetime import datetime

from devstack.demo.run import Ending
from devstack.world.expectations import End
from slipway.states import EXIT_CODES, Outcome

ALLOWANCE = 60.0
"""Seconds for tools and rollouts, on top of a deadline."""


def unexpected(ending: Ending, allowed: list[End]) -> list[str]:
    """Return a sentence where the run ended in no allowed way, or decided too late."""
    fitting = [end for end in allowed if _fits(ending, end)]
    if not fitting:
        return [f"it ended {_seen(ending)}; expected {'; '.join(map(_wanted, allowed))}"]
    if EXIT_CODES.get(_outcome(ending)) != ending.code:
        return [f"outcome {ending.outcome} came with exit code {ending.code}"]
    scale = float(ending.status.get("time_scale", 1.0))
    late = [_late(ending, end, scale) for end in fitting]
    return [] if "" in late else [late[0]]


def _fits(ending: Ending, end: End) -> bool:
    if end.outcome == "running":
        return any(_reason(one) in end.reasons for one in ending.parked)
    seen = (ending.outcome, ending.code)
    return seen == (end.outcome, end.exit_code) and ending.reason in end.reasons


def _late(ending: Ending, end: End, scale: float) -> str:
    """Return a sentence when the decision came after the deadline."""
    took = decided_at(ending, end) - ending.began
    limit = end.within / scale + ALLOWANCE
    if took <= limit:
        return ""
    return f"{end.outcome} was decided after {took:.0f} s; {limit:.0f} s are allowed"


def decided_at(ending: Ending, end: End) -> float:
    """Return when a step was parked, a rollback began, or else the run ended (seconds, 1970)."""
    if end.outcome == "running":
        return min(float(one["at"]) for one in ending.parked if _reason(one) in end.reasons)
    return _rolled_back_at(ending) or ending.ended


def first_decision(ending: Ending) -> float:
    """Return when the run first was decided about, whatever was expected (seconds, 1970)."""
    parked = [float(one["at"]) for one in ending.parked]
    return min([*parked, _rolled_back_at(ending) or ending.ended])


def _rolled_back_at(ending: Ending) -> float | None:
    for event in ending.status.get("timeline", []):
        if event["phase"] == "roll_back":
            return datetime.fromisoformat(event["at"]).timestamp()
    return None


def _outcome(ending: Ending) -> Outcome:
    try:
        return Outcome(ending.outcome)
    except ValueError:
        return Outcome.RUNNING


def _reason(parked: dict[str, object]) -> str:
    verdict = parked["verdict"]
    return str(verdict["reason"]) if isinstance(verdict, dict) else ""


def _seen(ending: Ending) -> str:
    parked = ", ".join(f"{one['step']} ({_reason(one) or '?'})" for one in ending.parked)
    told = f"{ending.outcome}, {ending.reason}, exit {ending.code}"
    return f"{told}; parked: {parked}" if parked else told


def _wanted(end: End) -> str:
    return f"{end.outcome}, {'/'.join(end.reasons)}, {end.exit_code}"
