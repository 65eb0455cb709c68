"""From a record back to a run: what `Rollback` starts from when nothing else is left."""

from datetime import datetime

from slipway.errors import BadInput
from slipway.messages.record import (
    Entry,
    LeaseHeld,
    Opening,
    Record,
    RestoreDatabase,
    RestoreService,
)
from slipway.run import MigrationRun, Run, UndoStep, new_run
from slipway.states import MigrationState, Outcome, Phase, ServiceState, UndoState


def run_from_record(record: Record, *, now: datetime) -> Run:
    """Rebuild the state of a run from its record.

    Raises BadInput when the record does not begin with its opening or an entry makes no sense.
    """
    try:
        return _rebuilt(record, now)
    except (ValueError, TypeError, KeyError) as error:  # pydantic's is a ValueError
        raise BadInput(
            f"The record {record.place.folder} cannot be understood: {str(error)[:300]}",
            "Restore the first versions of its objects; the bucket keeps versions.",
        ) from None


def adopt(run: Run, written: Run) -> None:
    """Make a run know what its record holds beyond it. The run's own undo steps keep their
    state; those it did not know are added where the record has them."""
    own = {one.step: one for one in run.undo}
    recorded = {one.step for one in written.undo}
    run.undo = [own.get(one.step, one) for one in written.undo]
    run.undo += [one for step, one in own.items() if step not in recorded]
    run.changed = run.changed or bool(run.undo)
    run.sequence = max(run.sequence, written.sequence)
    if run.lease and written.lease and written.lease.epoch > run.lease.epoch:
        run.lease = written.lease


def _rebuilt(record: Record, now: datetime) -> Run:
    opening = _opening(record)
    run = new_run(
        deployment=opening.deployment,
        workflow_id=opening.workflow_id,
        plan=opening.plan,
        release=opening.release,
        started_at=now,
    )
    run.lease = LeaseHeld(deployment=opening.deployment, epoch=opening.epoch)
    for entry in record.entries:
        run.sequence = max(run.sequence, entry.sequence + 1)
        _apply(run, entry)
    return run


def _opening(record: Record) -> Opening:
    if not record.entries or record.entries[0].kind != "open":
        raise BadInput(
            f"The record {record.place.folder} does not begin with its opening.",
            "Check bucket and prefix of the plan, or restore the bucket's deleted versions.",
        )
    return Opening.model_validate(record.entries[0].data)


def _apply(run: Run, entry: Entry) -> None:
    if "epoch" in entry.data:
        run.lease = LeaseHeld(deployment=run.id, epoch=int(entry.data["epoch"]))
    if entry.kind == "intent" and entry.undo is not None:
        _intent(run, entry)
    elif entry.kind == "undone":
        for step in run.undo:
            if step.step == entry.step and entry.data.get("state") == UndoState.DONE.value:
                step.state = UndoState.DONE
                _put_back(run, step)
    elif entry.kind == "end":
        run.outcome = Outcome(entry.data.get("outcome", Outcome.RUNNING.value))
        run.phase = Phase.ENDED


def _put_back(run: Run, step: UndoStep) -> None:
    if isinstance(step.undo, RestoreService):
        run.service(step.undo.service).state = ServiceState.REVERTED
    else:
        for one in run.migrations:
            one.state = MigrationState.ROLLED_BACK


def _intent(run: Run, entry: Entry) -> None:
    undo = entry.undo
    if undo is None or any(step.step == entry.step for step in run.undo):
        return
    run.changed = True
    run.undo.append(UndoStep(step=entry.step, undo=undo))
    if isinstance(undo, RestoreService):
        service = run.service(undo.service)
        service.captured = undo.captured
        service.image_before = undo.captured.image
        service.state = ServiceState.DEPLOYED
    elif isinstance(undo, RestoreDatabase):
        run.backup = undo.backup
        run.migrations = [
            MigrationRun(tag=one.tag, hash=one.sha256, state=MigrationState.APPLIED)
            for one in run.release.migrations.pending
        ]
