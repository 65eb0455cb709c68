"""`why`: what a deployment waits for or why it failed: culprit, evidence, next command."""

import re
from collections.abc import Sequence

from slipway.advice import ADVICE
from slipway.aftermath import BEFORE, Lines, deployed, failed, judged, left_behind, touched, undone
from slipway.base import utc_text
from slipway.run import Wait
from slipway.states import ENDINGS, AbortState, Choice, Outcome, Phase
from slipway.status import StatusDocument
from slipway.trouble import Trouble
from slipway.verdicts import Reason

MOST_LINES = 24
_WIDEST = 400
_DIGEST = re.compile(r"(sha256:[0-9a-f]{12})[0-9a-f]{52}")


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
        body, commands = deployed(status)
    else:
        body, commands = failed(status)
    above = [_head(status), *([note] if note else []), *body]
    room = MOST_LINES - len(commands)
    if len(above) > room:
        above = [*above[: room - 1], f"… and more: slipway status {status.id}"]
    return [_fit(line) for line in [*above, *commands]]


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
    lines += _refused(status) + _judged(status)
    if status.phase is Phase.ROLL_BACK:
        lines += undone(status)
    return lines, [*_steer(status), f"Follow: slipway watch {status.id}"]


def _ended_outside(status: StatusDocument) -> Lines:
    """Temporal ended the run; slipway put nothing back."""
    lines = [*_troubles(status.trouble), left_behind(status)]
    return lines, [f"Report: slipway report {status.id}"] if status.timeline else []


def _troubles(found: Sequence[Trouble]) -> list[str]:
    lines: list[str] = []
    for one in found[:2]:
        lines.append(f"Trouble: {one.what}")
        lines += [f"     Why: {one.because}"] if one.because else []
        lines.append(f"    Next: {one.next}")
        lines += [f"     Run: {one.command}"] if one.command else []
    return lines + [f"Trouble: {one.what}" for one in found[2:4]]


def _steer(status: StatusDocument) -> list[str]:
    """How it is stopped or taken back, where a wait does not offer a choice already."""
    offered = any(one.kind in ("operator", "window") for one in status.waiting_for)
    if offered or status.abort is not AbortState.NONE or status.phase is Phase.ROLL_BACK:
        return []
    if status.undo or touched(status) or status.phase not in BEFORE:
        return [f"Take back: slipway rollback {status.id} --reason WHY"]
    return [f"Stop: slipway abort {status.id} --reason WHY"]


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
    """What a parked step or a rollback follows from, and what to do about it."""
    parked = next((one for one in status.waiting_for if one.kind == "operator"), None)
    if parked is None:
        cause = status.verdict if status.phase is Phase.ROLL_BACK else None
        return judged(cause, "") if cause else []
    verdict = parked.verdict or status.verdict
    if verdict is not None and verdict.because in parked.what:
        return judged(verdict, ADVICE[verdict.reason])
    # The verdict was settled before, or it is what the rollback that is stuck now follows from.
    cause = verdict if status.phase is Phase.ROLL_BACK else None
    reason = Reason.ABORTED if Choice.RESUME in parked.choices else Reason.STEP_OUT_OF_ATTEMPTS
    return [f"Next: {ADVICE[reason]}", *(judged(cause, "") if cause else [])]


def _fit(line: str) -> str:
    """One line that cannot steer a terminal; digests are cut to what people compare."""
    one_line = "".join(one if one.isprintable() else " " for one in line)
    one_line = _DIGEST.sub(r"\1", one_line)
    return one_line if len(one_line) <= _WIDEST else one_line[: _WIDEST - 1] + "…"
