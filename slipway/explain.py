"""`why`: what a deployment waits for or why it failed: culprit, evidence, next command."""

from slipway.base import utc_text
from slipway.run import Wait
from slipway.states import AbortState, ItemState, Outcome, Phase, UndoState
from slipway.status import StatusDocument
from slipway.verdicts import Kind, Reason, Verdict

MOST_LINES = 24
_WIDEST = 400

ADVICE: dict[Reason, str] = {
    Reason.GATE_FAILED: "Repair the evidence named above, then start again.",
    Reason.STAGING_NOT_STABLE: "Bring staging to rest, let it run its full soak, then start again.",
    Reason.ENVIRONMENT_NOT_READY: "Do what each sentence asks, look with doctor, start again.",
    Reason.MIGRATION_REFUSED: "Correct the migration or its place in staging, then start again.",
    Reason.BACKUP_FAILED: "Look at database, disk and bucket; without a backup nothing is changed.",
    Reason.BACKUP_NOT_RESTORABLE: "Do not deploy: find out why the restored copy differs first.",
    Reason.APPROVAL_REJECTED: "Settle it with the approver named above, then start again.",
    Reason.APPROVAL_EXPIRED: "Ask the approvers, then start again: approvals are not carried over.",
    Reason.WINDOW_CLOSED: "Start again so that the whole run fits into the window.",
    Reason.ENVIRONMENT_HELD: "Wait for the deployment that holds the environment, or look at it.",
    Reason.MIGRATION_FAILED: "Correct the migration and let it succeed in staging first.",
    Reason.ROLLOUT_DOOMED: "Look at the new pods' last words: image, configuration, resources.",
    Reason.ROLLOUT_TOO_SLOW: "Look for room on the nodes and for slow readiness of the new pods.",
    Reason.FOREIGN_CHANGE: "Find out who changed it meanwhile; slipway never overwrites others.",
    Reason.FENCED: "A later decision came first; look at it before doing anything by hand.",
    Reason.POD_RESTARTING: "Read the container's log from before its restart.",
    Reason.OUT_OF_MEMORY: "Raise the memory limit or find the leak before trying again.",
    Reason.UNHEALTHY: "Read the service's log; its health body says what it misses.",
    Reason.CRITICAL_FUNCTION_BROKEN: "Repeat the failed request by hand against the new version.",
    Reason.SMOKE_FLOW_BROKEN: "Repeat the failed step of the flow by hand.",
    Reason.ERROR_RATE_TOO_HIGH: "Group the failed requests by route and read their log lines.",
    Reason.ERROR_RATE_RAISED: "Decide: retry watches again, rollback takes the release back.",
    Reason.LATENCY_TOO_HIGH: "Decide: retry watches again, rollback takes the release back.",
    Reason.TOO_MANY_CONNECTIONS: "Look for leaking pools before deciding.",
    Reason.EXTERNAL_CALLS_FAILING: "Ask the provider's status page before blaming the release.",
    Reason.ERRORS_IN_LOGS: "Read the error lines of the named class.",
    Reason.DATA_CORRUPTION: "Stop writers if you can; compare before anything is overwritten.",
    Reason.TOO_LITTLE_TRAFFIC: "Retry when there is more traffic, or decide by hand.",
    Reason.NOTHING_TO_READ: "Bring back what could not be read (metrics, logs), then retry.",
    Reason.ABORTED: "Resume it, or take back what it changed.",
    Reason.ROLLBACK_REQUESTED: "Ask who asked for it before trying again.",
    Reason.CANCELLED: "Ask who cancelled the workflow before trying again.",
    Reason.STEP_OUT_OF_ATTEMPTS: "Repair what the sentence names, then retry the step.",
    Reason.DEADLINE_PASSED: "Nobody answered in time: see that notices reach the people on call.",
    Reason.ROLLBACK_FAILED: "Put back by hand what is named above; nothing else will.",
    Reason.OK: "",
}
"""One imperative sentence for each reason: what a person does next."""

_STOPPED_BEFORE = (Outcome.REJECTED, Outcome.EXPIRED, Outcome.STOPPED)


def explain(status: StatusDocument) -> list[str]:
    """Return at most 24 lines: what is waited for or what went wrong, and the next command."""
    lines = [_head(status)]
    if status.outcome is Outcome.RUNNING:
        lines += _running(status)
    elif status.outcome is Outcome.DEPLOYED:
        lines += _deployed(status)
    else:
        lines += _failed(status)
    return [_fit(line) for line in lines[:MOST_LINES]]


