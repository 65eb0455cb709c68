"""Verdicts: what was judged, in four kinds, each with one sentence and its numbers."""

from enum import StrEnum

from slipway.base import Message


class Kind(StrEnum):
    """The four verdicts. No data is never PROCEED."""

    PROCEED = "PROCEED"
    HOLD = "HOLD"
    ROLLBACK = "ROLLBACK"
    INCONCLUSIVE = "INCONCLUSIVE"


class Signal(StrEnum):
    """What a verdict was read from."""

    ROLLOUT = "rollout"
    PODS = "pods"
    HEALTH = "health"
    CRITICAL = "critical"
    SMOKE = "smoke"
    TRAFFIC = "traffic"
    LATENCY = "latency"
    CONNECTIONS = "connections"
    EXTERNAL = "external"
    LOGS = "logs"
    CORRUPTION = "corruption"


class Reason(StrEnum):
    """Why a run parked, stopped or was rolled back: each names a runbook of the same name."""

    # gates and preparation
    GATE_FAILED = "GateFailed"
    STAGING_NOT_STABLE = "StagingNotStable"
    ENVIRONMENT_NOT_READY = "EnvironmentNotReady"
    MIGRATION_REFUSED = "MigrationRefused"
    BACKUP_FAILED = "BackupFailed"
    BACKUP_NOT_RESTORABLE = "BackupNotRestorable"
    REHEARSAL_FAILED = "RehearsalFailed"
    APPROVAL_REJECTED = "ApprovalRejected"
    APPROVAL_EXPIRED = "ApprovalExpired"
    WINDOW_CLOSED = "WindowClosed"
    ENVIRONMENT_HELD = "EnvironmentHeld"
    # changes
    MIGRATION_FAILED = "MigrationFailed"
    ROLLOUT_DOOMED = "RolloutDoomed"
    ROLLOUT_TOO_SLOW = "RolloutTooSlow"
    FOREIGN_CHANGE = "ForeignChange"
    FENCED = "Fenced"
    # judgements
    POD_RESTARTING = "PodRestarting"
    OUT_OF_MEMORY = "OutOfMemory"
    UNHEALTHY = "Unhealthy"
    CRITICAL_FUNCTION_BROKEN = "CriticalFunctionBroken"
    SMOKE_FLOW_BROKEN = "SmokeFlowBroken"
    ERROR_RATE_TOO_HIGH = "ErrorRateTooHigh"
    ERROR_RATE_RAISED = "ErrorRateRaised"
    LATENCY_TOO_HIGH = "LatencyTooHigh"
    TOO_MANY_CONNECTIONS = "TooManyConnections"
    EXTERNAL_CALLS_FAILING = "ExternalCallsFailing"
    ERRORS_IN_LOGS = "ErrorsInLogs"
    DATA_CORRUPTION = "DataCorruption"
    TOO_LITTLE_TRAFFIC = "TooLittleTraffic"
    NOTHING_TO_READ = "NothingToRead"
    # people and machinery
    ABORTED = "Aborted"
    ROLLBACK_REQUESTED = "RollbackRequested"
    CANCELLED = "Cancelled"
    STEP_OUT_OF_ATTEMPTS = "StepOutOfAttempts"
    DEADLINE_PASSED = "DeadlinePassed"
    ROLLBACK_FAILED = "RollbackFailed"
    FALLBACK_LOST = "FallbackLost"
    FALLBACK_DIFFERS = "FallbackDiffers"
    OK = "Ok"


class Verdict(Message):
    """One judgement: its kind, what it is about, one sentence with its numbers."""

    kind: Kind
    signal: Signal
    reason: Reason = Reason.OK
    service: str | None = None
    because: str
    numbers: dict[str, float] = {}


_WEIGHT = {Kind.PROCEED: 0, Kind.INCONCLUSIVE: 1, Kind.HOLD: 2, Kind.ROLLBACK: 3}


def weight(kind: Kind) -> int:
    """Return how grave a verdict is: PROCEED 0, INCONCLUSIVE 1, HOLD 2, ROLLBACK 3."""
    return _WEIGHT[kind]


def gravest(verdicts: list[Verdict]) -> Verdict | None:
    """Return the verdict that decides: ROLLBACK over HOLD over INCONCLUSIVE over PROCEED."""
    return max(verdicts, key=lambda verdict: _WEIGHT[verdict.kind], default=None)
