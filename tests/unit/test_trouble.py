"""What is made of the server's view of a run: culprit, numbers, command, the gravest first."""

from datetime import timedelta

import pytest

from slipway.base import utc_text
from slipway.explain import MOST_LINES, explain
from slipway.server_view import (
    Change,
    Ending,
    FailingTask,
    PendingActivity,
    Queue,
    ServerView,
)
from slipway.states import ENDINGS, Outcome, Phase, TroubleKind, UndoState
from slipway.status import StatusDocument, status_of
from slipway.trouble import Trouble, troubles
from tests.unit.examples import ID, START, approved_run, fresh_run, rolled_back_run

NOW = START + timedelta(minutes=5)
SERVED = [
    Queue(name="slipway", privileged=False, alive=True, seen=NOW),
    Queue(name="slipway-privileged", privileged=True, alive=True, seen=NOW),
]
APPLY = PendingActivity(
    id="31",
    type="rollout.apply",
    title="apply analytics",
    queue="slipway-privileged",
    attempt=3,
    most=6,
    due=NOW + timedelta(seconds=4),
    failure="The API server does not answer.",
)
VIEW = ServerView(workflow_id="deploy-demo", run_id="r", deployment=ID, queues=SERVED)


def wrong(answered: bool = True, began: bool = True, **view: object) -> list[Trouble]:
    """Return the troubles of a view that differs in these fields."""
    return troubles(VIEW.model_copy(update=view), NOW, answered=answered, began=began)


def test_a_run_that_is_served_and_answers_has_no_trouble() -> None:
    running = PendingActivity(id="1", type="backup.take", queue="slipway-privileged", started=True)
    assert wrong(activities=[running]) == []


def test_a_retry_names_activity_attempt_next_attempt_and_last_failure() -> None:
    (found,) = wrong(activities=[APPLY])
    assert found.kind is TroubleKind.RETRYING
    assert found.what == (
        "“apply analytics” (rollout.apply) fails and is tried again: attempt 3 of 6 begins in 4s."
    )
    assert found.because == "The API server does not answer."
    assert "After the last attempt a person is asked." in found.next


def test_an_undo_is_tried_until_its_deadline() -> None:
    until = NOW + timedelta(minutes=20)
    undo = APPLY.model_copy(update={"most": 0, "expires": until, "due": None, "failure": ""})
    (found,) = wrong(activities=[undo])
    assert f"attempt 3 runs now, until {utc_text(until)}" in found.what
    assert "its worker died" in found.because
    assert "a person is asked" not in found.next


def test_a_notice_that_is_tried_again_comes_last_and_holds_nothing_up() -> None:
    notice = APPLY.model_copy(update={"type": "notice.send", "title": "notice: Parked"})
    first, second = wrong(activities=[notice, APPLY])
    assert "rollout.apply" in first.what
    assert second.next.endswith("the run does not wait for it.")


def test_a_paused_activity_names_who_why_since_when_and_how_it_goes_on() -> None:
    paused = APPLY.model_copy(
        update={
            "paused": True,
            "paused_by": "olga",
            "paused_why": "looking at a graph",
            "paused_at": NOW - timedelta(minutes=2),
            "expires": NOW + timedelta(minutes=20),
        }
    )
    (found,) = wrong(activities=[paused])
    assert "paused in Temporal by olga 2m ago" in found.what
    assert f"Its deadline is {utc_text(NOW + timedelta(minutes=20))}, paused or not." in found.what
    assert found.because == ("looking at a graph. It had failed: The API server does not answer.")
    assert found.command == ("temporal activity unpause --workflow-id deploy-demo --activity-id 31")


def test_changed_options_are_named_with_the_command_that_sets_them_back() -> None:
    changes = [
        Change(name="start-to-close-timeout", was="45s", now="7s"),
        Change(name="retry-maximum-attempts", was="6", now="1"),
    ]
    found = wrong(activities=[APPLY.model_copy(update={"attempt": 1, "changes": changes})])
    assert [one.kind for one in found] == [TroubleKind.OPTIONS_CHANGED]
    assert "start-to-close-timeout 45s → 7s, retry-maximum-attempts 6 → 1" in found[0].what
    assert found[0].command.endswith(
        "--activity-id 31 --start-to-close-timeout 45s --retry-maximum-attempts 6"
    )


def test_failing_code_shows_its_attempt_and_message_and_hides_no_silent_worker() -> None:
    task = FailingTask(attempt=7, message="KeyError: 'x'", at=START)
    (found,) = wrong(answered=False, task=task)
    assert found.kind is TroubleKind.TASK_FAILING
    assert "own code fails: attempt 7, since 2026-11-23T20:00:00Z" in found.what
    assert found.because == "KeyError: 'x'"
    assert found.command == "python -m worker --role workflow"


def test_a_pinned_run_is_moved_to_the_build_with_the_correction() -> None:
    (found,) = wrong(answered=False, task=FailingTask(attempt=2), pinned="1.4.0")
    assert "bound to build 1.4.0" in found.next
    assert found.command == f"python -m worker move {ID} --build-id BUILD"


def test_code_that_does_not_fit_is_told_apart_from_a_bug() -> None:
    (found,) = wrong(answered=False, task=FailingTask(attempt=2, misfit=True))
    assert "does not fit this run" in found.what
    assert "code it was started with" in found.next


