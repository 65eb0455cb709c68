"""Windows: what they are compared with, and how one goes on that could not be judged."""

from slipway.errors import Unreachable
from slipway.messages.watch import Extension
from slipway.states import Outcome
from slipway.verdicts import Kind, Reason
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
