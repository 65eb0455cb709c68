"""From a record back to a run: what `Rollback` starts from when nothing else is left."""

from datetime import datetime

from pydantic import ValidationError

from slipway.errors import BadInput
from slipway.messages.record import (
    Entry,
    LeaseHeld,
    Opening,
    Record,
    RestoreDatabase,
    RestoreService,
)
from slipway.run import CheckItem, MigrationRun, Run, UndoStep, new_run
from slipway.states import MigrationState, Outcome, Phase, ServiceState, UndoState
from slipway.status import StatusDocument, status_of


def run_from_record(record: Record, *, now: datetime) -> Run:
    """Rebuild the state of a run from its record.

    Raises BadInput when the record does not begin with its opening or an entry makes no sense.
    """
    try:
        return _rebuilt(record, now)
    except (ValueError, TypeError, KeyError) as error:  # pydantic's is a ValueError
        raise _unreadable(record, error) from None


def status_from_record(record: Record, *, now: datetime) -> StatusDocument:
    """Return the last status document of a record: that of its end, where it has one, else what
    its entries tell.

    Raises BadInput as `run_from_record` does.
    """
    for entry in reversed(record.entries):
        if entry.kind == "end" and "status" in entry.data:
            try:
                return StatusDocument.model_validate(entry.data["status"])
            except ValueError as error:
                raise _unreadable(record, error) from None
    return status_of(run_from_record(record, now=now))


def _unreadable(record: Record, error: Exception) -> BadInput:
    return BadInput(
        f"The record {record.place.folder} cannot be understood: {_fault(error)}.",
        "Restore the first versions of its objects; the bucket keeps versions.",
    )


def _fault(error: Exception) -> str:
    """Return in a few words what is wrong, without the library's advice to programmers."""
    if not isinstance(error, ValidationError):
        return str(error)[:300]
    first = error.errors(include_url=False, include_input=False)[0]
    return f"{'.'.join(str(part) for part in first['loc'])}: {first['msg']}"[:300]


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
                step.state, step.because = UndoState.DONE, entry.because
                _put_back(run, step)
    elif entry.kind == "end":
        run.outcome = Outcome(entry.data.get("outcome", Outcome.RUNNING.value))
        run.phase = Phase.ENDED
        run.rollbacks += run.outcome in (Outcome.ROLLED_BACK, Outcome.ROLLBACK_INCOMPLETE)
    if "status" in entry.data:
        _remember(run, entry.data["status"])


def _remember(run: Run, told: object) -> None:
    """Take over what the run had to tell when it was approved or ended: who did what, when, proved
    by what. None of it is needed for putting back, so a status that cannot be read holds nothing
    up."""
    try:
        status = StatusDocument.model_validate(told)
    except ValueError:
        return
    run.started_at, run.timeline = status.started_at, list(status.timeline)
    run.approvals, run.confirmations = list(status.approvals), list(status.confirmations)
    run.digest, run.aftercare = status.digest, status.aftercare
    run.checklist = [
        CheckItem(**line.model_dump(exclude={"evidence", "age"}), artefacts=line.evidence)
        for line in status.checklist
    ]
    told_of = {one.name: one for one in status.services}
    for service in run.services:
        if one := told_of.get(service.name):
            service.verdict, service.notes = one.verdict, list(one.notes)


def _put_back(run: Run, step: UndoStep) -> None:
    if isinstance(step.undo, RestoreService):
        run.service(step.undo.service).state = ServiceState.REVERTED
    else:
        for one in run.migrations:
            one.state = MigrationState.ROLLED_BACK


def _intent(run: Run, entry: Entry) -> None:
    undo = entry.undo
    if undo is None:
        return
    run.changed = True
    known = next((step for step in run.undo if step.step == entry.step), None)
    if known is None:
        run.undo.append(UndoStep(step=entry.step, undo=undo))
    elif known.state is UndoState.DONE:  # put back, and made again after a reset
        known.undo, known.state, known.because = undo, UndoState.READY, ""
    else:
        return
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
