"""Errors: what broke, which thing, what to do next. Each type names a runbook."""

from slipway.verdicts import Reason


class SlipwayError(Exception):
    """A fact that keeps a step from being done.

    `reason` names the runbook, `remedy` is an imperative sentence for the reader.
    `final` errors are not worth an attempt more; the others are retried.
    """

    reason: Reason = Reason.STEP_OUT_OF_ATTEMPTS
    final: bool = True

    def __init__(self, what: str, remedy: str = "", *, reason: Reason | None = None) -> None:
        super().__init__(f"{what} {remedy}".strip())
        self.what = what
        self.remedy = remedy
        if reason is not None:
            self.reason = reason


class BadInput(SlipwayError):
    """A document, reference or argument that cannot be accepted."""

    reason = Reason.GATE_FAILED


class Unreachable(SlipwayError):
    """A server that did not answer: worth another attempt."""

    final = False


class Fenced(SlipwayError):
    """A write refused because a later decision (an undo, a newer deployment) came first."""

    reason = Reason.FENCED


class Absent(SlipwayError):
    """An object that should be there is not."""

    reason = Reason.ENVIRONMENT_NOT_READY


class Forbidden(SlipwayError):
    """A right in the cluster is missing; the remedy is the line to add to the Role."""

    reason = Reason.ENVIRONMENT_NOT_READY


class ChangedMeanwhile(SlipwayError):
    """A compare-and-set write came too late: read the object again and decide anew."""

    reason = Reason.FOREIGN_CHANGE
    final = False


class FallbackLost(SlipwayError):
    """A warm fallback that cannot be brought up to date any more: the backup still can be
    restored, without the writes made since."""

    reason = Reason.FALLBACK_LOST


class FallbackDiffers(SlipwayError):
    """A copy that has followed and yet has other rows than production: a person must look."""

    reason = Reason.FALLBACK_DIFFERS


class ForeignChange(SlipwayError):
    """Somebody else changed the object meanwhile; a person must look."""

    reason = Reason.FOREIGN_CHANGE


class Held(SlipwayError):
    """The environment is held by another deployment."""

    reason = Reason.ENVIRONMENT_HELD


class BackupFailed(SlipwayError):
    """A backup could not be taken or stored."""

    reason = Reason.BACKUP_FAILED


class BackupNotRestorable(SlipwayError):
    """A backup was taken but its restore does not equal the source."""

    reason = Reason.BACKUP_NOT_RESTORABLE


class MigrationFailed(SlipwayError):
    """The migration command failed; the database's own words are in the sentence."""

    reason = Reason.MIGRATION_FAILED


class MigrationRefused(SlipwayError):
    """The pending migrations must not be applied as they stand."""

    reason = Reason.MIGRATION_REFUSED


class NotReplaceable(SlipwayError):
    """A Deployment must not be replaced as it stands: paused, restless, or somebody else's."""

    reason = Reason.ENVIRONMENT_NOT_READY


class RecordConflict(SlipwayError):
    """The record already holds something else at this place."""

    reason = Reason.FOREIGN_CHANGE
