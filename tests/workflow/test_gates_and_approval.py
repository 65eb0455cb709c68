"""Before any change: gates, people, the window."""

import pytest
from temporalio.client import WorkflowUpdateFailedError

from slipway.errors import BackupNotRestorable, Held, Unreachable
from slipway.messages.controls import Acknowledge, Approve, Reject
from slipway.messages.preflight import GateResult, GateResults, StagingReport
from slipway.states import Choice, Outcome
from slipway.status import StatusDocument
from slipway.verdicts import Reason
from tests.fakes.world import fails
from tests.workflow.harness import Harness


async def test_a_failed_gate_stops_before_any_change(harness: Harness) -> None:
    failed = GateResult(gate="trivy", passed=False, because="2 CRITICAL findings")
    harness.world.trouble["gates.evaluate"] = [lambda: GateResults(results=[failed])]
    await harness.start()
    result = await harness.result()

    assert result.outcome is Outcome.STOPPED
    assert result.reason is Reason.GATE_FAILED
    assert "2 CRITICAL" in result.because
    assert harness.world.backups == 0
    assert harness.world.calls["backup.tidy"] == 0, "there is nothing to tidy"


async def test_unstable_staging_stops(harness: Harness) -> None:
    report = StagingReport(stable=False, findings=[], because="analytics is DOWN in staging")
    harness.world.trouble["preflight.staging"] = [lambda: report]
    await harness.start()
    result = await harness.result()

    assert (result.outcome, result.reason) == (Outcome.STOPPED, Reason.STAGING_NOT_STABLE)


async def test_a_backup_that_does_not_restore_stops(harness: Harness) -> None:
    error = BackupNotRestorable("Table users differs.", "Look at the side database.")
    harness.world.trouble["backup.take"] = [fails(error)]
    await harness.start()
    result = await harness.result()

    assert (result.outcome, result.reason) == (Outcome.STOPPED, Reason.BACKUP_NOT_RESTORABLE)


async def test_a_held_environment_is_named(harness: Harness) -> None:
    harness.world.trouble["lease.acquire"] = [fails(Held("small is held by small-1.", ""))]
    await harness.start()
    result = await harness.result()

    assert result.reason is Reason.ENVIRONMENT_HELD
    assert "small-1" in result.because


async def test_a_step_out_of_attempts_parks_and_is_retried(harness: Harness) -> None:
    harness.world.trouble["backup.take"] = [fails(Unreachable("S3 is away.", "Start it."))] * 4
    await harness.start()
    harness_status = await harness.reaches(lambda one: one.current.step == "backup")
    assert harness_status.outcome is Outcome.RUNNING
    await harness.resolve(Choice.RETRY)
    await harness.approve()
    result = await harness.result()

    assert result.outcome is Outcome.DEPLOYED
    assert harness.world.calls["backup.take"] == 5


async def test_nobody_answers_before_any_change_stops(harness: Harness) -> None:
    harness.world.always["migrations.review"] = fails(Unreachable("no database", "Start it."))
    await harness.start()
    result = await harness.result()

    assert (result.outcome, result.reason) == (Outcome.STOPPED, Reason.STEP_OUT_OF_ATTEMPTS)


async def test_a_rejection_ends_the_run(harness: Harness) -> None:
    await harness.start()
    status = await harness.reaches_approval()
    await harness.update(
        "reject",
        Reject(
            request="no",
            person="cto@teei.example",
            role="cto",
            digest=status.digest,
            reason="not before the weekend",
        ),
    )
    result = await harness.result()

    assert (result.outcome, result.reason) == (Outcome.REJECTED, Reason.APPROVAL_REJECTED)
    assert "not before the weekend" in result.because
    assert harness.world.effects[-1] == "record end rejected"
    assert harness.world.tidied == [harness.deployment], "its side database is of no use"


async def test_silence_expires(harness: Harness) -> None:
    await harness.start()
    result = await harness.result()

    assert (result.outcome, result.reason) == (Outcome.EXPIRED, Reason.APPROVAL_EXPIRED)
    assert harness.world.tidied == [harness.deployment]


async def test_what_cannot_be_tidied_is_told_and_holds_nothing_up(harness: Harness) -> None:
    harness.world.always["backup.tidy"] = fails(Unreachable("no database", "Start it."))
    await harness.start()
    result = await harness.result()

    assert result.outcome is Outcome.EXPIRED
    status = StatusDocument.model_validate(result.status)
    assert any("What the run left was not dropped" in one.text for one in status.timeline)
    assert harness.world.holder == "", "the Lease is given back"


