"""Corners of a run that were wrong once."""

import asyncio

import pytest
from temporalio.client import Client
from temporalio.testing import ActivityEnvironment

from slipway.errors import Fenced, Unreachable
from slipway.messages.record import AcquireLease
from slipway.states import AbortState, Choice, Outcome
from slipway.verdicts import Kind, Reason
from tests.fakes.activities import FakeLeases
from tests.fakes.plans import small_plan, small_release
from tests.fakes.world import fails, says
from tests.workflow.harness import Harness
from tests.workflow.holds import Hold, images
from tests.workflow.test_safety import approved, asks, parked


async def test_a_replaced_service_does_not_implicate_the_migration(client: Client) -> None:
    plan = small_plan(rollback={"database": "when-implicated"})
    async with Harness(client, plan, small_release()).workers() as harness:
        harness.world.trouble["monitor:analytics"] = [
            says(Kind.ROLLBACK, Reason.ERROR_RATE_TOO_HIGH, "analytics")
        ]
        result = await harness.carry_out()

    assert result.outcome is Outcome.ROLLED_BACK
    assert images(harness) == ["old", "old"]
    assert harness.world.schema == "new", "its data was left, as the plan says"


async def test_an_abort_while_the_environment_is_taken_gives_it_back(harness: Harness) -> None:
    hold = Hold()
    harness.world.trouble["lease.acquire"] = [hold]
    await harness.start()
    await hold.met()
    await asks(harness, "abort")
    hold.released.set()
    result = await harness.result()

    assert result.outcome is Outcome.STOPPED
    assert harness.world.holder == ""


async def test_a_cancel_while_the_store_is_away_asks_nobody(harness: Harness) -> None:
    hold = Hold()

    async def away() -> None:
        await hold()
        raise Unreachable("S3 is away.", "Start it.")

    harness.world.trouble["record.attach"] = [away]
    await harness.start()
    await hold.met()
    await harness.handle.cancel()
    hold.released.set()
    result = await harness.result()

    assert result.outcome is Outcome.STOPPED
    assert not [one for one in harness.world.notices if one.kind == "parked"]


async def test_a_store_that_is_away_at_resume_parks_instead_of_rolling_back(
    harness: Harness,
) -> None:
    harness.world.trouble["rollout.wait:analytics"] = [hold := Hold()]
    ending = await approved(harness)
    await hold.met()
    await harness.hold_clock()
    await asks(harness, "abort")
    hold.released.set()
    await harness.reaches(lambda one: one.current.step == "abort" and bool(one.waiting_for))
    gone = fails(Unreachable("The API server is away.", "Start it."))
    harness.world.trouble["lease.acquire"] = [gone, gone]
    await harness.resolve(Choice.RESUME)
    ending.cancel()
    await asyncio.gather(ending, return_exceptions=True)
    result = await harness.result()

    assert result.outcome is Outcome.DEPLOYED
    assert images(harness) == ["new", "new"]


def _pending(harness: Harness) -> list[str]:
    return [one.sha256 for one in harness.release.migrations.pending]


async def test_an_abort_whose_migration_had_committed_is_resumed_on_it(harness: Harness) -> None:
    hold, world = Hold(), harness.world

    async def commits_and_hangs() -> None:
        world.ledger += _pending(harness)
        world.schema = "new"
        await hold()

    world.trouble["migrations.apply"] = [commits_and_hangs]
    ending = await approved(harness)
    await hold.met()
    await harness.hold_clock()
    await asks(harness, "abort")
    await harness.reaches(lambda one: one.abort is AbortState.ACKNOWLEDGED)
    assert world.calls["migrations.apply"] == 1
    await asks(harness, "resume")
    await asyncio.gather(ending, harness.result())

    assert (await harness.handle.result()).outcome is Outcome.DEPLOYED
    assert world.calls["migrations.apply"] == 2
    assert not [one for one in world.effects if one.startswith("migrate ")], "it was applied"


async def test_a_migration_that_somebody_else_applied_is_refused_at_every_retry(
    harness: Harness,
) -> None:
    await harness.start()
    await harness.reaches_approval()
    harness.world.ledger += _pending(harness)
    await harness.approve()
    await harness.hold_clock()
    for choice in (Choice.RETRY, Choice.RETRY, Choice.ROLL_BACK):
        status = await harness.reaches(parked)
        assert status.current.step == "migrate"
        await harness.resolve(choice)
    result = await harness.result()

    assert (result.outcome, result.reason) == (Outcome.ROLLED_BACK, Reason.FOREIGN_CHANGE)
    assert not [one for one in harness.world.effects if one.startswith(("apply ", "migrate "))]


async def test_an_attempt_at_the_lease_that_wakes_after_the_end_is_refused(
    harness: Harness,
) -> None:
    result = await harness.carry_out()
    names = {"namespace": "n", "environment": "small", "deployment": result.deployment}
    leases = FakeLeases(harness.world)
    with pytest.raises(Fenced):
        await ActivityEnvironment().run(leases.acquire, AcquireLease(**names))
    await harness.start_rollback()
    rolled = await harness.result()
    assert rolled.outcome is Outcome.ROLLED_BACK
    turn = harness.world.ended[result.deployment]
    assert turn > 0
    with pytest.raises(Fenced):
        await ActivityEnvironment().run(leases.acquire, AcquireLease(**names, turn=turn))
    assert harness.world.holder == ""
