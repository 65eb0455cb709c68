"""When it breaks: every trigger, parked steps, interruptions, and rollback from the record."""

import asyncio
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from temporalio import activity

from slipway.errors import ForeignChange, MigrationFailed, Unreachable
from slipway.messages.requests import DeploymentResult
from slipway.plan import RollbackPolicy
from slipway.states import (
    AbortState,
    Choice,
    ItemState,
    MigrationState,
    Outcome,
    ServiceState,
    UndoState,
)
from slipway.status import StatusDocument
from slipway.verdicts import Kind, Reason
from tests.fakes.world import fails, says
from tests.workflow.harness import Harness
from tests.workflow.holds import images, nothing
from tests.workflow.waiting import PATIENCE


def document(result: DeploymentResult) -> StatusDocument:
    """Return the last status document."""
    return StatusDocument.model_validate(result.status)


TRIGGERS: list[tuple[str, Reason]] = [
    ("rollout.wait:analytics", Reason.ROLLOUT_DOOMED),
    ("check.service:analytics", Reason.UNHEALTHY),
    ("monitor:analytics", Reason.ERROR_RATE_TOO_HIGH),
    ("monitor:analytics", Reason.POD_RESTARTING),
    ("monitor:analytics", Reason.ERRORS_IN_LOGS),
    ("check.flows", Reason.SMOKE_FLOW_BROKEN),
    ("monitor:all", Reason.ERROR_RATE_TOO_HIGH),
]


@pytest.mark.parametrize(("where", "reason"), TRIGGERS)
async def test_every_trigger_puts_services_and_data_back(
    harness: Harness, where: str, reason: Reason
) -> None:
    harness.world.trouble[where] = [says(Kind.ROLLBACK, reason, "analytics")]
    result = await harness.carry_out()

    assert (result.outcome, result.reason) == (Outcome.ROLLED_BACK, reason)
    assert images(harness) == ["old", "old"]
    assert harness.world.schema == "old"
    status = document(result)
    assert [one.state for one in status.services] == [ServiceState.REVERTED] * 2
    assert [one.state for one in status.migrations] == [MigrationState.ROLLED_BACK]
    assert status.lost_writes == {"public.ingestion_events": 3}
    assert any(key.endswith("incident.json") for key in harness.world.artefacts)
    assert any(key.endswith("post-mortem.md") for key in harness.world.artefacts)


async def test_services_go_back_newest_first_and_only_those_touched(harness: Harness) -> None:
    harness.world.trouble["monitor:api-gateway"] = [
        says(Kind.ROLLBACK, Reason.UNHEALTHY, "api-gateway")
    ]
    await harness.carry_out()

    assert [one for one in harness.world.effects if one.startswith("revert")] == [
        "revert api-gateway"
    ]
    assert harness.world.deployments["analytics"].writes == []


@pytest.mark.parametrize(("order", "waits"), [("newest-first", True), ("parallel", False)])
async def test_one_service_waits_for_the_write_of_the_other_unless_they_are_independent(
    harness: Harness, order: str, waits: bool
) -> None:
    harness.world.trouble["check.flows"] = [says(Kind.ROLLBACK, Reason.SMOKE_FLOW_BROKEN)]
    rollback = RollbackPolicy.model_validate({"order": order})
    harness.plan = harness.plan.model_copy(update={"rollback": rollback})
    result = await harness.carry_out()

    assert result.outcome is Outcome.ROLLED_BACK
    assert images(harness) == ["old", "old"]
    history = await harness.handle.fetch_history()
    timers = [one.user_metadata.summary.data for one in history.events]
    assert any(b"is written" in one for one in timers) is waits


async def test_a_failed_migration_touches_no_service(harness: Harness) -> None:
    harness.world.trouble["migrations.apply"] = [
        fails(MigrationFailed("23514 check constraint violated", "Fix it in staging."))
    ]
    result = await harness.carry_out()

    assert (result.outcome, result.reason) == (Outcome.ROLLED_BACK, Reason.MIGRATION_FAILED)
    assert not [one for one in harness.world.effects if one.startswith("apply")]
    assert document(result).lost_writes is None


async def test_an_alarm_after_the_migration_implicates_it(harness: Harness) -> None:
    harness.world.trouble["watch:migration"] = [
        says(Kind.ROLLBACK, Reason.ERROR_RATE_TOO_HIGH, "analytics")
    ]
    result = await harness.carry_out()

    assert result.outcome is Outcome.ROLLED_BACK
    assert harness.world.schema == "old"


