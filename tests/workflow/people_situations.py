"""Situations that people bring about, or are waited for in."""

from datetime import UTC, datetime, timedelta

from slipway.errors import (
    SlipwayError,
)
from slipway.states import Choice, Outcome, Phase
from slipway.verdicts import Kind, Reason
from tests.fakes.world import fails
from tests.workflow.case import Case
from tests.workflow.hall import Done
from tests.workflow.holds import Hold, nothing
from tests.workflow.situations import (
    SERVICE,
    WINDOW,
    Situation,
    Stubborn,
    approved_and_parked,
    approved_to_the_end,
    at_approval,
    begins_again,
    goes_on,
    has_ended,
    is_put_back,
    judged,
    meeting,
    parked,
    stops,
)


async def _confirmed_only_by_approvers(case: Case) -> None:
    await case.begin()
    status = await case.reaches_approval()
    done = await case.slipway(
        *("approve", case.deployment, "--role", "cto", "--person", "cto@teei.example"),
        *("--digest", status.digest, "--yes"),
    )
    assert done.code == 0, done.err
    await case.reaches(lambda one: all(wait.kind == "acknowledge" for wait in one.waiting_for))


async def _rejected(case: Case) -> None:
    await case.begin()
    await case.reaches_approval()
    person = ("--role", "cto", "--person", "cto@teei.example")
    done = await case.slipway("reject", case.deployment, *person, "--reason", "not on a Friday")
    assert done.code == 0, done.err
    await case.ended()


async def _paused(case: Case) -> None:
    await _asked_to_pause(case)
    await case.reaches(lambda one: bool(one.paused_by))


async def _asked_to_pause(case: Case) -> None:
    await case.begin()
    await case.reaches_approval()
    await _asks_for(case, "pause", "looking at a graph")


async def _paused_until_the_deadline(case: Case) -> None:
    await _asked_to_pause(case)  # it is paused for a second: too short to be seen for certain
    await case.ended()


async def _asks_for(case: Case, kind: str, reason: str) -> Done:
    done = await case.slipway(
        *(kind, case.deployment, "--person", "sre@teei.example", "--reason", reason)
    )
    assert done.code == 0, done.out + done.err
    return done


async def _abort_requested(case: Case) -> None:
    hold = Stubborn()
    case.world.trouble[f"rollout.wait:{SERVICE}"] = [hold]
    await case.begin()
    await case.approve()
    await hold.met()
    await case.signal("abort", "a bad feeling")
    await case.reaches(lambda one: one.abort.value == "requested")
    case.let_go = hold.released


async def _abort_acknowledged(case: Case) -> None:
    hold = Hold()
    case.world.trouble[f"rollout.wait:{SERVICE}"] = [hold]
    await case.begin()
    await case.approve()
    await hold.met()
    await case.signal("abort", "a bad feeling")
    await case.reaches(parked)


async def _aborted_before(case: Case) -> None:
    await case.begin()
    await case.reaches_approval()
    await _asks_for(case, "abort", "wrong release")
    await case.ended()


async def _in_a_held_rollback(case: Case) -> Hold:
    hold = Hold()
    case.world.trouble[f"rollout.wait:{SERVICE}"] = [
        judged(Kind.ROLLBACK, Reason.ROLLOUT_TOO_SLOW),
        hold,
    ]
    await case.begin()
    await case.approve()
    await hold.met()
    case.let_go = hold.released
    return hold


async def _rolling_back(case: Case) -> None:
    await _in_a_held_rollback(case)


async def _abort_refused(case: Case) -> None:
    await _in_a_held_rollback(case)
    await case.signal("abort", "stop, stop")
    await case.reaches(lambda one: bool(one.replies))


async def _asked_back(case: Case) -> None:
    hold = Hold()
    case.world.trouble[f"rollout.wait:{SERVICE}"] = [hold]
    await case.begin()
    await case.approve()
    await hold.met()
    await _asks_for(case, "rollback", "reports are wrong")
    await case.ended()


async def _cancelled_before(case: Case) -> None:
    await case.begin()
    await case.reaches_approval()
    await case.handle.cancel()
    await case.ended()


