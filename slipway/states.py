"""Every state a deployment, a step or a service can be in. These names are public."""

from enum import StrEnum


class Phase(StrEnum):
    """Where a deployment stands, in the playbook's order."""

    PREFLIGHT = "preflight"
    BACKUP = "backup"
    APPROVAL = "approval"
    GO = "go"
    MIGRATE = "migrate"
    ROLL_OUT = "roll_out"
    VERIFY = "verify"
    HAND_OVER = "hand_over"
    ROLL_BACK = "roll_back"
    ENDED = "ended"


class Outcome(StrEnum):
    """How a deployment stands or ended. Exit codes of the command line follow from it."""

    RUNNING = "running"
    DEPLOYED = "deployed"
    ROLLED_BACK = "rolled_back"
    ROLLBACK_INCOMPLETE = "rollback_incomplete"
    REJECTED = "rejected"
    EXPIRED = "expired"
    STOPPED = "stopped"
    """Stopped before anything in production was changed."""


EXIT_CODES: dict[Outcome, int] = {
    Outcome.DEPLOYED: 0,
    Outcome.ROLLED_BACK: 3,
    Outcome.ROLLBACK_INCOMPLETE: 4,
    Outcome.REJECTED: 5,
    Outcome.EXPIRED: 5,
    Outcome.STOPPED: 6,
    Outcome.RUNNING: 7,
}


class ServiceState(StrEnum):
    """Where one service stands in this run."""

    WAITING = "waiting"
    CAPTURED = "captured"
    ROLLING_OUT = "rolling_out"
    SETTLING = "settling"
    WATCHING = "watching"
    DEPLOYED = "deployed"
    REVERTING = "reverting"
    REVERTED = "reverted"
    REVERT_FAILED = "revert_failed"


class MigrationState(StrEnum):
    """Where one pending migration stands."""

    PENDING = "pending"
    APPLIED = "applied"
    FAILED = "failed"
    ROLLED_BACK = "rolled_back"


class AbortState(StrEnum):
    """Where a request to stop stands. After ACKNOWLEDGED no forward write happens."""

    NONE = "none"
    REQUESTED = "requested"
    ACKNOWLEDGED = "acknowledged"


class UndoState(StrEnum):
    """Where one recorded undo stands."""

    READY = "ready"
    RUNNING = "running"
    DONE = "done"
    LEFT = "left"
    """Left as it is: by the plan, by request or by a person's decision."""
    FAILED = "failed"


class FallbackState(StrEnum):
    """Where the warm fallback of a backup stands."""

    READY = "ready"
    """Made with the backup; nobody follows yet."""
    FOLLOWING = "following"
    TAKEN = "taken"
    """A rollback has taken it over to swap it in."""
    SWAPPED = "swapped"
    """It is production now."""
    LOST = "lost"
    """It cannot be brought up to date any more; the backup itself still can be restored."""
    ENDED = "ended"


SETTLED = (UndoState.DONE, UndoState.LEFT)
"""Nothing is left to do about an undo in one of these."""


class ItemState(StrEnum):
    """A line of the checklist."""

    OPEN = "open"
    DONE = "done"
    MISSING = "missing"
    """Was done, but its artefact is gone or was altered."""


class Choice(StrEnum):
    """What a person may decide about a parked step."""

    RETRY = "retry"
    SKIP = "skip"
    ROLL_BACK = "rollback"
    RESUME = "resume"
    STOP = "stop"


class TroubleKind(StrEnum):
    """What only the Temporal server knows of a run that does not go on as it should."""

    NO_WORKER = "no_worker"
    WORKER_SILENT = "worker_silent"
    TASK_FAILING = "task_failing"
    """The workflow's own code fails."""
    RETRYING = "retrying"
    ACTIVITY_PAUSED = "activity_paused"
    OPTIONS_CHANGED = "options_changed"
    RESET = "reset"
    TERMINATED = "terminated"
    CANCELED = "canceled"
    TIMED_OUT = "timed_out"
    FAILED = "failed"


ENDINGS = frozenset(
    {
        TroubleKind.TERMINATED,
        TroubleKind.CANCELED,
        TroubleKind.TIMED_OUT,
        TroubleKind.FAILED,
    }
)
"""Troubles by which Temporal ended a run that had not come to its own end."""