@pytest.mark.parametrize(
    ("choice", "outcome"),
    [
        (Choice.RETRY, Outcome.DEPLOYED),
        (Choice.SKIP, Outcome.DEPLOYED),
        (Choice.ROLL_BACK, Outcome.ROLLED_BACK),
    ],
)
async def test_a_hold_is_decided_by_a_person(
    harness: Harness, choice: Choice, outcome: Outcome
) -> None:
    holds = says(Kind.HOLD, Reason.ERROR_RATE_RAISED, "analytics")
    harness.world.trouble["monitor:analytics"] = [holds]
    harness.somebody_answers()
    await harness.start()
    await harness.approve()
    task = asyncio.create_task(harness.result())
    await harness.resolve(choice)
    result = await task

    assert result.outcome is outcome


async def test_nobody_decides_about_a_hold_rolls_back(harness: Harness) -> None:
    harness.world.always["monitor:analytics"] = says(
        Kind.HOLD, Reason.LATENCY_TOO_HIGH, "analytics"
    )
    result = await harness.carry_out()

    assert (result.outcome, result.reason) == (Outcome.ROLLED_BACK, Reason.LATENCY_TOO_HIGH)


async def test_nothing_to_read_cannot_be_skipped(harness: Harness) -> None:
    harness.world.always["monitor:analytics"] = says(
        Kind.INCONCLUSIVE, Reason.NOTHING_TO_READ, "analytics"
    )
    result = await harness.carry_out()

    assert result.outcome is Outcome.ROLLED_BACK


async def test_a_foreign_change_parks(harness: Harness) -> None:
    harness.world.trouble["rollout.apply:analytics"] = [
        fails(ForeignChange("analytics was changed.", "Look at it."))
    ]
    result = await harness.carry_out()

    assert (result.outcome, result.reason) == (Outcome.ROLLED_BACK, Reason.FOREIGN_CHANGE)
    assert images(harness) == ["old", "old"]


def blocks(release: asyncio.Event, reached: asyncio.Event) -> Callable[[], Any]:
    """Return a trouble that keeps an activity in flight, beating, until it is released."""

    async def hold() -> None:
        reached.set()
        while not release.is_set():
            activity.heartbeat("held by the test")
            await asyncio.sleep(0.05)

    return hold


async def stopped_at(harness: Harness, reached: asyncio.Event, how: str) -> DeploymentResult:
    """Deploy until an activity is reached, stop the run by a signal or a cancellation, and return
    how it ended."""
    await harness.start()
    await harness.approve()
    task = asyncio.create_task(harness.result())
    await asyncio.wait_for(reached.wait(), PATIENCE)
    if how == "cancel":
        await harness.handle.cancel()
    else:
        await harness.signal(how)
    return await task


@pytest.mark.parametrize("signal", ["abort", "rollback", "cancel"])
@pytest.mark.parametrize("where", ["rollout.apply:api-gateway", "rollout.wait:api-gateway"])
async def test_stopping_a_step_in_flight(harness: Harness, signal: str, where: str) -> None:
    reached, release = asyncio.Event(), asyncio.Event()
    harness.world.trouble[where] = [blocks(release, reached)]
    result = await stopped_at(harness, reached, signal)

    assert result.outcome is Outcome.ROLLED_BACK
    assert images(harness) == ["old", "old"]
    assert harness.world.deployments["analytics"].writes == []


@pytest.mark.parametrize("signal", ["abort", "rollback", "cancel"])
async def test_a_request_that_arrives_while_an_activity_completes_is_not_lost(
    harness: Harness, signal: str
) -> None:
    """The activity ignores its cancellation and completes normally: the next step must not run."""
    reached, release = asyncio.Event(), asyncio.Event()

    async def deaf() -> None:
        reached.set()
        while not release.is_set():
            activity.heartbeat("deaf")
            try:
                await asyncio.sleep(0.05)
            except asyncio.CancelledError:
                return  # completes as if nothing had been asked

    harness.world.trouble["rollout.apply:api-gateway"] = [deaf]
    result = await stopped_at(harness, reached, signal)

    assert result.outcome is Outcome.ROLLED_BACK
    assert harness.world.deployments["analytics"].writes == []
    assert images(harness) == ["old", "old"]


