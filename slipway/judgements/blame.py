"""Whose fault an alarm is: the changed service's, the migration's, or something shared."""

from enum import StrEnum

from slipway.run import Run
from slipway.states import MigrationState, ServiceState
from slipway.verdicts import Kind, Verdict

_REPLACED = {
    ServiceState.ROLLING_OUT,
    ServiceState.SETTLING,
    ServiceState.WATCHING,
    ServiceState.DEPLOYED,
}
_TOGETHER = 3
"""Services alarming at once before a shared cause is suspected."""


class Blame(StrEnum):
    """What an alarm implicates."""

    SERVICE = "service"
    MIGRATION = "migration"
    SHARED = "shared"


def blame(run: Run, verdicts: list[Verdict]) -> Blame:
    """Return what the ROLLBACK verdicts implicate.

    An alarm in a service not yet replaced implicates the migration, or, where none was applied,
    something outside this release. Three or more services at once suggest a shared cause.
    """
    alarms = {one.service for one in verdicts if one.kind is Kind.ROLLBACK and one.service}
    if len(alarms) >= _TOGETHER:
        return Blame.SHARED
    replaced = {one.name for one in run.services if one.state in _REPLACED}
    if not alarms or alarms & replaced:
        return Blame.SERVICE
    migrated = any(one.state is MigrationState.APPLIED for one in run.migrations)
    return Blame.MIGRATION if migrated else Blame.SHARED
