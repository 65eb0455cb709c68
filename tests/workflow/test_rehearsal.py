"""What the rehearsal on the restored backup means for a run: stop, ask, ask again, go on."""

from typing import Any

import pytest
from temporalio.client import WorkflowUpdateFailedError

from slipway.messages.controls import Approve
from slipway.messages.migration import (
    MigrationFinding,
    MigrationReview,
    PendingMigration,
    Severity,
)
from slipway.states import Outcome, Phase
from slipway.subject import Subject
from slipway.verdicts import Reason
from tests.fakes.plans import small_plan, small_release
from tests.workflow.harness import Harness


def finding(rule: str, about: str, severity: Severity = "block") -> MigrationFinding:
    """Return a finding with a sentence of its own."""
    return MigrationFinding(
        rule=rule, severity=severity, about=about, what=f"{about} meets {rule}."
    )


FAILED = finding("rehearsal-failed", "migrations", "refuse")
LOCKS = finding("locks-reads", "public.users")


@pytest.fixture
def aging(harness: Harness) -> Harness:
    """A harness whose backup is too old as soon as the run wants to go on."""
    backup = harness.plan.backup.model_copy(update={"max_age": 1800.0})
    harness.plan = harness.plan.model_copy(update={"backup": backup})
    return harness


async def test_it_runs_once_after_the_backup_and_production_is_held_to_it(
    harness: Harness,
) -> None:
    harness.world.trouble["migrations.rehearse"] = [lambda: [LOCKS]]
    await harness.start()
    await harness.approve()
    result = await harness.result()
    assert result.outcome is Outcome.DEPLOYED
    assert harness.world.calls["migrations.rehearse"] == 1
    status = await harness.status()
    assert "public.users meets locks-reads." in status.rehearsal
    assert any(key.endswith("rehearsal-1.json") for key in harness.world.artefacts)


async def test_without_pending_migrations_nothing_is_rehearsed(harness: Harness) -> None:
    harness.world.trouble["migrations.review"] = [lambda: MigrationReview(applied=[], pending=[])]
    await harness.start()
    await harness.approve()
    assert (await harness.result()).outcome is Outcome.DEPLOYED
    assert harness.world.calls["migrations.rehearse"] == 0


async def test_what_fails_in_the_rehearsal_stops_before_any_change(harness: Harness) -> None:
    harness.world.trouble["migrations.rehearse"] = [lambda: [FAILED]]
    await harness.start()
    result = await harness.result()
    assert (result.outcome, result.reason) == (Outcome.STOPPED, Reason.REHEARSAL_FAILED)
    assert harness.world.calls["migrations.apply"] == 0
    assert not (await harness.status()).digest


async def _retaken(harness: Harness, *second: MigrationFinding) -> str:
    """Approve too late, so that the backup is taken again, and rehearsed with these findings.
    Return the digest that was approved."""
    harness.world.trouble["migrations.rehearse"] = [lambda: [LOCKS], lambda: [*second]]
    await harness.start()
    digest = (await harness.reaches_approval()).digest
    await harness.skip(2400)
    await harness.approve()
    return digest


async def test_a_retaken_backup_with_the_same_findings_asks_nobody(aging: Harness) -> None:
    again = LOCKS.model_copy(update={"what": "public.users is held for 3.1 s this time."})
    await _retaken(aging, again, finding("adds-rows", "public.orders", "note"))
    result = await aging.result()
    assert result.outcome is Outcome.DEPLOYED
    assert aging.world.calls["migrations.rehearse"] == 2
    assert len((await aging.status()).approvals) == 1


async def test_a_new_finding_on_a_retaken_backup_asks_for_approval_again(aging: Harness) -> None:
    first = await _retaken(aging, LOCKS, finding("locks-writes", "public.orders"))
    status = await aging.reaches(lambda one: one.phase is Phase.APPROVAL and one.digest != first)
    assert aging.world.calls["migrations.apply"] == 0
    assert any("asked for again" in one.text for one in status.timeline)
    await aging.approve(request="yes again")
    result = await aging.result()
    assert result.outcome is Outcome.DEPLOYED
    assert [one.digest for one in (await aging.status()).approvals] == [first, status.digest]


async def test_a_retaken_backup_on_which_the_migration_fails_stops(aging: Harness) -> None:
    await _retaken(aging, FAILED)
    result = await aging.result()
    assert (result.outcome, result.reason) == (Outcome.STOPPED, Reason.REHEARSAL_FAILED)
    assert aging.world.calls["migrations.apply"] == 0


def _review(rule: str) -> MigrationReview:
    return MigrationReview(
        applied=[],
        pending=[
            PendingMigration(
                tag=one.tag, hash=one.sha256, when=1, sql="DROP TABLE t;", in_staging=True
            )
            for one in small_release().migrations.pending
        ],
        findings=[finding(rule, "0000_change")],
    )


async def test_what_loses_data_needs_an_approvers_explicit_word(harness: Harness) -> None:
    harness.world.trouble["migrations.review"] = [lambda: _review("drop-table")]
    await harness.start()
    status = await harness.reaches_approval()
    await harness.confirm()
    subject: Subject = await harness.handle.query("subject", result_type=Subject)
    assert subject.accept == ["drop-table"]
    assert "--accept drop-table" in " ".join(one.what for one in status.waiting_for)

    async def approve(request: str, **more: Any) -> None:
        asked = Approve(
            request=request, person="vp@teei.example", role="vp", digest=status.digest, **more
        )
        await harness.update("approve", asked)

    for number, accepted in enumerate(([], ["truncate"])):
        with pytest.raises(WorkflowUpdateFailedError) as refused:
            await approve(f"no {number}", accept=accepted)
        assert "--accept drop-table" in str(refused.value.cause)
    await approve("yes", accept=["drop-table"])
    assert (await harness.result()).outcome is Outcome.DEPLOYED
    assert (await harness.status()).approvals[0].accepted == ["drop-table"]


async def test_the_plan_says_which_findings_need_a_word(harness: Harness) -> None:
    migrations = small_plan().migrations.model_copy(update={"explicit_word": ["rename-column"]})
    harness.plan = harness.plan.model_copy(update={"migrations": migrations})
    harness.world.trouble["migrations.review"] = [lambda: _review("drop-table")]
    await harness.start()
    await harness.approve()
    assert (await harness.result()).outcome is Outcome.DEPLOYED
