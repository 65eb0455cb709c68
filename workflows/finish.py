"""The end of a run, whatever it was: record, notice, Lease, result."""

from temporalio import workflow
from temporalio.exceptions import ActivityError, FailureError

with workflow.unsafe.imports_passed_through():
    from activities.leases import Leases
    from activities.tidying import Janitor
    from slipway.messages.notice import NoticeKind
    from slipway.messages.record import ReleaseLease
    from slipway.messages.requests import DeploymentResult
    from slipway.messages.shelf import Tidied, TidyRun
    from slipway.states import Outcome, Phase
    from slipway.status import status_of
    from slipway.verdicts import Kind, Reason, Signal, Verdict

from workflows.calls import Call
from workflows.endings import sentence_of, told
from workflows.keeping import keep_after_end
from workflows.options import BEST_EFFORT, RECORD
from workflows.steps import Steps


async def finish(steps: Steps) -> DeploymentResult:
    """Write the record's end, give the Lease back, announce, answer."""
    run = steps.run
    verdict = run.verdict
    deployed = run.outcome is Outcome.DEPLOYED
    because = (
        f"{run.release.version} is deployed." if deployed or verdict is None else verdict.because
    )
    if not deployed:
        kind: NoticeKind = "rolled_back" if run.outcome in _UNDONE else "stopped"
        steps.notices.send(kind, f"{run.release.version}: {run.outcome.value}", because)
    await steps.notices.sent()
    steps.event(f"Ended: {run.outcome.value}.")
    run.phase = Phase.ENDED
    steps.say("", because)
    before = run.changed
    await _end_record(steps)
    if run.changed and not before:
        _found_changes(steps)
        await _end_record(steps)
        verdict = run.verdict
        because = verdict.because if verdict else because
    await keep_after_end(run)
    await _tidy(steps)
    await _give_back(steps)
    steps.display.show()
    await workflow.wait_condition(workflow.all_handlers_finished)
    return DeploymentResult(
        deployment=run.id,
        outcome=run.outcome,
        reason=Reason.OK if deployed or verdict is None else verdict.reason,
        because=because,
        status=status_of(run).model_dump(mode="json"),
    )


_UNCHANGED = (Outcome.STOPPED, Outcome.REJECTED, Outcome.EXPIRED)
_UNDONE = (Outcome.ROLLED_BACK, Outcome.ROLLBACK_INCOMPLETE)


def _found_changes(steps: Steps) -> None:
    """A reset run that stopped "before any change" must not claim so against the record."""
    run = steps.run
    because = (
        "The record names changes made before this run was reset. "
        f"Put them back with: slipway rollback {run.id}"
    )
    run.outcome = Outcome.ROLLBACK_INCOMPLETE
    run.verdict = Verdict(
        kind=Kind.HOLD, signal=Signal.ROLLOUT, reason=Reason.ROLLBACK_FAILED, because=because
    )
    steps.say("", because)


async def _end_record(steps: Steps) -> None:
    run = steps.run
    if run.sequence == 0:
        return
    data = {
        "outcome": run.outcome.value,
        "ended_at": workflow.now().isoformat(),
        "status": status_of(run).model_dump(mode="json"),
    }
    try:
        await steps.records.write("end", run.outcome.value, data=data)
    except FailureError as error:
        steps.event(f"The record's end could not be written: {told(error)}")


async def _tidy(steps: Steps) -> None:
    """Drop the side databases of a run that changed nothing: nobody will go back to them. What is
    left in the bucket is its backup. While the Lease is held, so that no newer run is met."""
    run = steps.run
    if run.changed or not run.backups_taken or run.outcome not in _UNCHANGED:
        return
    request = TidyRun(place=run.place, database=run.plan.database)
    try:
        done: Tidied = await steps.call(
            Call(Janitor.tidy, request, BEST_EFFORT.lasting(120), "drop what the run left")
        )
    except ActivityError as error:
        steps.event(f"What the run left was not dropped: {sentence_of(error)}")
        return
    if done.left:
        steps.event(f"Left where it was: {'; '.join(done.left)[:500]}")


async def _give_back(steps: Steps) -> None:
    run = steps.run
    if run.outcome is Outcome.ROLLBACK_INCOMPLETE:
        return  # else also where it was never seen to be taken: the reply may have been lost
    request = ReleaseLease(
        namespace=run.plan.kubernetes.namespace,
        environment=run.plan.environment,
        deployment=run.id,
        turn=run.turn,
    )
    try:
        await steps.call(Call(Leases.release, request, RECORD, "give the environment back"))
    except ActivityError as error:
        steps.event(f"The Lease was not given back: {sentence_of(error)}")
