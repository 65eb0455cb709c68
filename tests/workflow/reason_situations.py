"""Situations in which a run ends, is taken back or parks for a reason of its own."""

from collections.abc import Callable
from typing import Any

from slipway.errors import (
    BackupFailed,
    BackupNotRestorable,
    Fenced,
    ForeignChange,
    MigrationFailed,
    SlipwayError,
)
from slipway.messages.migration import MigrationFinding, MigrationReview
from slipway.messages.preflight import (
    EnvironmentReport,
    Finding,
    GateResult,
    GateResults,
    StagingReport,
)
from slipway.verdicts import Kind, Reason
from tests.fakes.world import fails
from tests.workflow.situations import (
    SERVICE,
    WINDOW,
    Situation,
    approved_and_parked,
    approved_to_the_end,
    begins_again,
    goes_on,
    has_ended,
    is_parked,
    is_put_back,
    judged,
    meeting,
)


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


def _rehearsal() -> list[MigrationFinding]:
    failed = MigrationFinding(
        rule="rehearsal-failed",
        severity="refuse",
        about="migrations",
        what="The pending migrations fail on the backup: SQLSTATE 23505: duplicate.",
    )
    return [failed]


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
    ends_as(
        Reason.REHEARSAL_FAILED, "SQLSTATE 23505", of="migrations.rehearse", planned=_rehearsal
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
        fails(
            SlipwayError(
                "api-gateway: ImagePullBackOff.", "Push the image.", reason=Reason.ROLLOUT_DOOMED
            )
        ),
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


JUDGEMENTS = [
    _judgement(Reason.POD_RESTARTING, WINDOW, Kind.ROLLBACK),
    _judgement(Reason.OUT_OF_MEMORY, WINDOW, Kind.ROLLBACK),
    _judgement(Reason.UNHEALTHY, f"check.service:{SERVICE}", Kind.ROLLBACK),
    _judgement(Reason.CRITICAL_FUNCTION_BROKEN, f"check.service:{SERVICE}", Kind.ROLLBACK),
    _judgement(Reason.SMOKE_FLOW_BROKEN, "check.flows", Kind.ROLLBACK),
    _judgement(Reason.ERROR_RATE_TOO_HIGH, WINDOW, Kind.ROLLBACK),
    _judgement(Reason.ERRORS_IN_LOGS, WINDOW, Kind.ROLLBACK),
    _judgement(Reason.ERROR_RATE_RAISED, WINDOW, Kind.HOLD),
    _judgement(Reason.LATENCY_TOO_HIGH, WINDOW, Kind.HOLD),
    _judgement(Reason.TOO_MANY_CONNECTIONS, WINDOW, Kind.HOLD),
    _judgement(Reason.EXTERNAL_CALLS_FAILING, WINDOW, Kind.HOLD),
    _judgement(Reason.TOO_LITTLE_TRAFFIC, WINDOW, Kind.INCONCLUSIVE),
    _judgement(Reason.NOTHING_TO_READ, WINDOW, Kind.INCONCLUSIVE),
    Situation(
        name=Reason.DATA_CORRUPTION.value,
        drive=meeting(
            {WINDOW: [judged(Kind.ROLLBACK, Reason.DATA_CORRUPTION, None)]}, approved_and_parked
        ),
        says=("Why: DataCorruption: ", "phase roll_back", "Put the database back", "Put back: 1"),
        paste="Answer",
        effect=is_put_back,
    ),
]

REASONS = [*PREPARATION, *CHANGES, *JUDGEMENTS]
