"""`why`: what a deployment waits for or why it failed: culprit, evidence, next command."""

import re
from collections.abc import Sequence

from slipway.advice import ADVICE
from slipway.base import utc_text
from slipway.run import Wait
from slipway.states import (
    ENDINGS,
    AbortState,
    Choice,
    ItemState,
    Outcome,
    Phase,
    ServiceState,
    UndoState,
)
from slipway.status import StatusDocument
from slipway.trouble import Trouble
from slipway.verdicts import Kind, Reason, Verdict

MOST_LINES = 24
_WIDEST = 400
_BEFORE = (Phase.PREFLIGHT, Phase.BACKUP, Phase.APPROVAL, Phase.GO)
"""Phases in which nothing in production is changed."""
_STOPPED_BEFORE = (Outcome.REJECTED, Outcome.EXPIRED, Outcome.STOPPED)
_DEPLOYMENT = re.compile(r"\b[a-z][a-z0-9-]*-[0-9]{8}T[0-9]{6}Z-[0-9a-f]{6}\b")


def explain(status: StatusDocument, note: str = "") -> list[str]:
    """Return at most 24 lines: what is waited for or what went wrong, and the next command.

    `note` says where the document comes from, when that matters. The last lines are commands:
    where there is too much to say, what stands above them is cut.
    """
    if any(one.kind in ENDINGS for one in status.trouble):
        body, commands = _ended_outside(status)
    elif status.outcome is Outcome.RUNNING:
        body, commands = _running(status)
    elif status.outcome is Outcome.DEPLOYED:
        body, commands = _deployed(status)
    else:
        body, commands = _failed(status)
    above = [_head(status), *([note] if note else []), *body]
    room = MOST_LINES - len(commands)
    if len(above) > room:
        above = [*above[: room - 1], f"… and more: slipway status {status.id}"]
    return [_fit(line) for line in [*above, *commands]]


Lines = tuple[list[str], list[str]]
"""What is said, and the commands that close it."""


def _head(status: StatusDocument) -> str:
    stands = status.outcome.value
    if status.outcome is Outcome.RUNNING:
        ended = [one.kind.value for one in status.trouble if one.kind in ENDINGS]
        stands = f"{ended[0] if ended else 'running'}, phase {status.phase.value}"
    return f"{status.id}: {status.release} to {status.environment}, {stands}."


def _running(status: StatusDocument) -> Lines:
    lines = _troubles(status.trouble)
    if status.abort is AbortState.REQUESTED:
        lines.append("Abort: requested; work in flight is being ended, no new step begins.")
    elif status.abort is AbortState.ACKNOWLEDGED:
        lines.append("Abort: acknowledged; nothing moves and no forward write follows.")
    lines += _waits(status)
    if not status.waiting_for:
        until = f", until {utc_text(status.current.until)}" if status.current.until else ""
        lines += [] if status.trouble else ["It waits for nobody."]
        lines.append(f"Now: {status.current.step or status.phase.value}{until}.")
        lines.append(f"     {status.current.reason}")
    lines += _refused(status)
    lines += _judged(status)
    if status.phase is Phase.ROLL_BACK:
        lines += _undone(status)
    return lines, [*_steer(status), f"Follow: slipway watch {status.id}"]


def _steer(status: StatusDocument) -> list[str]:
    """How it is stopped or taken back, where a wait does not offer a choice already."""
    offered = any(one.kind in ("operator", "window") for one in status.waiting_for)
    if offered or status.abort is not AbortState.NONE or status.phase is Phase.ROLL_BACK:
        return []
    if status.undo or _touched(status) or status.phase not in _BEFORE:
        return [f"Take back: slipway rollback {status.id} --reason WHY"]
    return [f"Stop: slipway abort {status.id} --reason WHY"]


def _troubles(found: Sequence[Trouble]) -> list[str]:
    lines: list[str] = []
    for one in found[:2]:
        lines.append(f"Trouble: {one.what}")
        if one.because:
            lines.append(f"     Why: {one.because}")
        lines.append(f"    Next: {one.next}")
        if one.command:
            lines.append(f"     Run: {one.command}")
    return lines + [f"Trouble: {one.what}" for one in found[2:4]]