async def _cancelled_after(case: Case) -> None:
    hold = Hold()
    case.world.trouble[f"rollout.wait:{SERVICE}"] = [hold]
    await case.begin()
    await case.approve()
    await hold.met()
    await case.handle.cancel()
    await case.ended()


def _cannot_go_back(case: Case) -> None:
    stuck = fails(SlipwayError("api-gateway: the API server says no.", "Ask its owner."))
    case.world.trouble[f"rollout.apply:{SERVICE}"] = [nothing, stuck]
    case.world.trouble[WINDOW] = [judged(Kind.ROLLBACK, Reason.OUT_OF_MEMORY)]


async def _rollback_failed(case: Case) -> None:
    _cannot_go_back(case)
    await case.begin()
    await approved_and_parked(case)


async def _rollback_incomplete(case: Case) -> None:
    await _rollback_failed(case)
    await case.resolve(Choice.STOP)
    await case.ended()


async def _with_accepted_notes(case: Case) -> None:
    case.world.trouble[WINDOW] = [judged(Kind.INCONCLUSIVE, Reason.TOO_LITTLE_TRAFFIC)]
    await case.begin()
    await approved_and_parked(case)
    await case.resolve(Choice.SKIP)
    await case.ended()


async def _held_by_another(case: Case) -> None:
    await case.begin()
    await case.reaches_approval()
    await case.handle.terminate("gone")
    case.first = case.deployment
    await case.begin()
    await case.ended()


async def _let_go(case: Case) -> None:
    case.let_go.set()


async def _let_go_and_take_back(case: Case) -> None:
    case.let_go.set()
    await case.resolve(Choice.ROLL_BACK)


async def _followed(case: Case, done: Done) -> None:
    """`watch` ends with the outcome's exit code."""
    assert done.code == 3, done.err
    assert "rolled_back" in done.out


async def _confirmed(case: Case, done: Done) -> None:
    assert done.code == 0, done.err
    await case.reaches(lambda one: len(one.confirmations) == 1)


async def _approved(case: Case, done: Done) -> None:
    assert done.code == 0, done.err
    await case.reaches(lambda one: len(one.approvals) == 1)


async def _not_paused(case: Case, done: Done) -> None:
    assert done.code == 0, done.err
    await case.reaches(lambda one: not one.paused_by)


async def _names_the_holder(case: Case, done: Done) -> None:
    assert done.code == 0, done.err
    assert f"slipway rollback {case.first}" in done.out


async def _reported(case: Case, done: Done) -> None:
    assert done.code == 0, done.err
    assert case.deployment in done.out


async def _again_and_back(case: Case, done: Done) -> None:
    await goes_on(case, done)
    assert (await case.ended()).outcome is Outcome.ROLLED_BACK


