"""Requests of people: refused truly, counted once; the memo stays small; a record is adopted."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from slipway.errors import BadInput
from slipway.messages.controls import Control, Reply, Resolve
from slipway.messages.record import (
    Captured,
    Entry,
    LeaseHeld,
    Opening,
    Record,
    RestoreService,
)
from slipway.run import Run, ServiceRun, UndoStep, Wait, new_run
from slipway.states import Choice, ServiceState, UndoState
from slipway.undo import adopt, run_from_record
from tests.fakes.plans import small_plan, small_release
from workflows.controls import Controls
from workflows.display import memo_of
from workflows.steps import Steps
from workflows.watching import watched

NOW = datetime(2026, 11, 23, tzinfo=UTC)


def a_run() -> Run:
    return new_run(
        deployment="small-20261123T000000Z-abcdef",
        workflow_id="deploy-small",
        plan=small_plan(),
        release=small_release(),
        started_at=NOW,
    )


def control(request: str = "1") -> Control:
    return Control(request=request, person="sre@teei.example", reason="because")


def resolve(choice: Choice, request: str) -> Resolve:
    return Resolve(
        request=request, person="sre@teei.example", choice=choice, step="verify", reason="so"
    )


def parked_controls() -> Controls:
    controls = Controls(a_run(), lambda: None, lambda text, by: None)
    wait = Wait(kind="operator", what="a decision", choices=[Choice.RETRY, Choice.ROLL_BACK])
    controls.wait_for_decision(wait, "verify")
    return controls


def test_a_second_decision_about_the_same_step_is_refused() -> None:
    controls = parked_controls()
    assert controls.take("resolve", resolve(Choice.RETRY, "1")).accepted
    second = controls.take("resolve", resolve(Choice.ROLL_BACK, "2"))

    assert not second.accepted
    assert "decided already: retry by sre@teei.example" in second.because
    assert controls.take("resolve", resolve(Choice.RETRY, "1")).accepted, "a repetition"


def test_resume_does_not_claim_to_help_a_step_that_waits_for_a_decision() -> None:
    assert not parked_controls().take("resume", control()).accepted


def test_resume_goes_on_after_a_pause_beside_a_parked_step() -> None:
    controls = parked_controls()
    controls.take("pause", control("p"))

    assert controls.take("resume", control("r")).accepted
    assert controls.pause is None
    assert controls.decision is None


def test_memo_of_500_services_and_200_replies_fits_into_4_kb() -> None:
    run = a_run()
    run.services = [
        ServiceRun(name=f"service-{number}-{'x' * 40}", state=ServiceState.DEPLOYED)
        for number in range(500)
    ]
    text = "ÆØÅ € 🚢" * 40
    run.replies = [
        Reply(request=f"{number}-{'€' * 100}", kind="abort", accepted=True, because=text)
        for number in range(200)
    ]
    run.waiting_for = [
        Wait(kind="operator", what=text * 3, command="slipway resolve " * 20) for _ in range(500)
    ]
    run.step, run.reason = "rollout:" + "🚢" * 100, text * 5
    memo = memo_of(run)

    assert len(memo.model_dump_json().encode()) <= 4096
    assert memo.phase is run.phase
    assert memo.waiting_for, "what it waits for stays visible"


def captured(image: str) -> Captured:
    return Captured(
        uid="u",
        generation=1,
        template={"image": image},
        image=image,
        replicas=2,
        replica_set="r",
        pod_hash="h",
    )


def intent(sequence: int, name: str) -> Entry:
    undo = RestoreService(
        service=name, namespace="small", deployment=name, captured=captured("old")
    )
    return Entry(sequence=sequence, kind="intent", step=f"rollout:{name}", undo=undo)


def a_record(*entries: Entry) -> Record:
    run = a_run()
    opening = Opening(
        deployment=run.id,
        workflow_id=run.workflow_id,
        plan=run.plan,
        release=run.release,
        plan_sha256="a" * 64,
        release_sha256="b" * 64,
        requester=run.requester,
        epoch=3,
    )
    first = Entry(sequence=0, kind="open", step="open", data=opening.model_dump(mode="json"))
    return Record(place=run.place, entries=[first, *entries])


def test_a_run_adopts_what_the_record_knows_and_keeps_what_it_did() -> None:
    resumed = Entry(sequence=3, kind="done", step="resume", data={"epoch": 7})
    record = a_record(intent(1, "api-gateway"), intent(2, "analytics"), resumed)
    run = a_run()
    run.lease = LeaseHeld(deployment=run.id, epoch=3)
    own = intent(1, "api-gateway").undo
    assert own is not None
    run.undo = [UndoStep(step="rollout:api-gateway", undo=own, state=UndoState.DONE)]
    adopt(run, run_from_record(record, now=NOW))

    assert [(one.step, one.state) for one in run.undo] == [
        ("rollout:api-gateway", UndoState.DONE),
        ("rollout:analytics", UndoState.READY),
    ]
    assert run.changed
    assert run.sequence == 4
    assert run.lease.epoch == 7


def test_a_put_back_service_is_reported_as_put_back() -> None:
    undone = Entry(sequence=2, kind="undone", step="rollout:analytics", data={"state": "done"})
    run = run_from_record(a_record(intent(1, "analytics"), undone), now=NOW + timedelta(hours=1))

    assert run.service("analytics").state is ServiceState.REVERTED


@pytest.mark.parametrize(
    "entry",
    [
        Entry(sequence=1, kind="done", step="resume", data={"epoch": "many"}),
        Entry(sequence=1, kind="end", step="end", data={"outcome": "marvellous"}),
        intent(1, "no-such-service"),
    ],
)
def test_a_record_that_makes_no_sense_is_refused(entry: Entry) -> None:
    with pytest.raises(BadInput, match="cannot be understood"):
        run_from_record(a_record(entry), now=NOW)


def test_an_opening_of_another_shape_is_refused() -> None:
    broken: dict[str, Any] = {"deployment": "x"}
    entries = [Entry(sequence=0, kind="open", step="open", data=broken)]
    with pytest.raises(BadInput):
        run_from_record(Record(place=a_run().place, entries=entries), now=NOW)


@pytest.mark.parametrize(("pod_hash", "replaced"), [("new", True), ("old", False)])
def test_a_service_whose_image_stays_is_watched_as_one_that_was_not_replaced(
    pod_hash: str, replaced: bool
) -> None:
    run = a_run()
    state, service = run.services[0], run.plan.services[0]
    state.captured = Captured(
        uid="u",
        generation=1,
        template={},
        image="reg/app",
        replicas=1,
        replica_set="x-old",
        pod_hash="old",
    )
    state.state, state.pod_hash = ServiceState.WATCHING, pod_hash
    assert watched(Steps(run), service, focus=True).replaced is replaced