def _waits(status: StatusDocument) -> list[str]:
    lines: list[str] = []
    for number, wait in enumerate(status.waiting_for[:3]):
        lines += _wait(wait, brief=number > 0)
    if len(status.waiting_for) > 3:
        lines.append(f"… and {len(status.waiting_for) - 3} more: slipway status {status.id}")
    return lines


def _wait(wait: Wait, *, brief: bool) -> list[str]:
    lines = [f"Waits for: {wait.what}"]
    if wait.who:
        lines.append(f"     Who: {', '.join(wait.who)}")
    if wait.until is not None and not brief:
        lines.append(f"   Until: {utc_text(wait.until)}, then: {wait.default or 'it goes on'}")
    if wait.choices:
        lines.append(f" Choices: {', '.join(choice.value for choice in wait.choices)}")
    if wait.command:
        label = "    Stop" if wait.kind == "window" else "  Answer"
        lines.append(f"{label}: {_for_a_person(wait)}")
    return lines


def _for_a_person(wait: Wait) -> str:
    """The command as one of the people named can use it."""
    named = wait.kind in ("approval", "acknowledge") and "--person" not in wait.command
    return f"{wait.command} --person YOU" if named else wait.command


def _refused(status: StatusDocument) -> list[str]:
    """The newest request, if it was refused: whoever sent a signal has seen no answer."""
    last = status.replies[-1] if status.replies else None
    if last is None or last.accepted:
        return []
    return [f"Refused: {last.kind}: {last.because}"]


def _judged(status: StatusDocument) -> list[str]:
    """What a parked step or a rollback follows from. A verdict that was settled before is none."""
    parked = next((one for one in status.waiting_for if one.kind == "operator"), None)
    verdict = status.verdict
    if parked is not None and status.phase is not Phase.ROLL_BACK:
        settled = verdict is None or verdict.because not in parked.what
        verdict = parked.verdict or (None if settled else verdict)
        if verdict is None:
            resumes = Choice.RESUME in parked.choices
            return [f"Next: {ADVICE[Reason.ABORTED if resumes else Reason.STEP_OUT_OF_ATTEMPTS]}"]
    if parked is None and status.phase is not Phase.ROLL_BACK:
        return []
    return _verdict(verdict) if verdict else []


def _verdict(verdict: Verdict) -> list[str]:
    lines = [f"Why: {verdict.reason.value}: {verdict.because}"]
    if verdict.service:
        lines.append(f"Culprit: {verdict.service} ({verdict.signal.value})")
    if verdict.numbers:
        numbers = ", ".join(f"{name} {value:g}" for name, value in sorted(verdict.numbers.items()))
        lines.append(f"Evidence: {numbers}")
    advice = ADVICE[verdict.reason]
    return [*lines, f"Next: {advice}"] if advice else lines


def _deployed(status: StatusDocument) -> Lines:
    lines = ["Nothing failed: the release is deployed and it waits for nobody."]
    noted = [one for one in status.services if one.notes]
    lines += [f"Accepted: {one.name}: {'; '.join(one.notes)}" for one in noted[:8]]
    gone = [one for one in status.checklist if one.state is not ItemState.DONE]
    lines += [f"Checklist: {one.title}: {one.state.value} {one.note}".rstrip() for one in gone[:6]]
    if status.aftercare:
        lines.append(f"Aftercare watches: workflow {status.aftercare}")
    return lines, [
        f"Report: slipway report {status.id}",
        f"Take back: slipway rollback {status.id} --reason WHY",
    ]


