"""Requests at odd moments, and what a reset, a lost record or a newer deployment must not break."""

import asyncio
import uuid
from collections.abc import Awaitable
from typing import Any

import pytest
from temporalio.api.enums.v1 import EventType
from temporalio.client import Client, WorkflowFailureError

from slipway import names
from slipway.errors import ForeignChange
from slipway.messages.aftercare import AftercareState
from slipway.messages.controls import Control, Reject
from slipway.messages.record import Entry
from slipway.plan import Plan
from slipway.release import Release
from slipway.states import AbortState, Choice, Outcome, Phase, ServiceState
from slipway.status import StatusDocument
from slipway.verdicts import Kind, Reason
from tests.fakes.plans import image, small_plan, small_release
from tests.fakes.world import fails, says
from tests.workflow.harness import Harness, reset_before
from tests.workflow.holds import Hold, images, nothing

FORWARD = ("apply ", "migrate ")


def parked(status: StatusDocument) -> bool:
    """Whether a person is asked."""
    return any(wait.kind == "operator" for wait in status.waiting_for)


async def asks(harness: Harness, kind: str) -> None:
    """Send a control signal with an ID of its own."""
    request = Control(request=uuid.uuid4().hex, person="sre@teei.example", reason="because")
    await harness.handle.signal(kind, request)


async def approved(harness: Harness) -> "asyncio.Task[Any]":
    """Start, approve, and let the clock skip in the background."""
    await harness.start()
    await harness.approve()
    return asyncio.create_task(harness.result())


@pytest.mark.parametrize("kind", ["abort", "rollback", "cancel"])
async def test_a_request_during_the_last_write_of_verification_counts(
    harness: Harness, kind: str
) -> None:
    hold = Hold()
    harness.world.trouble["record.attach:monitoring.json"] = [hold]
    ending = await approved(harness)
    await hold.met()
    await (harness.handle.cancel() if kind == "cancel" else asks(harness, kind))
    hold.released.set()
    result = await ending

    assert result.outcome is Outcome.ROLLED_BACK
    assert images(harness) == ["old", "old"]


async def test_a_rollback_asked_during_hand_over_is_carried_out(harness: Harness) -> None:
    hold = Hold()

    def told() -> Awaitable[None] | None:
        return hold() if any(one.window == "monitor:all" for one in harness.world.slices) else None

    harness.world.always["notice.send"] = told
    ending = await approved(harness)
    await hold.met()
    await harness.reaches(lambda one: one.phase is Phase.HAND_OVER)
    await asks(harness, "rollback")
    hold.released.set()
    result = await ending

    assert result.outcome is Outcome.ROLLED_BACK
    assert images(harness) == ["old", "old"]
    assert harness.world.schema == "old"


@pytest.mark.parametrize("where", ["rollout.apply:api-gateway", "rollout.wait:api-gateway"])
async def test_a_cancel_does_not_cut_off_a_rollback(harness: Harness, where: str) -> None:
    hold = Hold()
    harness.world.trouble[where] = [nothing, hold]
    harness.world.trouble["monitor:analytics"] = [
        says(Kind.ROLLBACK, Reason.UNHEALTHY, "analytics")
    ]
    ending = await approved(harness)
    await hold.met()
    await harness.handle.cancel()
    hold.released.set()
    result = await ending

    assert (result.outcome, result.reason) == (Outcome.ROLLED_BACK, Reason.UNHEALTHY)
    assert images(harness) == ["old", "old"]
    assert harness.world.schema == "old"
    assert harness.world.holder == ""


async def test_a_rejection_while_the_approval_is_written_down_counts(harness: Harness) -> None:
    hold = Hold()
    harness.world.trouble["record.attach:approval.json"] = [hold]
    ending = await approved(harness)
    await hold.met()
    digest = (await harness.status()).digest
    no = Reject(request="no", person="cto@teei.example", role="cto", digest=digest, reason="stop")
    reply = await harness.update("reject", no)
    hold.released.set()
    result = await ending

    assert reply.accepted
    assert result.outcome is Outcome.REJECTED
    assert not [one for one in harness.world.effects if one.startswith(FORWARD)]


async def test_a_part_that_waits_does_not_hold_up_another_ones_rollback(harness: Harness) -> None:
    harness.world.trouble["check.service:api-gateway"] = [
        nothing,
        says(Kind.INCONCLUSIVE, Reason.NOTHING_TO_READ, "api-gateway"),
    ]
    harness.world.trouble["check.service:analytics"] = [
        nothing,
        says(Kind.ROLLBACK, Reason.CRITICAL_FUNCTION_BROKEN, "analytics"),
    ]
    result = await harness.carry_out()

    assert (result.outcome, result.reason) == (
        Outcome.ROLLED_BACK,
        Reason.CRITICAL_FUNCTION_BROKEN,
    )


