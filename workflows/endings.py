"""How a phase is left early. None of these is a Temporal failure: the workflow acts on them."""

from temporalio import workflow
from temporalio.exceptions import ActivityError, ApplicationError, FailureError, TimeoutType
from temporalio.exceptions import TimeoutError as TimedOut

with workflow.unsafe.imports_passed_through():
    from slipway.messages.controls import Control
    from slipway.states import Outcome
    from slipway.verdicts import Kind, Reason, Signal, Verdict


class StopRun(Exception):
    """End before anything in production was changed."""

    def __init__(self, outcome: Outcome, verdict: Verdict) -> None:
        super().__init__(verdict.because)
        self.outcome = outcome
        self.verdict = verdict


class RollBackRun(Exception):
    """Put everything back that this run changed."""

    def __init__(self, verdict: Verdict) -> None:
        super().__init__(verdict.because)
        self.verdict = verdict


class Interrupted(Exception):
    """The step in flight was ended because somebody asked for it; the guard knows what for."""


def asked(reason: Reason, because: str) -> Verdict:
    """Return the verdict of a person's request."""
    return Verdict(kind=Kind.ROLLBACK, signal=Signal.ROLLOUT, reason=reason, because=because)


def requested(wish: Control) -> Verdict:
    """Return the verdict of a request to roll back."""
    return asked(Reason.ROLLBACK_REQUESTED, f"{wish.person}: {wish.reason}")


def reason_of(error: ActivityError) -> Reason:
    """Return the runbook's name of a failed activity."""
    cause = error.cause
    if isinstance(cause, ApplicationError) and cause.type in set(Reason):
        return Reason(cause.type)
    return Reason.STEP_OUT_OF_ATTEMPTS


def sentence_of(error: ActivityError) -> str:
    """Return one sentence about a failed activity, at most 1,000 characters."""
    cause = error.cause or error
    if not isinstance(cause, TimedOut):
        return (getattr(cause, "message", "") or str(cause) or type(cause).__name__)[:1000]
    text = _SILENCE.get(cause.type or TimeoutType.START_TO_CLOSE, "it took too long.")
    if isinstance(cause.cause, ApplicationError):
        text = f"{text} Its last try: {cause.cause.message}"
    return f"{error.activity_type}: {text}"[:1000]


def told(error: FailureError) -> str:
    """Return one sentence about any of Temporal's failures."""
    return sentence_of(error) if isinstance(error, ActivityError) else str(error)[:1000]


_SILENCE = {
    TimeoutType.SCHEDULE_TO_START: "no worker took it up; start one: python -m worker.",
    TimeoutType.HEARTBEAT: "its worker fell silent in every try: killed, frozen or cut off.",
    TimeoutType.START_TO_CLOSE: "it did not end in time in any try.",
    TimeoutType.SCHEDULE_TO_CLOSE: "it did not succeed in all the time it had.",
}


def failed(error: ActivityError, signal: Signal = Signal.ROLLOUT) -> Verdict:
    """Return the verdict of a failed activity."""
    return Verdict(
        kind=Kind.ROLLBACK, signal=signal, reason=reason_of(error), because=sentence_of(error)
    )
