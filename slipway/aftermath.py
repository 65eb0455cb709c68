"""What failed, what was put back, what stands changed: said in lines, also while it is put back."""

import re

from slipway.advice import afterwards
from slipway.states import ItemState, Outcome, Phase, ServiceState, UndoState
from slipway.status import StatusDocument
from slipway.verdicts import Kind, Reason, Signal, Verdict

Lines = tuple[list[str], list[str]]
"""What is said, and the commands that close it."""
BEFORE = (Phase.PREFLIGHT, Phase.BACKUP, Phase.APPROVAL, Phase.GO)
"""Phases in which nothing in production is changed."""
_STOPPED_BEFORE = (Outcome.REJECTED, Outcome.EXPIRED, Outcome.STOPPED)
_DEPLOYMENT = re.compile(r"\b[a-z][a-z0-9-]*-[0-9]{8}T[0-9]{6}Z-[0-9a-f]{6}\b")
_AGAIN = "Start again: slipway start PLAN RELEASE"


def deployed(status: StatusDocument) -> Lines:
    """Say what was accepted and what is still open of a release that stands."""
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


def failed(status: StatusDocument) -> Lines:
    """Say why a run ended without its release, and what was put back."""
    cause = _cause(status)
    incomplete = status.outcome is Outcome.ROLLBACK_INCOMPLETE
    lines = judged(cause, "" if incomplete else afterwards(cause.reason)) + _culprit(status)
    if status.outcome in _STOPPED_BEFORE:
        lines.append("Nothing in production was changed.")
    lines += undone(status) + _lost(status)
    if incomplete:
        lines.append("Next: Repair what kept it from going back, then try again.")
    return lines, [*_ways_on(status, cause), f"Report: slipway report {status.id}"]


def _ways_on(status: StatusDocument, cause: Verdict) -> list[str]:
    if status.outcome is Outcome.ROLLBACK_INCOMPLETE:
        return [f"Try again: slipway rollback {status.id} --reason WHY"]
    holder = _DEPLOYMENT.search(cause.because)
    if cause.reason is Reason.ENVIRONMENT_HELD and holder and holder[0] != status.id:
        return [f"Look: slipway why {holder[0]}", _AGAIN]
    if cause.reason in (Reason.STAGING_NOT_STABLE, Reason.ENVIRONMENT_NOT_READY):
        return ["Look: slipway doctor PLAN RELEASE", _AGAIN]
    return [_AGAIN]


def _cause(status: StatusDocument) -> Verdict:
    return status.verdict or Verdict(
        kind=Kind.ROLLBACK,
        signal=Signal.ROLLOUT,
        reason=Reason.STEP_OUT_OF_ATTEMPTS,
        because=status.current.reason or "no verdict was recorded",
    )


def judged(verdict: Verdict, advice: str) -> list[str]:
    """Say a verdict: reason, culprit, evidence, and what to do about it."""
    lines = [f"Why: {verdict.reason.value}: {verdict.because}"]
    if verdict.service:
        lines.append(f"Culprit: {verdict.service} ({verdict.signal.value})")
    if verdict.numbers:
        numbers = ", ".join(f"{name} {value:g}" for name, value in sorted(verdict.numbers.items()))
        lines.append(f"Evidence: {numbers}")
    return [*lines, f"Next: {advice}"] if advice else lines


def _culprit(status: StatusDocument) -> list[str]:
    """The service's own images, where the cause names a service; else the migration."""
    name = status.verdict.service if status.verdict else None
    for one in status.services:
        if one.name == name:
            return [f"   Tried: {one.image_after}", f"  Serves: {one.image_before or 'unknown'}"]
    if status.verdict and status.verdict.reason is Reason.MIGRATION_FAILED:
        return [f"Culprit: migration {', '.join(one.tag for one in status.migrations) or '?'}"]
    return []


_STANDS = {
    UndoState.READY: "its turn has not come",
    UndoState.RUNNING: "under way",
    UndoState.FAILED: "failed",
}


def undone(status: StatusDocument) -> list[str]:
    """Say what was put back and what was not."""
    if not status.undo:
        return []
    done = [one.step for one in status.undo if one.state is UndoState.DONE]
    lines = [f"Put back: {len(done)} of {len(status.undo)} ({', '.join(done) or 'none'})"]
    lines += [f"Left: {one.step}: {one.because}" for one in status.undo if one.left]
    not_back = [one for one in status.undo if one.state is not UndoState.DONE and not one.left]
    said = "Not put back yet" if status.outcome is Outcome.RUNNING else "NOT put back"
    return lines + [
        f"{said}: {one.step}: {one.because or _STANDS[one.state]}" for one in not_back[:6]
    ]


def _lost(status: StatusDocument) -> list[str]:
    if status.lossless:
        return [f"Lost writes: none.{_aside(status)}"]
    if not status.lost_writes:
        return []
    rows = {name: count for name, count in sorted(status.lost_writes.items()) if count}
    if not rows:
        return ["Lost writes: none."]
    tables = ", ".join(f"{name} {count}" for name, count in list(rows.items())[:6])
    return [f"Lost writes: {sum(rows.values())} rows ({tables})"]


def _aside(status: StatusDocument) -> str:
    if not status.conflict_file:
        return ""
    count = status.conflicts + status.aside
    return f" {count} rows did not fit the old schema, or not all of them: {status.conflict_file}"


def left_behind(status: StatusDocument) -> str:
    """Say what a run that was ended from outside means for production."""
    if status.undo:
        left = [one.step for one in status.undo if one.state is not UndoState.DONE]
        put_back = f"{len(status.undo) - len(left)} of {len(status.undo)} put back"
        return f"Production: still changed: {', '.join(left) or 'nothing'} ({put_back})."
    if services := touched(status):
        return f"Production: still changed: {', '.join(services)}; the record names all of it."
    if status.phase in BEFORE:
        return f"Production: nothing was changed. {status.environment} may still be taken by it."
    return "Production: what was changed still is; the record names all of it."


def touched(status: StatusDocument) -> list[str]:
    """Return the services that this run has changed, as far as their states tell."""
    untouched = (ServiceState.WAITING, ServiceState.CAPTURED, ServiceState.REVERTED)
    return [one.name for one in status.services if one.state not in untouched]