async def test_one_resume_is_enough_for_steps_side_by_side(harness: Harness) -> None:
    for name in ("api-gateway", "analytics"):
        holds = says(Kind.INCONCLUSIVE, Reason.NOTHING_TO_READ, name)
        harness.world.trouble[f"check.service:{name}"] = [nothing, holds]
    harness.somebody_answers()
    ending = await approved(harness)
    await harness.reaches(parked)
    await harness.hold_clock()
    harness.answered.set()
    await asks(harness, "abort")
    await harness.reaches(lambda one: one.abort is AbortState.ACKNOWLEDGED)
    epoch = harness.world.epoch
    await asks(harness, "resume")
    await harness.reaches(lambda one: parked(one) and one.current.step.startswith("verify:"))
    await harness.resolve(Choice.RETRY)
    await harness.resolve(Choice.RETRY)
    await asyncio.gather(ending, harness.result())

    assert (await harness.handle.result()).outcome is Outcome.DEPLOYED
    assert harness.world.epoch == epoch + 1


async def test_an_abort_while_resuming_is_not_lost(harness: Harness) -> None:
    first, resuming = Hold(), Hold()
    harness.world.trouble["rollout.apply:api-gateway"] = [first]
    harness.world.trouble["lease.acquire"] = [nothing, resuming]
    ending = await approved(harness)
    await first.met()
    await harness.hold_clock()
    await asks(harness, "abort")
    await harness.reaches(lambda one: one.abort is AbortState.ACKNOWLEDGED)
    await asks(harness, "resume")
    await resuming.met()
    await asks(harness, "abort")
    resuming.released.set()
    await harness.reaches(lambda one: one.abort is AbortState.ACKNOWLEDGED and parked(one))
    written = [one for one in harness.world.effects if one.startswith(FORWARD)]
    await harness.resolve(Choice.ROLL_BACK)
    await asyncio.gather(ending, harness.result())
    result = await harness.handle.result()

    assert result.outcome is Outcome.ROLLED_BACK
    assert [one for one in harness.world.effects if one.startswith(FORWARD)] == written
    assert images(harness) == ["old", "old"]


@pytest.mark.parametrize("kind", ["abort", "rollback", "cancel"])
async def test_a_request_while_the_first_intent_is_written_changes_nothing(
    harness: Harness, kind: str
) -> None:
    hold = Hold()
    harness.world.trouble["record.append:intent"] = [hold]
    ending = await approved(harness)
    await hold.met()
    await (harness.handle.cancel() if kind == "cancel" else asks(harness, kind))
    hold.released.set()
    result = await ending

    assert result.outcome in (Outcome.ROLLED_BACK, Outcome.STOPPED)
    assert not [one for one in harness.world.effects if one.startswith(FORWARD)]


async def test_a_pause_in_a_watching_window_goes_on_where_it_was(client: Client) -> None:
    plan = small_plan(timings={"slice": "30s"})
    async with Harness(client, plan, small_release()).workers() as harness:
        hold = Hold()
        harness.world.trouble["monitor:analytics"] = [nothing, hold]
        ending = await approved(harness)
        await hold.met()
        await harness.hold_clock()
        await asks(harness, "pause")
        await asks(harness, "pause")
        hold.released.set()
        await asyncio.gather(ending, harness.result())
        result = await harness.handle.result()

    assert result.outcome is Outcome.ROLLED_BACK, "nobody resumed within the deadline"
    assert result.reason is Reason.DEADLINE_PASSED


async def test_a_backup_that_aged_while_a_step_was_parked_is_taken_again(client: Client) -> None:
    plan = small_plan(timings={"slice": "5m", "operator_deadline": "3h"})
    async with Harness(client, plan, small_release()).workers() as harness:
        foreign = fails(ForeignChange("analytics was changed.", "Look at it."))
        harness.world.trouble["rollout.capture:analytics"] = [foreign]
        await harness.start()
        await harness.approve()
        await harness.reaches(lambda one: parked(one) and one.current.step == "capture:analytics")
        await harness.skip(2 * 3600)
        await harness.resolve(Choice.RETRY)
        result = await harness.result()

    assert result.outcome is Outcome.DEPLOYED
    assert harness.world.backups == 2
    effects = harness.world.effects
    last = max(number for number, one in enumerate(effects) if one == "backup")
    assert last < next(number for number, one in enumerate(effects) if one.startswith(FORWARD))


async def test_signals_of_any_shape_are_answered(harness: Harness) -> None:
    await harness.start()
    await harness.reaches_approval()
    for args in ([], ["x"], ["x", "y"], [b"\xff\x00"], [None], [{"a": "b" * 9000}]):
        await harness.handle.signal("abort", args=args)
    await harness.handle.signal("nonsense", args=[{"request": "1"}])
    status = await harness.reaches(lambda one: len(one.replies) >= 7)

    assert not any(reply.accepted for reply in status.replies)
    await asks(harness, "abort")
    assert (await harness.result()).outcome is Outcome.STOPPED