def test_nobody_on_a_queue_names_the_queue_and_the_command() -> None:
    seen = NOW - timedelta(minutes=4)
    gone = [one.model_copy(update={"alive": False, "seen": seen}) for one in SERVED]
    first, second = wrong(answered=False, queues=gone)
    assert first.what.startswith("No worker listens on task queue slipway.")
    assert first.because == "The last one was seen 4m ago."
    assert first.command == "python -m worker --role workflow"
    assert second.command == "python -m worker --role privileged"


def test_a_queue_of_another_name_is_set_in_the_command() -> None:
    queues = [
        Queue(name="team-a", privileged=False, alive=False),
        Queue(name="team-a-privileged", privileged=True, alive=False),
    ]
    commands = [one.command for one in wrong(answered=False, queues=queues)]
    assert commands == [
        "SLIPWAY_TASK_QUEUE=team-a python -m worker --role workflow",
        "SLIPWAY_TASK_QUEUE=team-a python -m worker --role privileged",
    ]


def test_a_pinned_run_needs_a_worker_of_its_build() -> None:
    queues = [SERVED[0].model_copy(update={"alive": False}), SERVED[1]]
    (found,) = wrong(answered=False, queues=queues, pinned="1.4.0")
    assert found.what.startswith("No worker of build 1.4.0 listens on task queue slipway.")
    assert found.command == "SLIPWAY_BUILD_ID=1.4.0 python -m worker --role workflow"


def test_a_worker_that_was_just_there_and_does_not_answer_is_not_called_absent() -> None:
    (found,) = wrong(answered=False)
    assert found.kind is TroubleKind.WORKER_SILENT
    assert "(seen 1s ago) does not answer" in found.what


@pytest.mark.parametrize(("seconds", "kinds"), [(3, []), (30, [TroubleKind.WORKER_SILENT])])
def test_an_activity_that_waits_long_for_a_worker_is_told(
    seconds: int, kinds: list[TroubleKind]
) -> None:
    waiting = APPLY.model_copy(update={"attempt": 1, "due": NOW - timedelta(seconds=seconds)})
    assert [one.kind for one in wrong(activities=[waiting])] == kinds


def test_an_answered_query_proves_a_worker_whatever_the_list_of_pollers_says() -> None:
    queues = [SERVED[0].model_copy(update={"alive": False}), SERVED[1]]
    assert wrong(answered=True, queues=queues) == []


@pytest.mark.parametrize("kind", sorted(ENDINGS))
def test_an_end_from_outside_names_who_why_and_the_way_back(kind: TroubleKind) -> None:
    ending = Ending(kind=kind, by="olga", because="the wrong button", at=START)
    (found,) = wrong(ending=ending)
    assert found.kind is kind
    assert "by olga at 2026-11-23T20:00:00Z; slipway put nothing back." in found.what
    assert found.because == "the wrong button"
    assert found.command == f"slipway rollback {ID} --reason WHY"


def test_a_run_that_ended_before_it_began_is_started_again() -> None:
    (found,) = wrong(began=False, ending=Ending(kind=TroubleKind.TERMINATED))
    assert found.command == "slipway start PLAN RELEASE"


def test_a_refused_rollback_names_what_must_go_first() -> None:
    newer = "demo-20261124T200000Z-aaaaaa"
    because = f"{newer} (deployed) came after {ID}. Take that back first: slipway rollback {newer}"
    ending = Ending(kind=TroubleKind.FAILED, because=because)
    (found,) = wrong(rollback=True, ending=ending)
    assert found.command == f"slipway rollback {newer} --reason WHY"
    assert found.next.endswith(f"slipway rollback {ID}")


def test_a_reset_is_told_and_what_follows_from_it() -> None:
    (found,) = wrong(reset_at=START)
    assert found.kind is TroubleKind.RESET
    assert "as run r" in found.what


def document(**changes: object) -> StatusDocument:
    """Return a running document with trouble."""
    return status_of(approved_run(phase=Phase.ROLL_OUT)).model_copy(update=changes)


def test_trouble_stands_above_what_the_run_says_of_itself() -> None:
    lines = explain(document(trouble=wrong(activities=[APPLY])))
    assert lines[1].startswith("Trouble: “apply analytics”")
    assert "It waits for nobody." not in lines
    assert lines[-1] == f"Follow: slipway watch {ID}"


def test_much_trouble_stays_within_the_limit_and_keeps_the_commands() -> None:
    many = [APPLY.model_copy(update={"id": str(number)}) for number in range(20)]
    lines = explain(document(trouble=wrong(activities=many)), "A note.")
    assert len(lines) <= MOST_LINES
    assert lines[1] == "A note."
    assert lines[-1] == f"Follow: slipway watch {ID}"


def test_a_terminated_run_says_what_stands_changed() -> None:
    ended = wrong(ending=Ending(kind=TroubleKind.TERMINATED))
    run = rolled_back_run(outcome=Outcome.RUNNING, phase=Phase.ROLL_BACK)
    run.undo[1].state = UndoState.RUNNING
    after = explain(status_of(run).model_copy(update={"trouble": ended}))
    assert f"{ID}: 2026.11.3 to demo, terminated, phase roll_back." in after
    assert "Production: still changed: rollout:analytics (1 of 2 put back)." in after
    before = status_of(fresh_run(phase=Phase.APPROVAL)).model_copy(update={"trouble": ended})
    assert "Production: nothing was changed. demo may still be taken by it." in explain(before)
    assert not any(line.startswith("Follow:") for line in explain(before))