async def test_abort_before_any_change_stops(harness: Harness) -> None:
    await harness.start()
    await harness.reaches_approval()
    await harness.signal("abort", "wrong day")
    result = await harness.result()

    assert (result.outcome, result.reason) == (Outcome.STOPPED, Reason.ABORTED)
    assert document(result).abort is AbortState.ACKNOWLEDGED
    assert "wrong day" in result.because


async def test_an_aborted_run_can_be_resumed(harness: Harness) -> None:
    reached, release = asyncio.Event(), asyncio.Event()
    harness.world.trouble["rollout.apply:api-gateway"] = [blocks(release, reached)]
    await harness.start()
    await harness.approve()
    task = asyncio.create_task(harness.result())
    await asyncio.wait_for(reached.wait(), PATIENCE)
    await harness.hold_clock()
    await harness.signal("abort")
    status = await harness.reaches(lambda one: one.abort is AbortState.ACKNOWLEDGED)
    assert harness.world.deployments["api-gateway"].fence == 4 * harness.world.epoch + 1
    assert status.outcome is Outcome.RUNNING
    await harness.signal("resume")
    await harness.reaches(lambda one: one.abort is AbortState.NONE)
    await asyncio.gather(task, harness.result())
    result = await harness.handle.result()

    assert result.outcome is Outcome.DEPLOYED
    assert images(harness) == ["new", "new"]


async def test_pause_holds_the_next_step_and_resume_goes_on(harness: Harness) -> None:
    await harness.start()
    await harness.reaches_approval()
    await harness.signal("pause")
    await harness.approve()
    status = await harness.reaches(lambda one: one.current.step == "pause")
    assert status.waiting_for[0].kind == "resume"
    assert harness.world.calls["migrations.apply"] == 0
    await harness.signal("resume")
    result = await harness.result()

    assert result.outcome is Outcome.DEPLOYED


async def test_a_rollback_that_cannot_finish_says_so(harness: Harness) -> None:
    harness.world.trouble["monitor:analytics"] = [
        says(Kind.ROLLBACK, Reason.UNHEALTHY, "analytics")
    ]
    foreign = fails(ForeignChange("api-gateway was changed.", "Look at it."))
    harness.world.trouble["rollout.apply:api-gateway"] = [lambda: None, foreign]
    result = await harness.carry_out()

    assert result.outcome is Outcome.ROLLBACK_INCOMPLETE
    states = {one.name: one.state for one in document(result).services}
    assert states["api-gateway"] is ServiceState.REVERT_FAILED
    assert states["analytics"] is ServiceState.REVERTED
    assert harness.world.holder == harness.deployment


async def test_a_dead_store_does_not_hold_up_a_rollback(harness: Harness) -> None:
    def die() -> Any:
        harness.world.always["record.append"] = fails(Unreachable("S3 is away.", "Start it."))
        return says(Kind.ROLLBACK, Reason.UNHEALTHY, "analytics")()

    harness.world.trouble["monitor:analytics"] = [die]
    result = await harness.carry_out()

    assert result.outcome is Outcome.ROLLED_BACK
    assert images(harness) == ["old", "old"]


async def test_a_store_that_is_away_for_a_while_takes_nothing_back(harness: Harness) -> None:
    """The record of a finished rollout cannot be written: a person is asked, and retries."""

    def die() -> None:
        harness.world.always["record.append"] = fails(Unreachable("S3 is away.", "Start it."))

    harness.world.trouble["monitor:analytics"] = [die]
    harness.somebody_answers()
    await harness.start()
    await harness.approve()
    ending = asyncio.create_task(harness.result())
    status = await harness.reaches(lambda one: one.current.step == "record:rollout:analytics")
    assert status.waiting_for[0].kind == "operator"
    del harness.world.always["record.append"]
    await harness.resolve(Choice.RETRY)
    result = await ending

    assert result.outcome is Outcome.DEPLOYED


async def test_a_dead_notifier_holds_up_nothing(harness: Harness) -> None:
    harness.world.always["notice.send"] = fails(Unreachable("webhook is away.", "Start it."))
    result = await harness.carry_out()

    assert result.outcome is Outcome.DEPLOYED
    open_lines = [one.item for one in document(result).checklist if one.state is ItemState.OPEN]
    assert open_lines == ["team"]


