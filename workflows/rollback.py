"""Rollback on its own: starts from the record, whatever happened to the deployment."""

from temporalio import workflow
from temporalio.exceptions import ApplicationError

with workflow.unsafe.imports_passed_through():
    from datetime import datetime, timedelta

    from activities.leases import Leases
    from activities.record import Records
    from slipway import names
    from slipway.base import utc_text
    from slipway.errors import BadInput
    from slipway.messages.record import (
        AcquireLease,
        FindRecords,
        LeaseHeld,
        ReadRecord,
        Record,
        RecordList,
    )
    from slipway.messages.requests import DeploymentResult, RollbackRequest
    from slipway.run import Run
    from slipway.states import Outcome
    from slipway.status import StatusDocument, status_of
    from slipway.undo import run_from_record
    from slipway.verdicts import Reason

from workflows.calls import Call, start_activity, unstoppable
from workflows.controls import Conversation
from workflows.endings import asked
from workflows.finish import finish
from workflows.keeping import keep_while_rolling_back
from workflows.options import READ, RECORD
from workflows.phases.hand_over import end_aftercare
from workflows.phases.roll_back import roll_back
from workflows.steps import Steps


@workflow.defn(name=names.ROLLBACK_TYPE, failure_exception_types=[BadInput])
class Rollback(Conversation):
    """Take a deployment back: after its end, after Terminate, after the loss of Temporal."""

    @workflow.init
    def __init__(self, request: RollbackRequest) -> None:
        self.state: Run | None = None
        self.controls = None

    @workflow.run
    async def run(self, request: RollbackRequest) -> DeploymentResult:
        """Read the record, take the environment, put everything back."""
        record: Record = await start_activity(
            Call(Records.read, ReadRecord(place=request.place), RECORD, "read the record")
        )
        run = run_from_record(record, now=workflow.now())
        late = _late(run, record)
        run.outcome, run.turn = Outcome.RUNNING, _turn()
        self.state, steps = run, Steps(run)
        self.controls = steps.controls
        await _refuse_older(steps)
        await _take(steps)
        verdict = asked(Reason.ROLLBACK_REQUESTED, f"{request.person}: {request.reason}")
        if not late:
            await keep_while_rolling_back(run)
        left = late or ("left as it is, by request" if request.without_database else "")
        if late:
            steps.event(f"Services go back. Data is {late}")
        await unstoppable(roll_back(steps, verdict, leave_database=left))
        if run.outcome is Outcome.ROLLED_BACK:
            await unstoppable(end_aftercare(steps))
        return await unstoppable(finish(steps))

    @workflow.query(name="status", description="The status document")
    def status(self) -> StatusDocument | None:
        """Return the status document, once the record was read."""
        return status_of(self.state) if self.state else None


async def _refuse_older(steps: Steps) -> None:
    """Refuse when a newer deployment stands on this one: putting this one's data back under the
    newer one's services would break both."""
    run = steps.run
    request = FindRecords(place=run.place, limit=50)
    found: RecordList = await steps.call(Call(Records.find, request, READ, "newer deployments"))
    for one in found.records:
        if one.deployment > run.id and one.outcome not in _LEFT_NOTHING:
            raise ApplicationError(
                f"{one.deployment} ({one.outcome or 'not ended'}) came after {run.id}. "
                f"Take that back first: slipway rollback {one.deployment}",
                type=Reason.ENVIRONMENT_HELD,
                non_retryable=True,
            )


_LEFT_NOTHING = {
    Outcome.STOPPED.value,
    Outcome.REJECTED.value,
    Outcome.EXPIRED.value,
    Outcome.ROLLED_BACK.value,
}


async def _take(steps: Steps) -> None:
    """Take the environment. The undo's fence is that of the epoch taken: above whatever this or
    a later deployment, put back since, has written."""
    run = steps.run
    request = AcquireLease(
        namespace=run.plan.kubernetes.namespace,
        environment=run.plan.environment,
        deployment=run.id,
        turn=run.turn,
    )
    taken: LeaseHeld = await steps.call(
        Call(Leases.acquire, request, RECORD, f"take {run.plan.environment}")
    )
    known = run.lease.epoch if run.lease else 0
    run.lease = LeaseHeld(deployment=run.id, epoch=max(taken.epoch, known))


def _turn() -> int:
    """After the deployment itself and after every rollback of it that began before."""
    return int(workflow.info().workflow_start_time.timestamp() * 1000)


def _late(run: Run, record: Record) -> str:
    """Say why data stays when the undo window, counted from the deployment's end, has passed; empty
    while it has not."""
    ended = [one.data.get("ended_at") for one in record.entries if one.kind == "end"]
    if not ended or not isinstance(ended[0], str):
        return ""
    window = timedelta(seconds=run.plan.scale(run.plan.rollback.undo_window))
    until = datetime.fromisoformat(ended[0]) + window
    if workflow.now() <= until:
        return ""
    return (
        f"left as it is: the undo window ended at {utc_text(until)}, and with it what a rollback "
        "of the data without loss needs. A person may restore the backup beside production "
        f"(slipway backups restore-to DATABASE --from {run.id}) and bring back what is wanted."
    )
