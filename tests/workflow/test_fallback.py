"""The restored copy that follows: begun with the backup, kept for the undo window, then dropped."""

import asyncio
from datetime import timedelta
from typing import Any

import pytest
from temporalio.exceptions import ApplicationError

from slipway import names
from slipway.errors import BackupNotRestorable, FallbackDiffers, FallbackLost, Unreachable
from slipway.messages.controls import Reject
from slipway.messages.fallback import Followed, KeepFallback
from slipway.messages.notice import Notice
from slipway.messages.record import Fallback
from slipway.messages.requests import DeploymentResult
from slipway.states import Choice, FallbackState, Outcome, UndoState
from slipway.verdicts import Kind, Reason
from starter.lookup import find
from starter.stand import stand_of
from tests.fakes.world import fails, says
from tests.integration.data_world import until
from tests.workflow.harness import Harness
from tests.workflow.test_rollback import document

SLOT = Fallback(slot="slipway_x_1", publication="slipway_x_1", position="0/1", tables=3)


async def _forever() -> Any:
    await asyncio.Event().wait()


@pytest.fixture
def following(harness: Harness) -> Harness:
    """A world whose copies can follow, and do until they are told otherwise."""
    harness.world.fallback = SLOT
    harness.world.always["fallback.follow"] = _forever
    return harness


def _kept(harness: Harness) -> Any:
    return harness.client.get_workflow_handle(names.fallback_workflow_id(harness.deployment))


async def _dropped(harness: Harness) -> None:
    await until(lambda: harness.world.dropped)


async def _decided(following: Harness, choice: Choice) -> tuple[DeploymentResult, Notice]:
    """Deploy, and let a person decide about the one parked step; return the question, too."""
    following.somebody_answers()
    await following.start()
    await following.approve()
    deciding = asyncio.create_task(following.resolve(choice))
    result = await following.result()
    await deciding
    (asked,) = [one for one in following.world.notices if one.kind == "parked"]
    return result, asked


async def test_it_follows_from_the_backup_on_and_ends_with_the_undo_window(
    following: Harness,
) -> None:
    result = await following.carry_out()

    assert result.outcome is Outcome.DEPLOYED
    await until(lambda: following.world.followed)
    assert following.world.followed == ["teei_small_side_1"]
    assert following.world.dropped == []
    await _kept(following).signal("keep", KeepFallback(seconds=0, because="the test skips a day"))
    assert (await _kept(following).result())["state"] == "ended"
    assert following.world.dropped == ["teei_small_side_1"]


async def test_a_run_that_stops_before_any_change_leaves_nothing_behind(
    following: Harness,
) -> None:
    await following.start()
    status = await following.reaches_approval()
    role, people = next(iter(sorted(following.plan.approvals.roles.items())))
    no = Reject(request="no", person=people[0], role=role, digest=status.digest, reason="not now")
    await following.update("reject", no)
    await following.result()
    assert (await _kept(following).result())["state"] == "ended"
    assert following.world.dropped == ["teei_small_side_1"]


async def test_without_pending_migrations_nothing_follows(following: Harness) -> None:
    empty = following.release.migrations.model_copy(update={"pending": []})
    following.release = following.release.model_copy(update={"migrations": empty})
    result = await following.carry_out()
    assert result.outcome is Outcome.DEPLOYED
    assert following.world.followed == []


async def test_a_lost_copy_is_told_at_once_and_dropped(following: Harness) -> None:
    lost = Followed(state=FallbackState.LOST, because="Slot slipway_x_1 was given up.")
    following.world.trouble["fallback.follow"] = [lambda: lost]
    await following.carry_out()
    await _dropped(following)
    told = [one for one in following.world.notices if "does not follow" in one.title]
    assert [one.text for one in told] == [lost.because]
    assert (await _kept(following).result())["state"] == "lost"


async def test_without_a_copy_that_followed_a_person_decides_about_later_writes(
    following: Harness,
) -> None:
    following.world.trouble["monitor:analytics"] = [
        says(Kind.ROLLBACK, Reason.ERROR_RATE_TOO_HIGH, "analytics")
    ]
    following.world.trouble["database.roll_back"] = [
        fails(FallbackLost("The fallback is lost.", "Decide."))
    ]
    result, asked = await _decided(following, Choice.ROLL_BACK)
    assert "loses later writes" in asked.text
    assert "public.ingestion_events 3 new (id=41, id=42)" in asked.text
    assert result.outcome is Outcome.ROLLED_BACK
    assert following.world.schema == "old"
    assert following.world.calls["database.roll_back"] == 2