@pytest.mark.parametrize(
    ("person", "role", "digest", "because"),
    [
        ("vp@teei.example", "cto", "", "does not have the role"),
        ("dev@teei.example", "vp", "", "does not have the role"),
        ("vp@teei.example", "janitor", "", "may not approve"),
        ("vp@teei.example", "vp", "f" * 64, "is not what is to be approved"),
    ],
)
async def test_a_wrong_approval_is_refused_at_once(
    harness: Harness, person: str, role: str, digest: str, because: str
) -> None:
    await harness.start()
    status = await harness.reaches_approval()
    request = Approve(request="x", person=person, role=role, digest=digest or status.digest)
    with pytest.raises(WorkflowUpdateFailedError) as refused:
        await harness.update("approve", request)

    assert because in str(refused.value.cause)
    await harness.handle.terminate()


async def test_the_requester_may_not_approve(harness: Harness) -> None:
    roles = {"vp": ["dev@teei.example", "vp@teei.example"]}
    approvals = harness.plan.approvals.model_copy(update={"roles": roles})
    harness.plan = harness.plan.model_copy(update={"approvals": approvals})
    await harness.start()
    status = await harness.reaches_approval()
    request = Approve(request="x", person="dev@teei.example", role="vp", digest=status.digest)
    with pytest.raises(WorkflowUpdateFailedError) as refused:
        await harness.update("approve", request)

    assert "cannot approve it" in str(refused.value.cause)
    await harness.handle.terminate()


async def test_too_early_an_approval_is_refused(harness: Harness) -> None:
    harness.world.always["backup.take"] = fails(Unreachable("S3 is away.", "Start it."))
    await harness.start()
    await harness.reaches(lambda one: one.current.step == "backup")
    request = Approve(request="x", person="vp@teei.example", role="vp", digest="0" * 64)
    with pytest.raises(WorkflowUpdateFailedError) as refused:
        await harness.update("approve", request)

    assert "approvals are taken in phase approval" in str(refused.value.cause)
    await harness.handle.terminate()


async def test_two_approvers_count_once_each(harness: Harness) -> None:
    approvals = harness.plan.approvals.model_copy(update={"required": 2})
    harness.plan = harness.plan.model_copy(update={"approvals": approvals})
    await harness.start()
    await harness.approve()
    status = await harness.status()
    again = Approve(request="again", person="cto@teei.example", role="cto", digest=status.digest)
    await harness.update("approve", again)
    status = await harness.status()
    assert any(wait.kind == "approval" for wait in status.waiting_for)
    other = Approve(request="other", person="vp@teei.example", role="vp", digest=status.digest)
    await harness.update("approve", other)
    result = await harness.result()

    assert result.outcome is Outcome.DEPLOYED


async def test_approval_by_signal_counts_and_a_bad_one_is_recorded(harness: Harness) -> None:
    await harness.start()
    status = await harness.reaches_approval()
    await harness.handle.signal("approve", {"person": "nobody"})
    await harness.handle.signal("approve", args=["one", "two"])
    await harness.handle.signal("sing", {"a": 1})
    await harness.handle.signal("approve")
    good = Approve(request="ok", person="vp@teei.example", role="vp", digest=status.digest)
    await harness.handle.signal("approve", good)
    status = await harness.reaches(lambda one: len(one.replies) == 5)
    assert [one.accepted for one in status.replies] == [False, False, False, False, True]
    await harness.confirm()
    result = await harness.result()

    assert result.outcome is Outcome.DEPLOYED


async def test_only_the_named_person_confirms(harness: Harness) -> None:
    await harness.start()
    await harness.reaches_approval()
    request = Acknowledge(request="a", person="dev@teei.example", item="stakeholders-notified")
    with pytest.raises(WorkflowUpdateFailedError) as refused:
        await harness.update("acknowledge", request)

    assert "may not confirm" in str(refused.value.cause)
    await harness.handle.terminate()


async def test_an_old_backup_is_taken_again(harness: Harness) -> None:
    await harness.start()
    await harness.reaches_approval()
    await harness.skip(2 * 3600)
    await harness.approve()
    result = await harness.result()

    assert result.outcome is Outcome.DEPLOYED
    assert harness.world.backups == 2
