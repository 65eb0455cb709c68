"""Corners of a run that were wrong once."""

import asyncio

from temporalio.client import Client

from slipway.errors import Unreachable
from slipway.states import Choice, Outcome
from slipway.verdicts import Kind, Reason
from tests.fakes.plans import small_plan, small_release
from tests.fakes.world import fails, says
from tests.workflow.harness import Harness
from tests.workflow.holds import Hold, images
from tests.workflow.test_safety import approved, asks


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
    await asks(harness, "abort")
    hold.released.set()
    await harness.reaches(lambda one: one.current.step == "abort" and bool(one.waiting_for))
    await harness.hold_clock()
    gone = fails(Unreachable("The API server is away.", "Start it."))
    harness.world.trouble["lease.acquire"] = [gone, gone]
    await harness.resolve(Choice.RESUME)
    ending.cancel()
    await asyncio.gather(ending, return_exceptions=True)
    result = await harness.result()

    assert result.outcome is Outcome.DEPLOYED
    assert images(harness) == ["new", "new"]