async def test_rollback_from_the_record_after_the_end(harness: Harness) -> None:
    await harness.carry_out()
    assert images(harness) == ["new", "new"]
    await harness.start_rollback()
    result = await harness.result()

    assert (result.outcome, result.reason) == (Outcome.ROLLED_BACK, Reason.ROLLBACK_REQUESTED)
    assert images(harness) == ["old", "old"]
    assert harness.world.schema == "old"


def _ended_ago(harness: Harness, seconds: float) -> None:
    """Let the record say that the deployment ended so long ago."""
    entries = harness.world.entries[harness.deployment]
    (at,) = [number for number, one in enumerate(entries) if one.kind == "end"]
    ended = (datetime.now(UTC) - timedelta(seconds=seconds)).isoformat()
    data = {**entries[at].data, "ended_at": ended}
    entries[at] = entries[at].model_copy(update={"data": data})


async def test_to_the_end_of_the_undo_window_services_and_data_go_back(harness: Harness) -> None:
    await harness.carry_out()
    _ended_ago(harness, harness.plan.scale(harness.plan.rollback.undo_window) - 900)
    await harness.start_rollback()
    result = await harness.result()
    assert result.outcome is Outcome.ROLLED_BACK
    assert (images(harness), harness.world.schema) == (["old", "old"], "old")


async def test_after_it_services_go_back_and_the_answer_says_why_data_does_not(
    harness: Harness,
) -> None:
    await harness.carry_out()
    _ended_ago(harness, harness.plan.scale(harness.plan.rollback.undo_window) + 60)
    await harness.start_rollback()
    result = await harness.result()
    assert result.outcome is Outcome.ROLLED_BACK
    assert (images(harness), harness.world.schema) == (["old", "old"], "new")
    assert harness.world.calls["database.roll_back"] == 0
    (data,) = [one for one in document(result).undo if one.of_database]
    assert data.state is UndoState.LEFT
    assert data.because.startswith("left as it is: the undo window ended at 20")
    assert f"backups restore-to DATABASE --from {harness.deployment}" in data.because


async def test_rollback_from_the_record_after_terminate(harness: Harness) -> None:
    reached, release = asyncio.Event(), asyncio.Event()
    harness.world.trouble["rollout.wait:analytics"] = [blocks(release, reached)]
    await harness.start()
    await harness.approve()
    task = asyncio.create_task(harness.result())
    await asyncio.wait_for(reached.wait(), PATIENCE)
    await harness.handle.terminate("an SRE's hand slipped")
    await asyncio.gather(task, return_exceptions=True)
    release.set()
    await harness.start_rollback()
    result = await harness.result()

    assert result.outcome is Outcome.ROLLED_BACK
    assert images(harness) == ["old", "old"]


async def test_code_that_needs_its_own_schema_is_waited_for_again_after_the_data(
    harness: Harness,
) -> None:
    refuses = says(Kind.ROLLBACK, Reason.ROLLOUT_DOOMED, "api-gateway", "It wants the old schema.")
    harness.world.trouble["monitor:analytics"] = [
        says(Kind.ROLLBACK, Reason.UNHEALTHY, "analytics")
    ]
    harness.world.trouble["rollout.wait:api-gateway"] = [nothing, refuses]
    result = await harness.carry_out()

    assert result.outcome is Outcome.ROLLED_BACK
    assert (images(harness), harness.world.schema) == (["old", "old"], "old")
    told = [one.text for one in (await harness.status()).timeline]
    first = next(n for n, one in enumerate(told) if "not up while the data is new" in one)
    assert any("Put back rollout:api-gateway" in one for one in told[first:])


async def test_code_that_does_not_come_up_on_its_data_either_is_not_back(harness: Harness) -> None:
    refuses = says(Kind.ROLLBACK, Reason.ROLLOUT_DOOMED, "api-gateway", "It never starts.")
    harness.world.trouble["monitor:analytics"] = [
        says(Kind.ROLLBACK, Reason.UNHEALTHY, "analytics")
    ]
    harness.world.trouble["rollout.wait:api-gateway"] = [nothing, refuses, refuses]
    result = await harness.carry_out()

    assert result.outcome is Outcome.ROLLBACK_INCOMPLETE
    assert harness.world.schema == "old"
    assert "It never starts." in " ".join(one.text for one in (await harness.status()).timeline)