_LATER = (datetime.now(UTC) + timedelta(days=3)).strftime("%a").lower()
_CLOSED = {"window": {"days": [_LATER], "start": "00:00", "end": "24:00"}}
PEOPLE = [
    Situation(
        name="approval is awaited",
        drive=meeting({}, at_approval),
        says=("Waits for: approval", "cto@teei.example (cto), vp@teei.example (vp)", "Until: "),
        paste="Answer",
        effect=_approved,
        terminal=True,
    ),
    Situation(
        name="a confirmation is awaited",
        drive=_confirmed_only_by_approvers,
        says=("Waits for: confirmation of", "Who: oncall@teei.example", "then: expired"),
        paste="Answer",
        effect=_confirmed,
    ),
    Situation(
        name=Reason.APPROVAL_REJECTED.value,
        drive=_rejected,
        says=("Why: ApprovalRejected: cto@teei.example: not on a Friday", "rejected"),
        paste="Start again",
        effect=begins_again,
    ),
    Situation(
        name=Reason.APPROVAL_EXPIRED.value,
        drive=meeting({}, has_ended),
        says=("Why: ApprovalExpired: ", "expired", "Nothing in production was changed."),
        paste="Start again",
        effect=begins_again,
        plan={"timings": {"approval_deadline": "1s"}},
    ),
    Situation(
        name="the window is closed",
        drive=meeting({}, lambda case: _at_the_window(case)),
        says=("Waits for: the deployment window", "Until: ", "phase go"),
        paste="Stop",
        effect=stops,
        plan=_CLOSED,
    ),
    Situation(
        name="paused",
        drive=_paused,
        says=("Waits for: resume (paused by sre@teei.example: looking at a graph)", "then: stop"),
        paste="Answer",
        effect=_not_paused,
    ),
    Situation(
        name=Reason.DEADLINE_PASSED.value,
        drive=_paused_until_the_deadline,
        says=("Why: DeadlinePassed: ", "stopped"),
        paste="Start again",
        effect=begins_again,
        plan={"timings": {"operator_deadline": "1s"}},
    ),
    Situation(
        name="an abort is requested",
        drive=_abort_requested,
        says=("Abort: requested", "no new step begins", f"Now: wait:{SERVICE}"),
        paste="Follow",
        effect=_followed,
        meanwhile=_let_go_and_take_back,
    ),
    Situation(
        name="an abort is acknowledged",
        drive=_abort_acknowledged,
        says=("Abort: acknowledged", "sre@teei.example: a bad feeling", "Next: Resume it"),
        paste="Answer",
        effect=goes_on,
    ),
    Situation(
        name=Reason.ABORTED.value,
        drive=_aborted_before,
        says=("Why: Aborted: sre@teei.example: wrong release", "stopped"),
        paste="Start again",
        effect=begins_again,
    ),
    Situation(
        name="a rollback is running",
        drive=_rolling_back,
        says=("phase roll_back", f"Culprit: {SERVICE}", f"Not put back yet: rollout:{SERVICE}"),
        paste="Follow",
        effect=_followed,
        meanwhile=_let_go,
    ),
    Situation(
        name="an abort is refused",
        drive=_abort_refused,
        says=("phase roll_back", "Refused: abort: ", f"Culprit: {SERVICE}"),
        paste="Follow",
        effect=_followed,
        meanwhile=_let_go,
    ),
    Situation(
        name=Reason.ROLLBACK_REQUESTED.value,
        drive=_asked_back,
        says=("Why: RollbackRequested: sre@teei.example: reports are wrong", "Put back: 2 of 2"),
        paste="Report",
        effect=_reported,
    ),
    Situation(
        name=Reason.CANCELLED.value,
        drive=_cancelled_before,
        says=("Why: Cancelled: ", "Nothing in production was changed."),
        paste="Start again",
        effect=begins_again,
    ),
    Situation(
        name="cancelled after a change",
        drive=_cancelled_after,
        says=("Why: Cancelled: ", "rolled_back", "Put back: 2 of 2"),
        paste="Start again",
        effect=begins_again,
    ),
    Situation(
        name=Reason.ROLLBACK_FAILED.value,
        drive=_rollback_failed,
        says=("phase roll_back", "the API server says no", "Put back: 1 of 2", "then: stop"),
        paste="Answer",
        effect=_again_and_back,
    ),
    Situation(
        name="the rollback is incomplete",
        drive=_rollback_incomplete,
        says=("rollback_incomplete", f"NOT put back: rollout:{SERVICE}", "Put back: 1 of 2"),
        paste="Try again",
        effect=is_put_back,
        process=True,
    ),
    Situation(
        name="deployed",
        drive=meeting({}, approved_to_the_end),
        says=("Nothing failed", "Aftercare watches"),
        paste="Take back",
        effect=is_put_back,
        process=True,
    ),
    Situation(
        name="deployed with accepted notes",
        drive=_with_accepted_notes,
        says=(f"Accepted: {SERVICE}: accepted by a person: 31 of 1,020",),
        paste="Report",
        effect=_reported,
    ),
    Situation(
        name=Reason.ENVIRONMENT_HELD.value,
        drive=_held_by_another,
        says=("Why: EnvironmentHeld: ", "is held by", "Nothing in production was changed."),
        paste="Look",
        effect=_names_the_holder,
    ),
]


async def _at_the_window(case: Case) -> None:
    await case.approve()
    await case.reaches(lambda one: any(wait.kind == "window" for wait in one.waiting_for))
    assert (await case.status()).phase is Phase.GO
