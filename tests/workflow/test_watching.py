"""Windows: what they are compared with, and how one goes on that could not be judged."""

import asyncio
from typing import Any

import pytest
from temporalio.client import Client, WorkflowUpdateFailedError

from slipway.errors import Unreachable
from slipway.messages.watch import Extension, WatchSlice
from slipway.states import Choice, Outcome
from slipway.status import StatusDocument
from slipway.verdicts import Kind, Reason, Verdict
from tests.fakes.plans import small_plan, small_release
from tests.fakes.world import fails, says
from tests.workflow.harness import Harness

WINDOW = "monitor:analytics"


async def test_a_window_without_enough_traffic_goes_on_and_says_how_long(harness: Harness) -> None:
    longer = Extension(length=300.0, because="Too few.", synthetic=["analytics"])
    harness.world.trouble[WINDOW] = [lambda: longer]
    result = await harness.carry_out()

    assert result.outcome is Outcome.DEPLOYED
    slices = [one for one in harness.world.slices if one.window == WINDOW]
    assert [one.window_length for one in slices] == [120.0, 300.0]
    assert [one.length for one in slices] == [120.0, 180.0]
    assert [one.last for one in slices] == [True, True]
    assert [one.synthetic for one in slices] == [[], ["analytics"]]
    assert slices[1].mark is not None, "it is the same window, from its beginning"
    status = await harness.status()
    assert f"{WINDOW} goes on: Too few." in [one.text for one in status.timeline]


async def test_a_longer_window_is_rolled_back_at_once_like_any_other(harness: Harness) -> None:
    longer = Extension(length=300.0, because="Too few.")
    bad = says(Kind.ROLLBACK, Reason.ERROR_RATE_TOO_HIGH, "analytics")
    harness.world.trouble[WINDOW] = [lambda: longer, bad]
    result = await harness.carry_out()

    assert (result.outcome, result.reason) == (Outcome.ROLLED_BACK, Reason.ERROR_RATE_TOO_HIGH)


async def test_windows_are_compared_with_the_traffic_before_the_first_change(
    harness: Harness,
) -> None:
    await harness.carry_out()

    watched = [one for slice_ in harness.world.slices for one in slice_.watched]
    during = [one for one in watched if one.before is not None]
    assert during
    assert {one.before.requests for one in during} == {72_000.0}


async def test_without_traffic_before_the_limits_stand_alone(harness: Harness) -> None:
    away = fails(Unreachable("Prometheus is away.", "Start it."))
    harness.world.always["watch.before"] = away
    result = await harness.carry_out()

    assert result.outcome is Outcome.DEPLOYED
    status = await harness.status()
    told = [one.text for one in status.timeline if "traffic before is not known" in one.text]
    assert "Prometheus is away." in told[0]


async def parked(harness: Harness) -> tuple[StatusDocument, "asyncio.Task[Any]"]:
    """Carry it out until a person is asked; the second value ends with the deployment."""
    harness.somebody_answers()
    await harness.start()
    await harness.approve()
    ending = asyncio.create_task(harness.result())
    status = await harness.reaches(
        lambda one: any(wait.kind == "operator" for wait in one.waiting_for)
    )
    return status, ending


def slices_of(harness: Harness, window: str) -> list[WatchSlice]:
    """The slices of a window that were watched, in order."""
    return [one for one in harness.world.slices if one.window == window]


async def test_a_window_whose_cause_lay_outside_begins_again(client: Client) -> None:
    plan, release = small_plan(timings={"slice": "30s"}), small_release(pending=0)
    window = "monitor:api-gateway"
    outside = says(Kind.ROLLBACK, Reason.ERROR_RATE_TOO_HIGH, "analytics", "not replaced yet")
    async with Harness(client, plan, release).workers() as harness:

        def alarms() -> Verdict | None:
            """An alarm stands as long as its window does."""
            seen = slices_of(harness, window)
            return outside() if len(seen) == 1 or seen[1].mark is not None else None

        harness.world.always[window] = alarms
        status, ending = await parked(harness)
        assert "may lie outside this release" in status.waiting_for[0].what
        await harness.resolve(Choice.RETRY)
        result = await ending

    assert result.outcome is Outcome.DEPLOYED
    seen = slices_of(harness, window)
    assert [one.mark is None for one in seen[:3]] == [True, True, False]
    assert sum(one.length for one in seen[1:]) == 120.0, "the whole window, not what was left"


async def test_a_part_that_was_not_watched_is_not_made_good_by_a_service_that_may_be_quiet(
    client: Client,
) -> None:
    quiet = says(Kind.PROCEED, Reason.OK, "analytics", "little traffic, which the plan allows")
    away = fails(Unreachable("The worker was away.", "Start it."))
    async with Harness(
        client, small_plan(timings={"slice": "30s"}), small_release()
    ).workers() as one:
        one.world.always[WINDOW] = quiet
        one.world.trouble[WINDOW] = [away] * 4
        status, ending = await parked(one)
        assert "Part of the window could not be watched" in status.waiting_for[0].what
        await one.resolve(Choice.RETRY)
        result = await ending

    assert result.outcome is Outcome.DEPLOYED


async def test_who_accepts_a_hold_does_not_accept_what_was_never_measured(
    harness: Harness,
) -> None:
    slow = says(Kind.HOLD, Reason.LATENCY_TOO_HIGH, "analytics", "It is slow.")
    silent = says(Kind.INCONCLUSIVE, Reason.NOTHING_TO_READ, "api-gateway", "No sample.")

    def unread() -> Verdict | None:
        return silent() if len(slices_of(harness, WINDOW)) == 1 else None

    harness.world.trouble[WINDOW] = [slow]
    harness.world.always["watch.slice"] = unread
    status, ending = await parked(harness)
    assert "It is slow." in status.waiting_for[0].what
    assert "No sample." in status.waiting_for[0].what
    with pytest.raises(WorkflowUpdateFailedError):
        await harness.resolve(Choice.SKIP)
    await harness.resolve(Choice.RETRY)

    assert (await ending).outcome is Outcome.DEPLOYED