async def test_rollback_of_an_older_deployment_is_refused(harness: Harness) -> None:
    await harness.carry_out()
    older = harness.world.entries[harness.deployment]
    newer = f"{harness.environment}-29991231T000000Z-abcdef"
    harness.world.entries[newer] = [older[0], _end(Outcome.DEPLOYED)]
    await harness.start_rollback()
    with pytest.raises(WorkflowFailureError) as refused:
        await harness.result()

    assert f"slipway rollback {newer}" in str(refused.value.cause)
    assert images(harness) == ["new", "new"]
    assert harness.world.schema == "new"
    assert harness.world.holder == ""


async def test_rollback_after_a_newer_one_was_put_back_writes_above_its_fences(
    harness: Harness,
) -> None:
    await harness.carry_out()
    newer = f"{harness.environment}-29991231T000000Z-abcdef"
    opening = harness.world.entries[harness.deployment][0]
    harness.world.entries[newer] = [opening, _end(Outcome.ROLLED_BACK)]
    harness.world.epoch += 1
    for one in harness.world.deployments.values():
        one.fence, one.op_id = 4 * harness.world.epoch + 2, "newer/undo"
    await harness.start_rollback()
    result = await harness.result()

    assert result.outcome is Outcome.ROLLED_BACK
    assert images(harness) == ["old", "old"]


async def test_the_aftercare_of_a_release_put_back_ends(harness: Harness) -> None:
    hold = Hold()
    harness.world.always["aftercare:health"] = hold  # else its week is over before the rollback is
    await harness.carry_out()
    await harness.start_rollback()
    await harness.result()
    hold.released.set()
    aftercare = harness.client.get_workflow_handle(
        names.aftercare_workflow_id(harness.deployment), result_type=AftercareState
    )
    state = await aftercare.result()

    assert state.superseded_by == harness.deployment


async def test_rollback_does_not_take_the_environment_from_another(harness: Harness) -> None:
    await harness.carry_out()
    harness.world.holder = "somebody-else"
    await harness.start_rollback()
    with pytest.raises(WorkflowFailureError):
        await harness.result()

    assert harness.world.holder == "somebody-else"
    assert images(harness) == ["new", "new"]


async def test_rollback_twice_says_the_same(harness: Harness) -> None:
    await harness.carry_out()
    await harness.start_rollback()
    await harness.result()
    effects = len([one for one in harness.world.effects if not one.startswith("record")])
    await harness.start_rollback()
    result = await harness.result()
    status = StatusDocument.model_validate(result.status)

    assert result.outcome is Outcome.ROLLED_BACK
    assert {one.state for one in status.services} == {ServiceState.REVERTED}
    assert len([one for one in harness.world.effects if not one.startswith("record")]) == effects


@pytest.mark.parametrize("then", ["rollback", "go on"])
async def test_a_reset_run_knows_what_the_record_knows(harness: Harness, then: str) -> None:
    harness.world.always["monitor:analytics"] = says(
        Kind.HOLD, Reason.LATENCY_TOO_HIGH, "analytics"
    )
    harness.somebody_answers()
    ending = await approved(harness)
    await harness.reaches(parked)
    await harness.hold_clock()
    harness.answered.set()
    assert images(harness) == ["new", "new"]
    harness.world.always.clear()
    hold = Hold()
    if then == "rollback":
        harness.world.trouble["rollout.capture:api-gateway"] = []
        harness.world.trouble["watch:migration"] = [hold]
    ending.cancel()
    await asyncio.gather(ending, return_exceptions=True)
    await reset_before(harness, "watch.slice")
    if then == "rollback":
        await hold.met()
        await asks(harness, "rollback")
    result = await harness.result()

    if then == "rollback":
        assert result.outcome is Outcome.ROLLED_BACK
        assert images(harness) == ["old", "old"]
        assert harness.world.schema == "old"
    else:
        assert result.outcome is Outcome.DEPLOYED


async def test_a_full_run_stays_within_its_history(client: Client) -> None:
    harness = Harness(client, *_eleven())
    async with harness.workers():
        await harness.start()
        await harness.approve()
        result = await harness.result()
        history = await harness.handle.fetch_history()

    skips = EventType.EVENT_TYPE_WORKFLOW_EXECUTION_TIME_SKIPPING_TRANSITIONED
    count = sum(event.event_type != skips for event in history.events)
    print(f"eleven services: {count} events")  # shown by pytest -s
    assert result.outcome is Outcome.DEPLOYED
    assert count <= 2000


def _end(outcome: Outcome) -> Entry:
    data = {"outcome": outcome.value}
    return Entry(sequence=1, kind="end", step=outcome.value, data=data)


def _eleven() -> tuple[Plan, Release]:
    """Eleven services with the default timings: slices of 30 s."""
    plan = small_plan().model_dump(mode="json")
    first = plan["services"][0]
    names = [f"service-{number}" for number in range(11)]
    services = [{**first, "name": name, "port": 3017 + n} for n, name in enumerate(names)]
    smoke = [{**one, "service": names[0]} for one in plan["smoke"]]
    release = small_release(images={name: image(name) for name in names})
    return small_plan(services=services, smoke=smoke, timings={}), release
