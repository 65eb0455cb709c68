"""What the phases tell the workflow `Fallback`: begin, take a newer backup, how long to keep."""

from temporalio import workflow
from temporalio.exceptions import FailureError

with workflow.unsafe.imports_passed_through():
    from activities.keeping import Keeping
    from slipway import names
    from slipway.messages.fallback import FallbackRequest, KeepFallback
    from slipway.messages.record import BackupTaken
    from slipway.run import Run
    from slipway.states import Outcome, UndoState

from workflows.calls import Call
from workflows.options import RECORD
from workflows.steps import Steps

_A_WEEK = 7 * 86400.0


async def keep_backup(steps: Steps, backup: BackupTaken) -> None:
    """Keep a backup's side database, following where the plan says so, instead of an older one."""
    run, plan = steps.run, steps.run.plan
    window = plan.scale(_A_WEEK) if plan.window is not None else 0.0
    request = FallbackRequest(
        deployment=run.id,
        plan=plan,
        release=run.release.version,
        backup=backup,
        follow=plan.rollback.fallback == "warm",
        # of a run that is terminated nobody hears how it ended
        keep=steps.lengths.approval_deadline + window + plan.scale(plan.rollback.undo_window),
    )
    await steps.forward(
        "keep",
        "Keeping the restored copy for a rollback.",
        lambda: Call(Keeping.keep, request, RECORD, "keep the copy", privileged=False),
    )


async def keep_while_rolling_back(run: Run) -> None:
    """A rollback that begins in the last moment of the undo window needs the side database beyond
    it; `keep_after_end` says how long when it is done."""
    if run.backup is not None:
        seconds = run.plan.scale(run.plan.rollback.undo_window)
        await _tell(run, "keep", KeepFallback(seconds=seconds, because="a rollback needs it"))


async def keep_after_end(run: Run) -> None:
    """Say how long the side database is needed after the run has ended as it has."""
    if run.backup is None:
        return
    left = any(one.state in (UndoState.LEFT, UndoState.FAILED) for one in run.undo)
    wanted = run.outcome in (Outcome.DEPLOYED, Outcome.ROLLBACK_INCOMPLETE) or left
    seconds = run.plan.scale(run.plan.rollback.undo_window) if wanted else 0.0
    because = "until the undo window ends" if wanted else f"the run ended: {run.outcome.value}"
    await _tell(run, "keep", KeepFallback(seconds=seconds, because=because))


async def let_go(deployment: str, because: str) -> None:
    """An older deployment cannot be taken back any more: what it kept may go."""
    handle = workflow.get_external_workflow_handle(names.fallback_workflow_id(deployment))
    try:
        await handle.signal("keep", KeepFallback(seconds=0.0, because=because))
    except FailureError:  # it has ended already
        return


async def _tell(run: Run, signal: str, argument: object) -> None:
    handle = workflow.get_external_workflow_handle(names.fallback_workflow_id(run.id))
    try:
        await handle.signal(signal, argument)
    except FailureError:  # it has ended: nothing is kept any more
        return
