"""8. Hand over: announcements, aftercare, the record's end. Trouble here rolls nothing back."""

from temporalio import workflow
from temporalio.exceptions import ActivityError, FailureError

with workflow.unsafe.imports_passed_through():
    from slipway import names
    from slipway.states import Outcome, Phase

from workflows.aftercare import Aftercare, AftercareRequest
from workflows.display import identity_of
from workflows.endings import sentence_of
from workflows.steps import Steps


async def hand_over(steps: Steps) -> None:
    """Announce the release and start its aftercare."""
    steps.enter(Phase.HAND_OVER)
    run = steps.run
    steps.say("hand-over", "Announcing the release and starting aftercare.")
    steps.notices.send(
        "deployed",
        f"{run.release.version} is deployed to {run.plan.environment}",
        f"All {len(run.services)} services are deployed, verified and watched.",
        next_=f"slipway report {run.id}",
    )
    await steps.notices.sent()
    await _keep_receipts(steps)
    if _taken_back(steps):
        return
    await _start_aftercare(steps)
    if _taken_back(steps):
        await end_aftercare(steps)
        return
    run.outcome = Outcome.DEPLOYED


async def _keep_receipts(steps: Steps) -> None:
    delivered = [one for one in steps.notices.receipts if 200 <= one["status"] < 300]
    if not any(one["kind"] == "deployed" for one in delivered):
        steps.event("The team could not be told; tell them by hand.")
        return
    try:
        kept = await steps.records.attach("notices.json", steps.notices.receipts)
    except ActivityError as error:
        steps.event(f"Receipts were not kept: {sentence_of(error)}")
        return
    steps.run.tick("team", at=workflow.now(), by="slipway", artefacts=[kept])


def _taken_back(steps: Steps) -> bool:
    return steps.controls.rollback is not None


async def end_aftercare(steps: Steps) -> None:
    """Tell this deployment's aftercare that its release is gone: it must alarm nobody."""
    aftercare = workflow.get_external_workflow_handle(names.aftercare_workflow_id(steps.run.id))
    try:
        await aftercare.signal("superseded", steps.run.id)
    except FailureError as error:
        steps.event(f"Aftercare was not told to end (perhaps it never began): {error}")


async def _start_aftercare(steps: Steps) -> None:
    run = steps.run
    request = AftercareRequest(
        deployment=run.id,
        plan=run.plan,
        release=run.release,
        pods={one.name: one.pod_hash for one in run.services},
        place=run.place,
    )
    try:
        await workflow.start_child_workflow(
            Aftercare.run,
            request,
            id=names.aftercare_workflow_id(run.id),
            parent_close_policy=workflow.ParentClosePolicy.ABANDON,
            search_attributes=identity_of(run),
            static_summary=f"Aftercare of {run.release.version} in {run.plan.environment}",
        )
    except FailureError as error:
        steps.event(f"Aftercare was not started: {error}")
        return
    run.aftercare = names.aftercare_workflow_id(run.id)
