"""From a record back to a run: what was told at its end is not forgotten by a later rollback."""

from typing import Any

import pytest

from slipway.errors import BadInput
from slipway.messages.record import Entry, Opening, Record
from slipway.run import Run
from slipway.states import ItemState, MigrationState, Outcome, UndoState
from slipway.status import status_of
from slipway.undo import run_from_record, status_from_record
from tests.unit.examples import ID, after, approved_run, rolled_back_run


def record(run: Run, *entries: Entry) -> Record:
    """Return a record of a run: its opening, the undo of each of its changes, then these."""
    opening = Opening(
        deployment=ID,
        workflow_id=run.workflow_id,
        plan=run.plan,
        release=run.release,
        plan_sha256="1" * 64,
        release_sha256="2" * 64,
        requester=run.requester,
        epoch=1,
    )
    written = [Entry(sequence=0, kind="open", step="open", data=opening.model_dump(mode="json"))]
    written += [Entry(sequence=0, kind="intent", step=one.step, undo=one.undo) for one in run.undo]
    written += entries
    numbered = [one.model_copy(update={"sequence": at}) for at, one in enumerate(written)]
    return Record(place=run.place, entries=numbered)


def ended(run: Run, **changes: Any) -> Entry:
    """Return the entry of a run's end."""
    status = {**status_of(run).model_dump(mode="json"), **changes}
    data = {"outcome": run.outcome.value, "ended_at": "x", "status": status}
    return Entry(sequence=0, kind="end", step=run.outcome.value, data=data)


def test_a_rollback_hours_later_knows_people_proofs_and_the_whole_timeline() -> None:
    before = rolled_back_run(outcome=Outcome.DEPLOYED)
    before.services[0].notes = ["accepted by a person: x"]
    run = run_from_record(record(before, ended(before)), now=after(9000))
    assert run.started_at == before.started_at
    assert run.timeline == before.timeline
    assert run.approvals == before.approvals
    assert run.confirmations == before.confirmations
    assert run.checklist == before.checklist
    assert [one.notes for one in run.services] == [one.notes for one in before.services]
    assert run.migrations[0].state is MigrationState.APPLIED
    assert [one.state for one in run.undo] == [UndoState.READY, UndoState.READY]


def test_the_last_end_counts() -> None:
    first, last = rolled_back_run(), rolled_back_run()
    last.tick("team", at=after(400), by="olga", artefacts=[])
    run = run_from_record(record(first, ended(first), ended(last)), now=after(9000))
    assert run.checklist[8].state is ItemState.DONE


@pytest.mark.parametrize("changes", [{"timeline": "?"}, {"services": [{"name": 1}]}])
def test_an_end_that_cannot_be_read_holds_no_rollback_up(changes: dict[str, Any]) -> None:
    before = rolled_back_run(outcome=Outcome.DEPLOYED)
    run = run_from_record(record(before, ended(before, **changes)), now=after(9000))
    assert run.started_at == after(9000)
    assert [one.step for one in run.undo] == ["migrate", "rollout:analytics"]


def test_an_end_that_names_another_service_holds_no_rollback_up() -> None:
    before = rolled_back_run(outcome=Outcome.DEPLOYED)
    entry = ended(before)
    entry.data["status"]["services"][0]["name"] = "nobody"
    assert len(run_from_record(record(before, entry), now=after(9000)).undo) == 2


def test_a_run_that_never_ended_keeps_its_approvers() -> None:
    before = approved_run()
    told = status_of(before).model_dump(mode="json")
    approved = Entry(sequence=0, kind="done", step="approval", data={"status": told})
    run = run_from_record(record(before, approved), now=after(9000))
    assert (run.digest, run.approvals) == (before.digest, before.approvals)
    assert run.outcome is Outcome.RUNNING


def test_what_was_found_while_putting_back_is_kept() -> None:
    run = rolled_back_run()
    data = {"state": "done"}
    undone = Entry(sequence=0, kind="undone", step="migrate", because="2 of 2", data=data)
    rebuilt = run_from_record(record(run, undone), now=after(9000))
    assert (rebuilt.undo[0].state, rebuilt.undo[0].because) == (UndoState.DONE, "2 of 2")


def test_the_status_of_a_record_is_that_of_its_end() -> None:
    run = rolled_back_run()
    assert status_from_record(record(run, ended(run)), now=after(1)) == status_of(run)


def test_the_status_of_a_record_without_end_tells_what_was_begun() -> None:
    status = status_from_record(record(rolled_back_run()), now=after(1))
    assert status.outcome is Outcome.RUNNING
    assert [one.step for one in status.undo] == ["migrate", "rollout:analytics"]


def test_a_record_whose_end_makes_no_sense_is_refused_with_a_remedy() -> None:
    run = approved_run()
    with pytest.raises(
        BadInput, match=r"understood: timeline: Input should be a valid list\. Restore"
    ):
        status_from_record(record(run, ended(run, timeline="?")), now=after(1))
