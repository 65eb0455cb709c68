"""What people ask of a run: one handler for updates and signals alike, every request answered."""

from collections.abc import Callable, Sequence
from typing import Any

from pydantic import ValidationError
from temporalio import workflow
from temporalio.common import RawValue
from temporalio.exceptions import ApplicationError

with workflow.unsafe.imports_passed_through():
    from slipway.approvals import refuse_approval, refuse_confirmation, refuse_resolve
    from slipway.messages.controls import (
        Acknowledge,
        Approve,
        Control,
        Reject,
        Reply,
        Resolve,
    )
    from slipway.run import Approval, Confirmation, Run, Wait
    from slipway.standing import standing
    from slipway.states import AbortState, Choice, Outcome, Phase

Request = Approve | Reject | Acknowledge | Resolve | Control
MODELS: dict[str, type[Request]] = {
    "approve": Approve,
    "reject": Reject,
    "acknowledge": Acknowledge,
    "resolve": Resolve,
    "pause": Control,
    "resume": Control,
    "abort": Control,
    "rollback": Control,
}
_KEPT_REPLIES = 200
_NOT_YET = "The record is being read; ask again in a moment."


class Controls:
    """Requests of people against one run. `changed` is called after each, to show it; `event` adds
    a line and who said it to the timeline."""

    def __init__(
        self, run: Run, changed: Callable[[], None], event: Callable[[str, str], None]
    ) -> None:
        self.run = run
        self.parked: Wait | None = None
        self.parked_step = ""
        self.decision: Resolve | None = None
        self.rollback: Control | None = None
        self.abort: Control | None = None
        self.pause: Control | None = None
        self._answered: dict[str, Reply] = {}
        self._changed = changed
        self._event = event

    def wait_for_decision(self, wait: Wait, step: str) -> None:
        """Offer a parked step to people."""
        self.parked, self.parked_step, self.decision = wait, step, None

    def unpark(self) -> Resolve | None:
        """Return what was decided about the parked step, which is parked no longer."""
        decision, self.parked, self.decision = self.decision, None, None
        return decision

    @property
    def interrupts(self) -> bool:
        """Whether somebody wants the run stopped or taken back."""
        return self.abort is not None or self.rollback is not None

    @property
    def aborting(self) -> bool:
        """Whether an abort was asked for or is being honoured."""
        return self.abort is not None or self.run.abort is not AbortState.NONE

    def refuse(self, kind: str, request: Request) -> str:
        """Return why a request is refused, or the empty text. Reads only: validators use it."""
        if request.request in self._answered:
            return ""
        if self.run.outcome is not Outcome.RUNNING:
            return f"The run has ended ({self.run.outcome.value}); nothing can be asked of it."
        if isinstance(request, Approve):
            return refuse_approval(self.run, request)
        if isinstance(request, Acknowledge):
            return refuse_confirmation(self.run, request)
        if isinstance(request, Resolve):
            if self.decision is not None:
                taken = f"{self.decision.choice.value} by {self.decision.person}"
                return f"{self.parked_step} is decided already: {taken}."
            return refuse_resolve(self.parked, self.parked_step, request)
        return self._refuse_control(kind)

    def _refuse_control(self, kind: str) -> str:
        if self.run.phase is Phase.ROLL_BACK:
            return "The run is being rolled back; that is not interrupted."
        if self.run.phase is Phase.HAND_OVER and kind in ("pause", "abort"):
            return f"The release is deployed. To take it back: slipway rollback {self.run.id}"
        if kind == "resume" and self.pause is None and not self._resumable:
            return "The run is not paused."
        return ""

    @property
    def _resumable(self) -> bool:
        return self.parked is not None and Choice.RESUME in self.parked.choices

    def take(self, kind: str, request: Request) -> Reply:
        """Act on a request and answer it; a repeated one is answered as before."""
        known = self._answered.get(request.request)
        if known is not None:
            return known
        refusal = self.refuse(kind, request)
        if refusal:
            return self._keep(self._reply(kind, request.request, refusal))
        reply = self._act(kind, request)
        self._event(_said(kind, request), request.person)
        return self._keep(reply)

    def signal(self, name: str, args: Sequence[RawValue]) -> None:
        """Take a signal of any name and shape; what cannot be read is answered with a refusal."""
        try:
            request = _parse(name, args)
        except Exception as error:  # whatever was sent must not stop the workflow
            self._keep(self._reply(name, f"unreadable-{len(self._answered)}", _short(error)))
            return
        self.take(name, request)

    def _act(self, kind: str, request: Request) -> Reply:
        if isinstance(request, Approve):
            return self._approve(kind, request)
        if isinstance(request, Acknowledge):
            return self._acknowledge(request)
        if isinstance(request, Resolve):
            self.decision = request
            return self._reply(kind, request.request, "", next_="The parked step goes on.")
        return self._control(kind, request)

    def _approve(self, kind: str, request: Approve) -> Reply:
        approval = Approval(
            person=request.person,
            role=request.role,
            digest=request.digest,
            reason=request.reason,
            at=workflow.now(),
            decision="reject" if kind == "reject" else "approve",
            accepted=request.accept,
        )
        already = any(
            (one.person, one.decision, one.digest)
            == (approval.person, approval.decision, approval.digest)
            for one in self.run.approvals
        )
        if not already:
            self.run.approvals.append(approval)
        return self._reply(kind, request.request, "", next_="See: slipway status " + self.run.id)

    def _acknowledge(self, request: Acknowledge) -> Reply:
        confirmation = Confirmation(
            item=request.item, person=request.person, note=request.note, at=workflow.now()
        )
        if not any(one.item == request.item for one in self.run.confirmations):
            self.run.confirmations.append(confirmation)
        return self._reply("acknowledge", request.request, "")

    def _control(self, kind: str, request: Control) -> Reply:
        if kind == "pause":
            self.pause = request
            after = "The run stops before its next step and waits for resume."
        elif kind == "resume":
            self.pause = None
            after = "The run goes on."
            if self._resumable and self.decision is None:
                self.decision = _resume(self.parked_step, request)
        elif kind == "abort":
            if self.run.abort is not AbortState.ACKNOWLEDGED:
                self.abort = self.abort or request
                self.run.abort = AbortState.REQUESTED
            after = "Work in flight is ended; the request is acknowledged when nothing moves."
        else:
            self.rollback = self.rollback or request
            after = "Everything this run changed is put back."
        return self._reply(kind, request.request, "", next_=after)

    def _reply(self, kind: str, request: str, refusal: str, *, next_: str = "") -> Reply:
        phase, step = self.run.phase.value, self.run.step or "none"
        return Reply(
            request=request,
            kind=kind if kind in MODELS else "other",
            accepted=not refusal,
            because=(refusal or f"Accepted in phase {phase}, step {step}.")[:500],
            next=next_,
            world=standing(self.run),
        )

    def _keep(self, reply: Reply) -> Reply:
        if len(self._answered) < _KEPT_REPLIES:
            self._answered[reply.request] = reply
        self.run.replies = [*self.run.replies, reply][-_KEPT_REPLIES:]
        self._changed()
        return reply


