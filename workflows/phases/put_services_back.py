"""Putting services back: each written as captured, then waited for; once more when the data is
back, where code did not start on the schema of the new version."""

import asyncio
from dataclasses import dataclass, replace

from temporalio import workflow
from temporalio.exceptions import ActivityError

with workflow.unsafe.imports_passed_through():
    from activities.rollouts import Rollouts
    from slipway.judgements.rollout import BACK_OFF
    from slipway.judgements.workload import grace_of
    from slipway.messages.record import RestoreDatabase, RestoreService
    from slipway.messages.rollout import Applied, Apply, AwaitRollout, RolledOut
    from slipway.run import UndoStep
    from slipway.states import SETTLED, ServiceState, UndoState
    from slipway.verdicts import Kind

from workflows.calls import Call
from workflows.endings import sentence_of
from workflows.options import UNDO
from workflows.steps import Steps
from workflows.undoing import not_undone, undone

_PATIENCE = 30.0
"""Seconds until the next service is put back although the one before could not be written yet."""
_STARTS = 90.0
"""Seconds that a container may take to get ready, once the kubelet starts it again."""


@dataclass(frozen=True)
class Late:
    """A service that is written back and did not come up."""

    step: UndoStep
    service: str
    wait: AwaitRollout
    because: str = ""


async def restore_services(steps: Steps, pending: list[UndoStep]) -> list[Late]:
    """Write them newest first, each when the one before was written, or all at once where the plan
    says that they are independent; wait for all side by side. One that cannot be written holds up
    the others for a moment only. Return those that did not come up while the data is still new."""
    at_once = steps.run.plan.rollback.order == "parallel"
    parts: list[asyncio.Task[Late | None]] = []
    for step in pending:
        if isinstance(step.undo, RestoreService):
            written = asyncio.Event()
            part = _restore_service(steps, step, step.undo, written)
            parts.append(asyncio.create_task(part))
            if not at_once:
                await steps.until(written.is_set, _PATIENCE, f"{step.step} is written")
    return [one for one in await asyncio.gather(*parts) if one is not None]


async def _restore_service(
    steps: Steps, step: UndoStep, undo: RestoreService, written: asyncio.Event
) -> Late | None:
    run, name = steps.run, undo.service
    service, state = run.plan.service(name), run.service(name)
    steps.say(f"undo:{name}", f"Putting {name} back to {undo.captured.image}.")
    state.state, step.state = ServiceState.REVERTING, UndoState.RUNNING
    workload = steps.workload(service)
    apply = Apply(
        workload=workload,
        captured=undo.captured,
        wrote=state.image_after,
        fence=run.lease.undo_fence if run.lease else 0,
        op_id=f"{run.id}/undo:{name}",
        cause=f"slipway {run.id}: rolled back",
    )
    try:
        applied: Applied = await steps.call(Call(Rollouts.apply, apply, UNDO, f"put back {name}"))
    except ActivityError as error:
        written.set()
        await _not_back(steps, step, name, sentence_of(error))
        return None
    written.set()
    wait = AwaitRollout(
        workload=workload,
        template=applied.template,
        image=undo.captured.image,
        wrote=state.image_after,
        deadline=max(steps.lengths.rollout_deadline, 60.0),
        uid=undo.captured.uid,
        back=True,
        captured=undo.captured,
    )
    late = Late(step, name, wait)
    because = await _wait_for(steps, late)
    data = (one for one in run.undo if isinstance(one.undo, RestoreDatabase))
    if because and any(one.state not in SETTLED for one in data):
        steps.event(f"{name} is written back and not up while the data is new: {because}")
        return replace(late, because=because)
    if because:
        await _not_back(steps, step, name, because)
    return None


async def come_back(steps: Steps, late: Late, *, again: bool) -> None:
    """Wait once more when the data is back: code may refuse to start on a newer schema."""
    because = late.because
    if again:
        longest = max(late.wait.deadline, BACK_OFF + _STARTS)
        wait = late.wait.model_copy(update={"again": True, "deadline": longest})
        because = await _wait_for(steps, replace(late, wait=wait))
    if because:
        await _not_back(steps, late.step, late.service, because)


async def _wait_for(steps: Steps, late: Late) -> str:
    """Wait until a service is as it was; return what keeps it, or the empty text once it is known
    how this undo ended."""
    name, longest = late.service, late.wait.deadline + grace_of(late.wait.template)
    options = UNDO.lasting(longest)
    call = Call(Rollouts.wait, late.wait, options, f"await {name} put back")
    try:
        rolled: RolledOut = await steps.call(call)
    except ActivityError as error:
        await _not_back(steps, late.step, name, sentence_of(error))
        return ""
    if rolled.verdict.kind is not Kind.PROCEED:
        return rolled.verdict.because
    state = steps.run.service(name)
    state.state, state.pod_hash = ServiceState.REVERTED, rolled.pod_hash
    await undone(steps, late.step, rolled.verdict.because)
    return ""


async def _not_back(steps: Steps, step: UndoStep, name: str, because: str) -> None:
    await not_undone(steps, step, because)
    steps.run.service(name).state = ServiceState.REVERT_FAILED
