"""`why` names culprit, evidence and next command for every reason, in at most 24 lines."""

import pytest

from slipway.advice import ADVICE, afterwards
from slipway.explain import MOST_LINES, explain
from slipway.messages.controls import Reply
from slipway.run import Run, Wait
from slipway.states import AbortState, Choice, Outcome, Phase, UndoState
from slipway.status import status_of
from slipway.verdicts import Kind, Reason
from tests.unit.examples import ID, after, approved_run, fresh_run, rolled_back_run, verdict

APPROVAL = Wait(
    kind="approval",
    who=["vera (vp)"],
    what="approval of digest aaaaaaaaaaaa",
    until=after(3600),
    default="expired",
    command=f"slipway approve {ID} --role vp",
)
PARKED = Wait(
    kind="operator",
    who=["Olga"],
    what="a decision about monitor:analytics",
    until=after(1800),
    default="rollback",
    command=f"slipway resolve {ID} retry --step monitor:analytics --reason WHY",
    choices=[Choice.RETRY, Choice.SKIP, Choice.ROLL_BACK],
)


@pytest.mark.parametrize("reason", Reason)
def test_every_reason_has_advice_and_fits(reason: Reason) -> None:
    run = rolled_back_run(verdict=verdict(reason))
    lines = explain(status_of(run))
    assert len(lines) <= MOST_LINES
    assert any(f"{reason.value}: analytics failed 31 of 1,020" in line for line in lines)
    if reason is not Reason.OK:
        assert ADVICE[reason]
        assert f"Next: {afterwards(reason)}" in lines


def test_an_approval_that_is_waited_for_names_who_until_when_and_the_command() -> None:
    lines = explain(status_of(fresh_run(phase=Phase.APPROVAL, waiting_for=[APPROVAL])))
    assert "Waits for: approval of digest aaaaaaaaaaaa" in lines
    assert "     Who: vera (vp)" in lines
    assert "   Until: 2026-11-23T21:00:00Z, then: expired" in lines
    assert f"  Answer: slipway approve {ID} --role vp --person YOU" in lines


def test_a_parked_step_shows_choices_and_the_verdict() -> None:
    held = verdict(Reason.ERROR_RATE_RAISED, kind=Kind.HOLD)
    what = f"a decision about monitor:analytics: {held.because}"
    parked = PARKED.model_copy(update={"what": what})
    run = approved_run(phase=Phase.ROLL_OUT, waiting_for=[parked], verdict=held)
    lines = explain(status_of(run))
    assert " Choices: retry, skip, rollback" in lines
    assert "Culprit: analytics (traffic)" in lines
    assert "Evidence: failures 31, requests 1020" in lines


def test_a_parked_step_may_bring_its_own_verdict() -> None:
    own = verdict(Reason.FOREIGN_CHANGE)
    what = f"a decision about rollout:analytics: {own.because}"
    parked = PARKED.model_copy(update={"verdict": own, "what": what})
    lines = explain(status_of(approved_run(phase=Phase.ROLL_OUT, waiting_for=[parked])))
    assert any(line.startswith("Why: ForeignChange: ") for line in lines)
    assert f"Next: {ADVICE[Reason.FOREIGN_CHANGE]}" in lines


def test_a_verdict_that_was_settled_before_does_not_explain_another_parked_step() -> None:
    old = verdict(Reason.ERROR_RATE_RAISED, kind=Kind.HOLD)
    run = approved_run(phase=Phase.ROLL_OUT, waiting_for=[PARKED], verdict=old)
    lines = explain(status_of(run))
    assert not any("ErrorRateRaised" in line for line in lines)
    assert "Next: Repair what the sentence names, then retry the step." in lines


def test_a_parked_abort_is_resumed_or_taken_back() -> None:
    parked = PARKED.model_copy(update={"choices": [Choice.RESUME, Choice.ROLL_BACK]})
    lines = explain(status_of(approved_run(phase=Phase.ROLL_OUT, waiting_for=[parked])))
    assert f"Next: {ADVICE[Reason.ABORTED]}" in lines


def test_a_closed_window_offers_to_stop_not_to_answer() -> None:
    closed = Wait(kind="window", what="the window", command=f"slipway abort {ID} --reason WHY")
    lines = explain(status_of(fresh_run(phase=Phase.GO, waiting_for=[closed])))
    assert f"    Stop: slipway abort {ID} --reason WHY" in lines
    assert sum("slipway abort" in line for line in lines) == 1


def test_the_newest_request_is_shown_when_it_was_refused() -> None:
    refused = Reply(request="1", kind="abort", accepted=False, because="That is not interrupted.")
    run = approved_run(phase=Phase.ROLL_BACK, replies=[refused])
    assert "Refused: abort: That is not interrupted." in explain(status_of(run))


def test_a_running_rollback_shows_what_is_back_and_what_is_not() -> None:
    run = rolled_back_run(outcome=Outcome.RUNNING, phase=Phase.ROLL_BACK)
    run.undo[1].state, run.undo[1].because = UndoState.RUNNING, ""
    lines = explain(status_of(run))
    assert "Put back: 1 of 2 (migrate)" in lines
    assert "Not put back yet: rollout:analytics: under way" in lines


