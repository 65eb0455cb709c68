"""A release's aftercare ends when the next one begins to change production."""

from datetime import UTC, datetime

from slipway import names
from slipway.states import Outcome
from tests.workflow.harness import Harness
from tests.workflow.holds import Hold


async def test_the_next_release_supersedes_the_aftercare_of_the_last(harness: Harness) -> None:
    hold = Hold()
    harness.world.always["aftercare:health"] = hold  # else its week is over before the next begins
    await harness.carry_out()
    first = harness.deployment
    aftercare = harness.client.get_workflow_handle(names.aftercare_workflow_id(first))

    later = datetime(2099, 1, 1, tzinfo=UTC)  # IDs sort by time, however quick the test is
    harness.deployment = names.deployment_id(harness.environment, later, "abcdef")
    result = await harness.carry_out()
    assert result.outcome is Outcome.DEPLOYED

    hold.released.set()
    seen = await aftercare.result()
    assert seen["superseded_by"] == harness.deployment
