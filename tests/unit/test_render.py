"""What a terminal shows of a deployment, made from the status document alone."""

from datetime import datetime

from slipway.run import Wait
from slipway.states import Choice, Outcome, Phase, ServiceState, TroubleKind
from slipway.status import StatusDocument, status_of
from slipway.trouble import Trouble
from starter.live import Lines
from starter.render import clean, countdown, frame, full, wait_lines
from starter.stand import Stand, waits_for_person
from tests.unit.examples import ID, after, approved_run, fresh_run, rolled_back_run

NOW: datetime = after(180)
PARKED = Wait(
    kind="operator",
    who=["Olga"],
    what="a decision about smoke",
    until=after(300),
    default="rollback",
    command=f"slipway resolve {ID} retry --step smoke --reason WHY",
    choices=[Choice.RETRY, Choice.ROLL_BACK],
)


def _running() -> StatusDocument:
    run = approved_run(phase=Phase.ROLL_OUT, step="monitor:api", reason="Watching all services")
    run.until, run.waiting_for = after(240), [PARKED]
    run.service("api-gateway").state = ServiceState.WATCHING
    run.service("api-gateway").verdict = "2 of 2 pods ready"
    return status_of(run)


def test_the_live_view_has_countdown_services_waits_and_timeline() -> None:
    text = "\n".join(frame(_running(), NOW))
    assert "monitor:api: Watching all services (1m left)" in text
    assert "… api-gateway          watching      2 of 2 pods ready" in text
    assert "Waits for a decision about smoke of Olga, 2m left, then rollback" in text
    assert "choices: retry, rollback" in text
    assert f"answer:  slipway resolve {ID} retry --step smoke --reason WHY" in text
    assert "20:02:00Z approval   Approved by vera (vp)." in text


def test_a_wait_that_is_over_does_not_count_below_zero() -> None:
    assert countdown(after(0), NOW) == "any moment now"
    assert countdown(after(181), NOW) == "1s left"


def test_a_wait_without_deadline_or_command_is_one_line() -> None:
    assert wait_lines(Wait(kind="timer", what="rest"), NOW) == ["Waits for rest"]


def test_status_shows_backup_migrations_lost_rows_undo_and_checklist() -> None:
    text = "\n".join(full(status_of(rolled_back_run()), NOW))
    assert "51.2 MB, 1200 rows" in text
    assert "0002_report_language (rolled_back)" in text
    assert "Lost writes: 3 rows" in text
    assert "done     rollout:analytics 2 of 2" in text
    assert "[x] Backup completed  by slipway" in text
    assert "[ ] Smoke tests passed" in text


def test_a_countdown_is_not_shown_of_a_run_that_has_ended() -> None:
    run = approved_run(outcome=Outcome.DEPLOYED, phase=Phase.ENDED, until=after(999))
    assert " left" not in "\n".join(frame(status_of(run), NOW))


def test_a_terminal_cannot_be_steered_by_texts_of_others() -> None:
    assert clean("a\x1b[2Jb\rc\nd\x07") == "a [2Jb c d "
    assert len(clean("x" * 5000)) == 300


def test_people_are_waited_for_but_calendars_are_not() -> None:
    assert waits_for_person(_running())
    calendar = fresh_run(waiting_for=[Wait(kind="window", what="the window")])
    assert not waits_for_person(status_of(calendar))


def test_appended_lines_are_written_once() -> None:
    written: list[str] = []
    view = Lines(written.append)
    view.show(Stand(_running(), "query"))
    first = len(written)
    view.show(Stand(_running(), "query"))
    assert len(written) == first
    assert sum("Waits for a decision about smoke" in line for line in written) == 1


def test_appended_lines_follow_new_events_and_waits() -> None:
    written: list[str] = []
    view = Lines(written.append)
    status = _running()
    view.show(Stand(status.model_copy(update={"timeline": [], "waiting_for": []}), "query"))
    assert not any("Approved by vera" in line for line in written)
    view.show(Stand(status, "memo", "No worker answers."))
    assert "No worker answers." in written
    assert any("Approved by vera" in line for line in written)
    assert any("answer:" in line for line in written)


def test_trouble_is_shown_with_the_command_that_helps() -> None:
    ended = Trouble(
        kind=TroubleKind.TERMINATED,
        what="The run was terminated in Temporal.",
        because="the wrong button",
        next="Take it back.",
        command="slipway rollback X --reason WHY",
    )
    status = status_of(approved_run(phase=Phase.ROLL_OUT)).model_copy(update={"trouble": [ended]})
    lines = full(status, NOW)
    assert "[terminated]" in lines[0]
    assert "Trouble: The run was terminated in Temporal. the wrong button" in lines
    assert "  next:    slipway rollback X --reason WHY" in lines


def test_trouble_that_lasts_is_written_once_although_its_numbers_change() -> None:
    written: list[str] = []
    view = Lines(written.append)
    for attempt in (2, 3):
        trouble = Trouble(kind=TroubleKind.RETRYING, what=f"Attempt {attempt}.", next="Repair it.")
        status = status_of(fresh_run()).model_copy(update={"trouble": [trouble]})
        view.show(Stand(status, "query"))
    assert sum("Trouble: " in line for line in written) == 1