@pytest.mark.parametrize(
    ("run", "line"),
    [
        (fresh_run(), f"Stop: slipway abort {ID} --reason WHY"),
        (approved_run(phase=Phase.ROLL_OUT), f"Take back: slipway rollback {ID} --reason WHY"),
    ],
)
def test_a_run_can_be_stopped_before_a_change_and_taken_back_after(run: Run, line: str) -> None:
    assert line in explain(status_of(run))


def test_a_rollback_that_is_stuck_says_what_to_repair_before_what_it_follows_from() -> None:
    parked = PARKED.model_copy(update={"what": "a decision about rollback: the API says no"})
    run = rolled_back_run(outcome=Outcome.RUNNING, phase=Phase.ROLL_BACK, waiting_for=[parked])
    lines = explain(status_of(run))
    nexts = [line for line in lines if line.startswith("Next:")]
    assert nexts == ["Next: Repair what the sentence names, then retry the step."]
    assert any(line.startswith("Why: ErrorRateTooHigh: ") for line in lines)


def test_who_holds_the_environment_can_be_looked_at() -> None:
    held = verdict(Reason.ENVIRONMENT_HELD, service=None).model_copy(
        update={"because": "demo is held by demo-20261122T200000Z-ffffff. Wait for it."}
    )
    run = fresh_run(outcome=Outcome.STOPPED, phase=Phase.ENDED, verdict=held)
    assert "Look: slipway why demo-20261122T200000Z-ffffff" in explain(status_of(run))


def test_many_waits_stay_within_the_limit() -> None:
    run = fresh_run(phase=Phase.APPROVAL, waiting_for=[PARKED] * 9, verdict=verdict())
    lines = explain(status_of(run))
    assert len(lines) <= MOST_LINES
    assert any(line.startswith("… and ") for line in lines)
    assert lines[-1] == f"Follow: slipway watch {ID}"


def test_a_run_that_waits_for_nobody_says_what_it_does() -> None:
    run = approved_run(phase=Phase.ROLL_OUT, step="wait:api", reason="Waiting.", until=after(60))
    lines = explain(status_of(run))
    assert "It waits for nobody." in lines
    assert "Now: wait:api, until 2026-11-23T20:01:00Z." in lines


def test_an_old_verdict_is_not_shown_as_the_reason_of_a_healthy_run() -> None:
    run = approved_run(phase=Phase.ROLL_OUT, verdict=verdict())
    assert not any(line.startswith("Why:") for line in explain(status_of(run)))


def test_an_abort_is_told_apart_from_its_acknowledgement() -> None:
    asked = explain(status_of(approved_run(abort=AbortState.REQUESTED)))
    settled = explain(status_of(approved_run(abort=AbortState.ACKNOWLEDGED)))
    assert any("no new step begins" in line for line in asked)
    assert any("nothing moves" in line for line in settled)


def test_a_rollback_shows_what_was_put_back_and_lost() -> None:
    lines = explain(status_of(rolled_back_run()))
    assert "Put back: 2 of 2 (migrate, rollout:analytics)" in lines
    assert "Lost writes: 3 rows (public.ingestion_events 3)" in lines
    assert "   Tried: registry.example/analytics@sha256:" + "b" * 12 in lines


def test_what_could_not_be_put_back_is_named_with_the_command() -> None:
    run = rolled_back_run(outcome=Outcome.ROLLBACK_INCOMPLETE)
    run.undo[1].state, run.undo[1].because = UndoState.FAILED, "Fenced by demo-2."
    lines = explain(status_of(run))
    assert "NOT put back: rollout:analytics: Fenced by demo-2." in lines
    assert f"Try again: slipway rollback {ID} --reason WHY" in lines


@pytest.mark.parametrize("outcome", [Outcome.STOPPED, Outcome.REJECTED, Outcome.EXPIRED])
def test_an_end_before_any_change_says_so(outcome: Outcome) -> None:
    run = fresh_run(outcome=outcome, phase=Phase.ENDED, verdict=verdict(Reason.GATE_FAILED, None))
    assert "Nothing in production was changed." in explain(status_of(run))


def test_a_failed_migration_names_it() -> None:
    run = approved_run(
        outcome=Outcome.ROLLED_BACK, verdict=verdict(Reason.MIGRATION_FAILED, service=None)
    )
    assert "Culprit: migration 0002_report_language" in explain(status_of(run))


def test_a_deployed_release_says_how_to_take_it_back() -> None:
    run = approved_run(outcome=Outcome.DEPLOYED, phase=Phase.ENDED, aftercare="aftercare-x")
    run.service("api-gateway").notes = ["too little traffic, accepted by the plan"]
    lines = explain(status_of(run))
    assert "Accepted: api-gateway: too little traffic, accepted by the plan" in lines
    assert f"Take back: slipway rollback {ID} --reason WHY" in lines


def test_an_end_without_verdict_still_says_why() -> None:
    run = fresh_run(outcome=Outcome.STOPPED, phase=Phase.ENDED, reason="Somebody stopped it.")
    assert "Why: StepOutOfAttempts: Somebody stopped it." in explain(status_of(run))


def test_long_and_hostile_texts_become_one_short_line() -> None:
    evil = verdict().model_copy(update={"because": "a\x1b[31m\nb" * 900})
    lines = explain(status_of(rolled_back_run(verdict=evil)))
    assert all(len(line) <= 400 and "\x1b" not in line and "\n" not in line for line in lines)