@pytest.mark.parametrize("choice", [Choice.ROLL_BACK, Choice.STOP])
async def test_a_copy_that_differs_is_swapped_in_only_by_a_person(
    following: Harness, choice: Choice
) -> None:
    following.world.trouble["monitor:analytics"] = [
        says(Kind.ROLLBACK, Reason.ERROR_RATE_TOO_HIGH, "analytics")
    ]
    differs = FallbackDiffers("The copy differs: public.users 1 unexplained (id=7).", "Look.")
    following.world.trouble["database.roll_back"] = [fails(differs)]
    result, asked = await _decided(following, choice)
    assert "public.users 1 unexplained (id=7)" in asked.text
    assert result.outcome is Outcome.ROLLED_BACK
    accepted = choice is Choice.ROLL_BACK
    assert following.world.schema == ("old" if accepted else "new")
    assert following.world.accepted == ([False, True] if accepted else [False])


async def test_after_corruption_what_was_written_is_shown_before_a_person_decides(
    following: Harness,
) -> None:
    following.world.trouble["monitor:analytics"] = [says(Kind.ROLLBACK, Reason.DATA_CORRUPTION)]
    following.world.trouble["database.compare"] = [fails(Unreachable("Cut off.", "Retry."))]
    result, asked = await _decided(following, Choice.ROLL_BACK)
    assert "public.ingestion_events 3 new (id=41, id=42)" in asked.text
    assert following.world.calls["database.compare"] == 2
    assert result.outcome is Outcome.ROLLED_BACK
    assert following.world.schema == "old"


async def test_what_cannot_be_compared_is_said_and_the_person_decides(following: Harness) -> None:
    following.world.trouble["monitor:analytics"] = [says(Kind.ROLLBACK, Reason.DATA_CORRUPTION)]
    following.world.trouble["database.compare"] = [
        fails(BackupNotRestorable("The dump is gone.", "Look for another."))
    ]
    result = await following.carry_out()
    (asked,) = [one for one in following.world.notices if one.kind == "parked"]
    assert "could not be told: The dump is gone." in asked.text
    assert [one.state for one in document(result).undo if one.of_database] == [UndoState.LEFT]
    assert following.world.schema == "new"


async def test_and_by_default_the_data_is_left_and_the_copy_kept(following: Harness) -> None:
    following.world.trouble["monitor:analytics"] = [
        says(Kind.ROLLBACK, Reason.ERROR_RATE_TOO_HIGH, "analytics")
    ]
    following.world.trouble["database.roll_back"] = [
        fails(FallbackLost("The fallback is lost.", "Decide."))
    ]
    result = await following.carry_out()
    assert result.outcome is Outcome.ROLLED_BACK
    assert [one.state for one in document(result).undo if one.of_database] == [UndoState.LEFT]
    assert following.world.schema == "new"
    assert following.world.dropped == []


async def test_a_retaken_backup_replaces_the_copy(following: Harness) -> None:
    await following.start()
    await following.reaches_approval()
    await following.skip(following.plan.scale(following.plan.backup.max_age) + 60)
    await following.approve()
    result = await following.result()
    assert result.outcome is Outcome.DEPLOYED
    await until(lambda: len(following.world.followed) > 1)
    assert following.world.followed == ["teei_small_side_1", "teei_small_side_2"]
    assert following.world.dropped == ["teei_small_side_1"]


def _at_once(text: str) -> Any:
    """A failure that is tried again without a pause."""
    return fails(ApplicationError(text, next_retry_delay=timedelta(milliseconds=1)))


async def test_a_copy_that_cannot_follow_for_long_is_told_once_and_goes_on(
    following: Harness,
) -> None:
    full = "PostgreSQL (database side) failed: SQLSTATE 53100: no space left on device."
    stuck = asyncio.Event()

    async def stand_still() -> Followed:
        await stuck.wait()
        return Followed(state=FallbackState.FOLLOWING)

    following.world.trouble["fallback.follow"] = [*[_at_once(full)] * 25, stand_still]
    await following.start()
    await following.reaches_approval()
    await until(lambda: following.world.calls["fallback.follow"] == 26)
    told = [one for one in following.world.notices if "copy of the database" in one.title]
    assert [one.title for one in told] == ["The copy of the database cannot follow at the moment"]
    assert told[0].text.startswith(full)
    report = await _kept(following).query("status")
    assert (report["state"], "53100" in report["because"]) == ("following", True)
    seen = await stand_of(await find(following.client, following.environment))
    (trouble,) = [one for one in seen.status.trouble if one.what.startswith("fallback.follow")]
    assert "fails and is tried again: attempt 2 of 12" in trouble.what
    assert trouble.because == full
    assert "pg_replication_slots" in trouble.next
    stuck.set()
    await until(lambda: following.world.calls["fallback.follow"] == 27)
    titles = [one.title for one in following.world.notices]
    assert "The copy of the database follows again" in titles
    assert (await _kept(following).query("status"))["because"] == ""
    await following.approve()
    assert (await following.result()).outcome is Outcome.DEPLOYED


async def test_what_no_attempt_can_help_is_lost_at_once(following: Harness) -> None:
    final = ApplicationError("The role was dropped.", non_retryable=True)
    following.world.trouble["fallback.follow"] = [fails(final)]
    await following.carry_out()
    assert (await _kept(following).result())["state"] == "lost"
