"""Abort and pause: a run stands still, provably, until a person lets it go on or it goes back."""

from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any, TypeVar

from temporalio import workflow
from temporalio.exceptions import ActivityError

with workflow.unsafe.imports_passed_through():
    from activities.leases import Leases
    from activities.migrations import DatabaseMigrations
    from activities.rollouts import Rollouts
    from slipway.messages.migration import FenceDatabase
    from slipway.messages.record import AcquireLease, LeaseHeld, RestoreService, Undo
    from slipway.messages.rollout import FenceService
    from slipway.run import Wait
    from slipway.states import AbortState, Choice
    from slipway.verdicts import Reason

from workflows.asking import ask, park
from workflows.calls import Call
from workflows.display import about
from workflows.endings import asked, failed, requested
from workflows.options import UNDO

if TYPE_CHECKING:
    from workflows.steps import Steps

T = TypeVar("T")


async def honour_abort(steps: "Steps") -> None:
    """Acknowledge an abort once nothing moves. Before any change the run ends; after one a person
    resumes it or has it rolled back."""
    run, wish = steps.run, steps.controls.abort
    if wish is None:
        return
    verdict = asked(Reason.ABORTED, f"{wish.person}: {wish.reason}")
    if run.changed:
        await _quiesce(steps)
    steps.controls.abort = None
    run.abort = AbortState.ACKNOWLEDGED
    steps.event("Abort acknowledged: nothing is in flight, no forward write follows.")
    if not run.changed:
        steps.leave(verdict)
    await park(steps, "abort", verdict, (Choice.RESUME,))
    await _resume(steps)


async def honour_pause(steps: "Steps") -> None:
    """Stand still until somebody resumes; at the deadline roll back after a change, else stop."""
    run, controls = steps.run, steps.controls
    while controls.pause is not None and not controls.interrupts:
        wish, seconds = controls.pause, steps.lengths.operator_deadline
        run.paused_by = wish.person
        run.waiting_for = [
            Wait(
                kind="resume",
                who=[wish.person],
                what=f"resume (paused by {wish.person}: {wish.reason})",
                until=workflow.now() + about(seconds),
                default=Choice.ROLL_BACK.value if run.changed else Choice.STOP.value,
                command=f"slipway resume {run.id}",
            )
        ]
        steps.say("pause", f"Paused by {wish.person}: {wish.reason}", seconds=seconds)
        steps.notices.send("parked", "Paused", wish.reason, next_=f"slipway resume {run.id}")
        answered = await steps.until(
            lambda: controls.pause is None or controls.interrupts, seconds, "paused"
        )
        run.paused_by, run.waiting_for = "", []
        if not answered:
            steps.leave(asked(Reason.DEADLINE_PASSED, "Paused and nobody resumed in time."))


async def _quiesce(steps: "Steps") -> None:
    """Write the stop fence wherever an attempt might still be frozen."""
    steps.say("abort", "Ending what is in flight: writing the stop fence.")
    for step in steps.run.undo:
        fence = _fence(steps, step.step, step.undo)
        await _surely(steps, f"stop:{step.step}", lambda fence=fence: steps.call(fence))  # type: ignore[misc] # mypy cannot infer a lambda with a default


def _fence(steps: "Steps", step: str, undo: Undo) -> Call:
    run = steps.run
    if run.lease is None:
        raise RuntimeError("a change was intended without the lease")
    op_id = f"{run.id}/stop:{step}"
    if isinstance(undo, RestoreService):
        service = run.plan.service(undo.service)
        argument: Any = FenceService(
            workload=steps.workload(service),
            uid=undo.captured.uid,
            fence=run.lease.stop_fence,
            op_id=op_id,
        )
        return Call(Rollouts.fence, argument, UNDO, f"fence {service.name}")
    argument = FenceDatabase(
        deployment=run.id, database=run.plan.database, fence=run.lease.stop_fence, op_id=op_id
    )
    return Call(DatabaseMigrations.fence, argument, UNDO, "fence database")


async def _resume(steps: "Steps") -> None:
    run = steps.run
    run.abort = AbortState.NONE  # from here on a new abort counts
    argument = AcquireLease(
        namespace=run.plan.kubernetes.namespace,
        environment=run.plan.environment,
        deployment=run.id,
        fresh=True,
        turn=run.turn,
    )
    acquire = Call(Leases.acquire, argument, UNDO, "new epoch after abort")
    held: LeaseHeld = await _surely(steps, "resume", lambda: steps.call(acquire))
    run.lease = held
    data = {"epoch": held.epoch}
    await _surely(steps, "record:resume", lambda: steps.records.write("done", "resume", data=data))
    steps.event("Resumed after an abort.")


async def _surely(steps: "Steps", step: str, make: Callable[[], Awaitable[T]]) -> T:
    """Carry out what standing still or going on needs; a person decides about what fails in every
    try. (Without the guard, which is waiting for this very work.)"""
    while True:
        try:
            return await make()
        except ActivityError as error:
            verdict = failed(error)
        if steps.controls.rollback is not None:
            steps.leave(requested(steps.controls.rollback))
        choices = (Choice.RETRY, Choice.ROLL_BACK)
        if await ask(steps, step, verdict, choices, Choice.ROLL_BACK) is Choice.ROLL_BACK:
            steps.leave(verdict)