def _head(status: StatusDocument) -> str:
    stands = (
        f"running, phase {status.phase.value}"
        if status.outcome is Outcome.RUNNING
        else status.outcome.value
    )
    return f"{status.id}: {status.release} to {status.environment}, {stands}."


def _running(status: StatusDocument) -> list[str]:
    lines: list[str] = []
    if status.abort is AbortState.REQUESTED:
        lines.append("Abort: requested; work in flight is being ended, no new step begins.")
    elif status.abort is AbortState.ACKNOWLEDGED:
        lines.append("Abort: acknowledged; nothing moves and no forward write follows.")
    for wait in status.waiting_for[:3]:
        lines += _wait(wait)
    if len(status.waiting_for) > 3:
        lines.append(f"… and {len(status.waiting_for) - 3} more: slipway status {status.id}")
    if not status.waiting_for:
        until = f", until {utc_text(status.current.until)}" if status.current.until else ""
        lines.append("It waits for nobody.")
        lines.append(f"Now: {status.current.step or status.phase.value}{until}.")
        lines.append(f"     {status.current.reason}")
    lines += _judged(status, parked=any(one.kind == "operator" for one in status.waiting_for))
    lines.append(f"Follow: slipway watch {status.id}")
    return lines


def _wait(wait: Wait) -> list[str]:
    lines = [f"Waits for: {wait.what}"]
    if wait.who:
        lines.append(f"     Who: {', '.join(wait.who)}")
    if wait.until is not None:
        lines.append(f"   Until: {utc_text(wait.until)}, then: {wait.default or 'it goes on'}")
    if wait.command:
        lines.append(f"  Answer: {wait.command}")
    if wait.choices:
        lines.append(f" Choices: {', '.join(choice.value for choice in wait.choices)}")
    return lines


def _judged(status: StatusDocument, *, parked: bool) -> list[str]:
    """What the verdict says: while running only where a decision or a rollback follows from it."""
    if status.verdict is None or not (parked or status.phase is Phase.ROLL_BACK):
        return []
    return _verdict(status.verdict)


def _verdict(verdict: Verdict) -> list[str]:
    lines = [f"Why: {verdict.reason.value}: {verdict.because}"]
    if verdict.service:
        lines.append(f"Culprit: {verdict.service} ({verdict.signal.value})")
    if verdict.numbers:
        numbers = ", ".join(f"{name} {value:g}" for name, value in sorted(verdict.numbers.items()))
        lines.append(f"Evidence: {numbers}")
    advice = ADVICE[verdict.reason]
    return [*lines, f"Next: {advice}"] if advice else lines


def _deployed(status: StatusDocument) -> list[str]:
    lines = ["Nothing failed: the release is deployed and it waits for nobody."]
    noted = [one for one in status.services if one.notes]
    lines += [f"Accepted: {one.name}: {'; '.join(one.notes)}" for one in noted[:8]]
    gone = [one for one in status.checklist if one.state is not ItemState.DONE]
    lines += [f"Checklist: {one.title}: {one.state.value} {one.note}".rstrip() for one in gone[:6]]
    if status.aftercare:
        lines.append(f"Aftercare watches: workflow {status.aftercare}")
    lines.append(f"Report: slipway report {status.id}")
    lines.append(f"Take back: slipway rollback {status.id}")
    return lines


def _failed(status: StatusDocument) -> list[str]:
    lines = _verdict(_cause(status))
    lines += _culprit(status)
    if status.outcome in _STOPPED_BEFORE:
        lines.append("Nothing in production was changed.")
    lines += _undone(status)
    lines += _lost(status)
    if status.outcome is Outcome.ROLLBACK_INCOMPLETE:
        lines.append(f"Try again: slipway rollback {status.id}")
    lines.append(f"Report: slipway report {status.id}")
    return lines


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
    done += [f"{one.step} left as it is" for one in status.undo if one.state is UndoState.LEFT]
    left = [one for one in status.undo if one.state not in (UndoState.DONE, UndoState.LEFT)]
    return lines + [
        f"NOT put back: {one.step}: {one.because or one.state.value}" for one in left[:6]
    ]


def _lost(status: StatusDocument) -> list[str]:
    if not status.lost_writes:
        return []
    rows = {name: count for name, count in sorted(status.lost_writes.items()) if count}
    if not rows:
        return ["Lost writes: none."]
    tables = ", ".join(f"{name} {count}" for name, count in list(rows.items())[:6])
    return [f"Lost writes: {sum(rows.values())} rows ({tables})"]


def _fit(line: str) -> str:
    one_line = "".join(one if one.isprintable() else " " for one in line)
    return one_line if len(one_line) <= _WIDEST else one_line[: _WIDEST - 1] + "…"
