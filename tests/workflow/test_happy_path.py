"""The playbook from start to the end of the week."""

from temporalio.client import Client

from slipway import names
from slipway.states import ItemState, MigrationState, Outcome, ServiceState
from slipway.status import StatusDocument
from slipway.verdicts import Kind, Signal, Verdict
from tests.fakes.plans import small_plan, small_release
from tests.workflow.harness import Harness

PLAYBOOK = [
    "record open open",
    "backup",
    "record intent migrate",
    "migrate 0000_change",
    "record intent rollout:api-gateway",
    "apply api-gateway",
    "record intent rollout:analytics",
    "apply analytics",
    "record end deployed",
]
"""Every effect, in the playbook's order, each after its intent."""


async def test_new_kinds_of_error_lines_stand_in_the_timeline_and_stop_nothing(
    harness: Harness,
) -> None:
    said = "analytics writes error lines of a kind that the hour before did not hold: 3 × x."
    seen = Verdict(kind=Kind.PROCEED, signal=Signal.LOGS, service="analytics", because=said)
    harness.world.trouble["check.service:analytics"] = [lambda: seen]
    result = await harness.carry_out()

    assert result.outcome is Outcome.DEPLOYED
    status = StatusDocument.model_validate(result.status)
    assert said in [one.text for one in status.timeline]


async def test_a_good_release_is_deployed(harness: Harness) -> None:
    result = await harness.carry_out()

    assert result.outcome is Outcome.DEPLOYED, result.because
    status = StatusDocument.model_validate(result.status)
    assert [one.state for one in status.services] == [ServiceState.DEPLOYED] * 2
    assert [one.state for one in status.migrations] == [MigrationState.APPLIED]
    assert [line.item for line in status.checklist if line.state is not ItemState.DONE] == []
    assert status.lost_writes is None
    assert harness.world.holder == "", "the Lease is given back"
    assert harness.world.tidied == [], "a rollback needs the side database"
    assert [one for one in harness.world.effects if not one.startswith("record done")] == PLAYBOOK


async def test_without_migrations_the_database_is_not_touched(client: Client) -> None:
    async with Harness(client, small_plan(), small_release(pending=0)).workers() as harness:
        result = await harness.carry_out()

    assert result.outcome is Outcome.DEPLOYED
    assert harness.world.calls["migrations.apply"] == 0
    assert harness.world.backups == 1


async def test_aftercare_runs_to_day_seven(harness: Harness) -> None:
    await harness.carry_out()

    aftercare = harness.client.get_workflow_handle(names.aftercare_workflow_id(harness.deployment))
    harness.handle = aftercare
    await harness.result()
    windows = [one.window for one in harness.world.slices if one.window.startswith("aftercare")]
    assert windows.count("aftercare:health") == 24
    assert windows.count("aftercare:errors") == 24
    assert windows.count("aftercare:daily") == 6
    assert windows.count("aftercare:weekly") == 1
