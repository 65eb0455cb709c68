"""Rollback on its own: starts from the record, whatever happened to the deployment."""

from temporalio import workflow

with workflow.unsafe.imports_passed_through():
    from datetime import datetime

    from activities.leases import Leases
    from activities.record import Records
    from slipway import names
    from slipway.errors import BadInput
    from slipway.messages.record import AcquireLease, ReadRecord, Record
    from slipway.messages.requests import DeploymentResult, RollbackRequest
    from slipway.run import Run
    from slipway.states import Outcome
    from slipway.status import StatusDocument, status_of
    from slipway.undo import run_from_record
    from slipway.verdicts import Reason

from workflows.controls import Conversation
from workflows.endings import asked
from workflows.finish import finish
from workflows.options import RECORD, UNDO
from workflows.phases.roll_back import roll_back
from workflows.steps import Call, Steps, start_activity


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
        run.outcome = Outcome.RUNNING
        self.state, steps = run, Steps(run)
        self.controls = steps.controls
        lease = AcquireLease(
            namespace=run.plan.kubernetes.namespace,
            environment=run.plan.environment,
            deployment=run.id,
            takeover=True,
        )
        await steps.call(Call(Leases.acquire, lease, UNDO, f"take {run.plan.environment}"))
        verdict = asked(Reason.ROLLBACK_REQUESTED, f"{request.person}: {request.reason}")
        if late:
            steps.event("The undo window has ended: services go back, data stays.")
        await roll_back(steps, verdict, without_database=late or request.without_database)
        return await finish(steps)

    @workflow.query(name="status", description="The status document")
    def status(self) -> StatusDocument | None:
        """Return the status document, once the record was read."""
        return status_of(self.state) if self.state else None


def _late(run: Run, record: Record) -> bool:
    """Whether the undo window, counted from the deployment's end, has passed."""
    ended = [one.data.get("ended_at") for one in record.entries if one.kind == "end"]
    if not ended or not isinstance(ended[0], str):
        return False
    age = (workflow.now() - datetime.fromisoformat(ended[0])).total_seconds()
    return age > run.plan.scale(run.plan.rollback.undo_window)