def _said(kind: str, request: Request) -> str:
    """Return what a person asked for and why, as the timeline has it."""
    if isinstance(request, Acknowledge):
        return f"acknowledge {request.item}: {request.note}"
    if isinstance(request, Resolve):
        return f"resolve {request.step} with {request.choice.value}: {request.reason}"
    return f"{kind}: {request.reason}"


def _resume(step: str, request: Control) -> Resolve:
    return Resolve(
        request=request.request,
        person=request.person,
        choice=Choice.RESUME,
        step=step,
        reason=request.reason,
    )


def _parse(name: str, args: Sequence[RawValue]) -> Request:
    model = MODELS.get(name)
    if model is None:
        raise ValueError(
            f"There is no signal {name[:60]!r}; known are {', '.join(sorted(MODELS))}."
        )
    if len(args) != 1:
        raise ValueError(f"Signal {name} takes one JSON object, not {len(args)} values.")
    if len(args[0].payload.data) > 8192:
        raise ValueError(f"Signal {name} carries more than 8 KB.")
    value: Any = workflow.payload_converter().from_payload(args[0].payload, dict)
    return model.model_validate(value)


def _short(error: Exception) -> str:
    if isinstance(error, ValidationError):
        first = error.errors(include_url=False, include_input=False)[0]
        place = ".".join(str(part) for part in first["loc"]) or "the object"
        return f"{place}: {first['msg']}"[:300]
    return str(error)[:300]


class Conversation:
    """Handlers shared by `ProductionDeployment` and `Rollback`."""

    controls: Controls | None
    """None until the run is known (a `Rollback` reads the record first)."""

    def _check(self, kind: str, request: Request) -> None:
        refusal = self.controls.refuse(kind, request) if self.controls else _NOT_YET
        if refusal:
            raise ApplicationError(refusal, type="Refused", non_retryable=True)

    def _take(self, kind: str, request: Request) -> Reply:
        if self.controls is None:  # the validator has refused before
            raise ApplicationError(_NOT_YET, type="Refused", non_retryable=True)
        return self.controls.take(kind, request)

    @workflow.update(name="approve", description="Approve exactly this digest")
    def approve(self, request: Approve) -> Reply:
        """Count an approval."""
        return self._take("approve", request)

    @approve.validator
    def check_approve(self, request: Approve) -> None:
        """Refuse an approval that does not count."""
        self._check("approve", request)

    @workflow.update(name="reject", description="Reject exactly this digest")
    def reject(self, request: Reject) -> Reply:
        """Count a rejection: the run ends."""
        return self._take("reject", request)

    @reject.validator
    def check_reject(self, request: Reject) -> None:
        """Refuse a rejection that does not count."""
        self._check("reject", request)

    @workflow.update(name="acknowledge", description="Confirm an item only a person can know")
    def acknowledge(self, request: Acknowledge) -> Reply:
        """Record a confirmation."""
        return self._take("acknowledge", request)

    @acknowledge.validator
    def check_acknowledge(self, request: Acknowledge) -> None:
        """Refuse a confirmation that does not count."""
        self._check("acknowledge", request)

    @workflow.update(name="resolve", description="Decide about the parked step")
    def resolve(self, request: Resolve) -> Reply:
        """Record a decision."""
        return self._take("resolve", request)

    @resolve.validator
    def check_resolve(self, request: Resolve) -> None:
        """Refuse a decision that is not possible."""
        self._check("resolve", request)

    @workflow.signal(dynamic=True)
    def on_signal(self, name: str, args: Sequence[RawValue]) -> None:
        """Take any signal; a bad one is recorded and ignored."""
        if self.controls is not None:
            self.controls.signal(name, args)
