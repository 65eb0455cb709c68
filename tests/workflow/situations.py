"""The situations in which somebody asks `why`: how each comes about, what must be said, which
command is pasted and what it must bring about."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from temporalio import activity

from slipway.errors import (
    BackupFailed,
    BackupNotRestorable,
    Fenced,
    ForeignChange,
    MigrationFailed,
    RolloutFailed,
    SlipwayError,
)
from slipway.messages.migration import MigrationReview
from slipway.messages.preflight import (
    EnvironmentReport,
    Finding,
    GateResult,
    GateResults,
    StagingReport,
)
from slipway.states import Choice, Outcome, Phase
from slipway.status import StatusDocument
from slipway.verdicts import Kind, Reason, Signal, Verdict
from tests.fakes.world import fails
from tests.workflow.hall import Case, Done

Drive = Callable[[Case], Awaitable[None]]
Effect = Callable[[Case, Done], Awaitable[None]]
SERVICE = "api-gateway"
NUMBERS = {"requests": 1020.0, "failures": 31.0}


@dataclass(frozen=True)
class Situation:
    """One situation."""

    name: str
    drive: Drive
    says: tuple[str, ...]
    """What must stand in the answer: culprit, numbers, owner."""
    paste: str
    """The label of the command that is pasted."""
    effect: Effect
    plan: dict[str, Any] = field(default_factory=dict)
    """What its plan has otherwise."""
    process: bool = False
    """Whether `why` runs as a process of its own."""
    apart: bool = False
    """Whether it has a queue of its own, on which nobody works at first."""
    terminal: bool = False
    """Whether the command is pasted into a terminal, where it asks."""
    meanwhile: Drive | None = None
    """What happens while the pasted command runs."""


class Held:
    """Keeps an activity in flight until the test lets it go; a stubborn one ignores a cancel."""

    def __init__(self, *, stubborn: bool = False) -> None:
        self.reached, self.released = asyncio.Event(), asyncio.Event()
        self._stubborn = stubborn

    async def _wait(self) -> None:
        self.reached.set()
        while not self.released.is_set():
            activity.heartbeat("held by the test")
            try:
                await asyncio.sleep(0.05)
            except asyncio.CancelledError:
                if not self._stubborn:
                    raise

    def __call__(self) -> Awaitable[None]:
        return self._wait()

    async def met(self) -> None:
        """Wait until the activity is in flight."""
        await asyncio.wait_for(self.reached.wait(), 60)


def well() -> None:
    """A call that goes well."""


def judged(kind: Kind, reason: Reason, service: str | None = SERVICE) -> Callable[[], Verdict]:
    """A verdict with numbers."""
    verdict = Verdict(
        kind=kind,
        signal=Signal.TRAFFIC,
        reason=reason,
        service=service,
        because="31 of 1,020 requests failed",
        numbers=NUMBERS,
    )
    return lambda: verdict


# Coming about


def meeting(trouble: dict[str, list[Callable[[], Any]]], then: Drive) -> Drive:
    """The world holds this trouble; the deployment is carried as far as `then` says."""

    async def drive(case: Case) -> None:
        case.world.trouble.update({name: list(planned) for name, planned in trouble.items()})
        await case.begin()
        await then(case)

    return drive


async def has_ended(case: Case) -> None:
    """Wait for the end, without approval."""
    await case.ended()


async def approved_to_the_end(case: Case) -> None:
    """Approve and wait for the end."""
    await case.approve()
    await case.ended()


async def approved_and_parked(case: Case) -> None:
    """Approve and wait until a person is asked."""
    await case.approve()
    await case.reaches(parked)


async def is_parked(case: Case) -> None:
    """Wait until a person is asked."""
    await case.reaches(parked)


async def at_approval(case: Case) -> None:
    """Wait for the moment of approval."""
    await case.reaches_approval()


def parked(status: StatusDocument) -> bool:
    """Whether a person is asked to decide."""
    return any(one.kind == "operator" for one in status.waiting_for)


# What a pasted command brings about


async def goes_on(case: Case, done: Done) -> None:
    """The parked step goes on."""
    assert done.code == 0, done.err
    await case.reaches(lambda one: not parked(one))


async def begins_again(case: Case, done: Done) -> None:
    """A new deployment has the environment."""
    assert done.code == 0, done.err
    case.newest(done.out.split()[1].rstrip(":"))
    await case.reaches(lambda one: bool(one.timeline))


async def is_put_back(case: Case, done: Done) -> None:
    """Everything is as before, and the environment is free."""
    assert done.code == 0, done.err
    result = await case.ended()
    assert result.outcome is Outcome.ROLLED_BACK
    assert all(one.image.startswith("old/") for one in case.world.deployments.values())
    assert (case.world.schema, case.world.holder) == ("old", "")


async def stops(case: Case, done: Done) -> None:
    """The run ends before any change."""
    assert done.code == 0, done.err
    assert (await case.ended()).outcome is Outcome.STOPPED


async def is_shown(case: Case, done: Done) -> None:
    """It is a command that shows something."""
    assert done.code == 0, done.err
    assert done.out


def ends_as(reason: Reason, says: str, *, of: str, planned: Callable[[], Any]) -> Situation:
    """A run that ends in the preparations."""
    return Situation(
        name=reason.value,
        drive=meeting({of: [planned]}, has_ended),
        says=(f"Why: {reason.value}: ", says, "Nothing in production was changed."),
        paste="Start again",
        effect=begins_again,
    )


def taken_back(reason: Reason, of: str, planned: Callable[[], Any], *says: str) -> Situation:
    """A change that is taken back at once."""
    return Situation(
        name=reason.value,
        drive=meeting({of: [planned]}, approved_to_the_end),
        says=(f"Why: {reason.value}: ", *says, "rolled_back", "Put back: "),
        paste="Start again",
        effect=begins_again,
    )


def asks(reason: Reason, of: str, planned: Callable[[], Any], *says: str) -> Situation:
    """A step that parks after a change."""
    return Situation(
        name=reason.value,
        drive=meeting({of: [planned]}, approved_and_parked),
        says=(*says, "Who: Ada Example", "Until: ", "then: rollback"),
        paste="Answer",
        effect=goes_on,
    )


def _gate() -> GateResults:
    failed = GateResult(gate="trivy", passed=False, because="2 critical findings", sha256=[])
    return GateResults(results=[failed])


def _environment() -> EnvironmentReport:
    lacking = Finding(
        severity="block", what="The role teei_owner lacks CREATEDB.", remedy="Grant it."
    )
    return EnvironmentReport(findings=[lacking], server_version="18.4")


def _staging() -> StagingReport:
    return StagingReport(stable=False, findings=[], because="analytics restarted 3 times in 24h")


def _review() -> MigrationReview:
    return MigrationReview(applied=[], pending=[], refused=["0000_change is not in staging."])


PREPARATION = [
    ends_as(Reason.GATE_FAILED, "trivy: 2 critical", of="gates.evaluate", planned=_gate),
    ends_as(Reason.STAGING_NOT_STABLE, "3 times", of="preflight.staging", planned=_staging),
    ends_as(
        Reason.ENVIRONMENT_NOT_READY, "CREATEDB", of="preflight.environment", planned=_environment
    ),
    ends_as(Reason.MIGRATION_REFUSED, "0000_change", of="migrations.review", planned=_review),
    ends_as(
        Reason.BACKUP_NOT_RESTORABLE,
        "public.users differs",
        of="backup.take",
        planned=fails(BackupNotRestorable("public.users differs by 3 rows.", "Find out why.")),
    ),
    Situation(
        name=Reason.BACKUP_FAILED.value,
        drive=meeting(
            {"backup.take": [fails(BackupFailed("The bucket is full.", "Make room."))]}, is_parked
        ),
        says=("a decision about backup: ", "The bucket is full.", "then: stop", "Who: Ada Example"),
        paste="Answer",
        effect=goes_on,
    ),
    Situation(
        name=Reason.STEP_OUT_OF_ATTEMPTS.value,
        drive=meeting(
            {"preflight.staging": [fails(SlipwayError("Prometheus says 502.", "Mend it."))]},
            is_parked,
        ),
        says=("a decision about staging: ", "Prometheus says 502.", "then: stop"),
        paste="Answer",
        effect=goes_on,
    ),
]

CHANGES = [
    taken_back(
        Reason.MIGRATION_FAILED,
        "migrations.apply",
        fails(MigrationFailed("0000_change: syntax error.", "Correct it.")),
        "Culprit: migration 0000_change",
    ),
    taken_back(
        Reason.ROLLOUT_DOOMED,
        f"rollout.apply:{SERVICE}",
        fails(RolloutFailed("api-gateway: ImagePullBackOff.", "Push the image.")),
        "ImagePullBackOff",
    ),
    taken_back(
        Reason.ROLLOUT_TOO_SLOW,
        f"rollout.wait:{SERVICE}",
        judged(Kind.ROLLBACK, Reason.ROLLOUT_TOO_SLOW),
        f"Culprit: {SERVICE}",
    ),
    asks(
        Reason.FOREIGN_CHANGE,
        f"rollout.apply:{SERVICE}",
        fails(ForeignChange("api-gateway was changed by kubectl-edit.", "Look at it.")),
        "kubectl-edit",
    ),
    asks(
        Reason.FENCED,
        f"rollout.apply:{SERVICE}",
        fails(Fenced("api-gateway has fence 9.", "A later decision stands.")),
        "has fence 9",
    ),
]


def _judgement(reason: Reason, of: str, kind: Kind) -> Situation:
    make = taken_back if kind is Kind.ROLLBACK else asks
    evidence = f"Why: {reason.value}: ", f"Culprit: {SERVICE}", "Evidence: failures 31"
    return make(reason, of, judged(kind, reason), *evidence)


_WINDOW = f"monitor:{SERVICE}"
JUDGEMENTS = [
    _judgement(Reason.POD_RESTARTING, _WINDOW, Kind.ROLLBACK),
    _judgement(Reason.OUT_OF_MEMORY, _WINDOW, Kind.ROLLBACK),
    _judgement(Reason.UNHEALTHY, f"check.service:{SERVICE}", Kind.ROLLBACK),
    _judgement(Reason.CRITICAL_FUNCTION_BROKEN, f"check.service:{SERVICE}", Kind.ROLLBACK),
    _judgement(Reason.SMOKE_FLOW_BROKEN, "check.flows", Kind.ROLLBACK),
    _judgement(Reason.ERROR_RATE_TOO_HIGH, _WINDOW, Kind.ROLLBACK),
    _judgement(Reason.ERRORS_IN_LOGS, _WINDOW, Kind.ROLLBACK),
    _judgement(Reason.ERROR_RATE_RAISED, _WINDOW, Kind.HOLD),
    _judgement(Reason.LATENCY_TOO_HIGH, _WINDOW, Kind.HOLD),
    _judgement(Reason.TOO_MANY_CONNECTIONS, _WINDOW, Kind.HOLD),
    _judgement(Reason.EXTERNAL_CALLS_FAILING, _WINDOW, Kind.HOLD),
    _judgement(Reason.TOO_LITTLE_TRAFFIC, _WINDOW, Kind.INCONCLUSIVE),
    _judgement(Reason.NOTHING_TO_READ, _WINDOW, Kind.INCONCLUSIVE),
    Situation(
        name=Reason.DATA_CORRUPTION.value,
        drive=meeting(
            {_WINDOW: [judged(Kind.ROLLBACK, Reason.DATA_CORRUPTION, None)]}, approved_and_parked
        ),
        says=("Why: DataCorruption: ", "phase roll_back", "Put the database back", "Put back: 1"),
        paste="Answer",
        effect=is_put_back,
    ),
]


# People


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
    await case.begin()
    await case.reaches_approval()
    await _asks_for(case, "pause", "looking at a graph")
    await case.reaches(lambda one: bool(one.paused_by))


async def _paused_until_the_deadline(case: Case) -> None:
    await _paused(case)
    await case.ended()


async def _asks_for(case: Case, kind: str, reason: str) -> Done:
    done = await case.slipway(
        *(kind, case.deployment, "--person", "sre@teei.example", "--reason", reason)
    )
    assert done.code == 0, done.out + done.err
    return done


async def _abort_requested(case: Case) -> None:
    hold = Held(stubborn=True)
    case.world.trouble[f"rollout.wait:{SERVICE}"] = [hold]
    await case.begin()
    await case.approve()
    await hold.met()
    await case.signal("abort", "a bad feeling")
    await case.reaches(lambda one: one.abort.value == "requested")
    case.let_go = hold.released


async def _abort_acknowledged(case: Case) -> None:
    hold = Held()
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


async def _in_a_held_rollback(case: Case) -> Held:
    hold = Held()
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
    hold = Held()
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
    hold = Held()
    case.world.trouble[f"rollout.wait:{SERVICE}"] = [hold]
    await case.begin()
    await case.approve()
    await hold.met()
    await case.handle.cancel()
    await case.ended()


def _cannot_go_back(case: Case) -> None:
    stuck = fails(SlipwayError("api-gateway: the API server says no.", "Ask its owner."))
    case.world.trouble[f"rollout.apply:{SERVICE}"] = [well, stuck]
    case.world.trouble[_WINDOW] = [judged(Kind.ROLLBACK, Reason.OUT_OF_MEMORY)]


async def _rollback_failed(case: Case) -> None:
    _cannot_go_back(case)
    await case.begin()
    await approved_and_parked(case)


async def _rollback_incomplete(case: Case) -> None:
    await _rollback_failed(case)
    await case.resolve(Choice.STOP)
    await case.ended()


async def _with_accepted_notes(case: Case) -> None:
    case.world.trouble[_WINDOW] = [judged(Kind.INCONCLUSIVE, Reason.TOO_LITTLE_TRAFFIC)]
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
_NO_WINDOW = {"window": {"days": [_LATER], "start": "00:00", "end": "24:00"}}
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
        plan=_NO_WINDOW,
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