def _failed(status: StatusDocument) -> Lines:
    cause = _cause(status)
    lines = _verdict(cause) + _culprit(status)
    if status.outcome in _STOPPED_BEFORE:
        lines.append("Nothing in production was changed.")
    lines += _undone(status) + _lost(status)
    report = f"Report: slipway report {status.id}"
    if status.outcome is Outcome.ROLLBACK_INCOMPLETE:
        return lines, [f"Try again: slipway rollback {status.id} --reason WHY", report]
    holder = _DEPLOYMENT.search(cause.because)
    if cause.reason is Reason.ENVIRONMENT_HELD and holder and holder[0] != status.id:
        return lines, [f"Look: slipway why {holder[0]}", _AGAIN, report]
    if cause.reason in (Reason.STAGING_NOT_STABLE, Reason.ENVIRONMENT_NOT_READY):
        return lines, ["Look: slipway doctor PLAN RELEASE", _AGAIN, report]
    return lines, [_AGAIN, report]


_AGAIN = "Start again: slipway start PLAN RELEASE"


def _cause(status: StatusDocument) -> Verdict:
    if status.verdict is not None:
        return status.verdict
    because = status.current.reason or "no verdict was recorded"
    return Verdict.model_validate(
        {
            "kind": Kind.ROLLBACK,
            "signal": "rollout",
            "reason": Reason.STEP_OUT_OF_ATTEMPTS,
            "because": because,
        }
    )


def _culprit(status: StatusDocument) -> list[str]:
    """The service's own verdict and images, where the cause names a service."""
    name = status.verdict.service if status.verdict else None
    for one in status.services:
        if one.name == name:
            return [f"   Tried: {one.image_after}", f"  Serves: {one.image_before or 'unknown'}"]
    if status.verdict and status.verdict.reason is Reason.MIGRATION_FAILED:
        return [f"Culprit: migration {', '.join(one.tag for one in status.migrations) or '?'}"]
    return []


def _undone(status: StatusDocument) -> list[str]:
    if not status.undo:
        return []
    done = [one.step for one in status.undo if one.state is UndoState.DONE]
    lines = [f"Put back: {len(done)} of {len(status.undo)} ({', '.join(done) or 'none'})"]
    left = [one for one in status.undo if one.state is not UndoState.DONE]
    said = "Not put back yet" if status.outcome is Outcome.RUNNING else "NOT put back"
    return lines + [f"{said}: {one.step}: {one.because or one.state.value}" for one in left[:6]]


def _lost(status: StatusDocument) -> list[str]:
    if not status.lost_writes:
        return []
    rows = {name: count for name, count in sorted(status.lost_writes.items()) if count}
    if not rows:
        return ["Lost writes: none."]
    tables = ", ".join(f"{name} {count}" for name, count in list(rows.items())[:6])
    return [f"Lost writes: {sum(rows.values())} rows ({tables})"]


def _ended_outside(status: StatusDocument) -> Lines:
    """Temporal ended the run; slipway put nothing back."""
    lines = [*_troubles(status.trouble), _left_behind(status)]
    return lines, [f"Report: slipway report {status.id}"] if status.timeline else []


def _left_behind(status: StatusDocument) -> str:
    """What a run that was ended from outside means for production."""
    if status.undo:
        left = [one.step for one in status.undo if one.state is not UndoState.DONE]
        put_back = f"{len(status.undo) - len(left)} of {len(status.undo)} put back"
        return f"Production: still changed: {', '.join(left) or 'nothing'} ({put_back})."
    if touched := _touched(status):
        return f"Production: still changed: {', '.join(touched)}; the record names all of it."
    if status.phase in _BEFORE:
        return f"Production: nothing was changed. {status.environment} may still be taken by it."
    return "Production: what was changed still is; the record names all of it."


def _touched(status: StatusDocument) -> list[str]:
    """Services that this run has changed, as far as their states tell."""
    untouched = (ServiceState.WAITING, ServiceState.CAPTURED, ServiceState.REVERTED)
    return [one.name for one in status.services if one.state not in untouched]


def _fit(line: str) -> str:
    one_line = "".join(one if one.isprintable() else " " for one in line)
    return one_line if len(one_line) <= _WIDEST else one_line[: _WIDEST - 1] + "…"
