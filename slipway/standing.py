"""What state production is in now because of a run, in a sentence or two."""

from collections.abc import Iterable

from slipway.run import Run, ServiceRun
from slipway.states import MigrationState, ServiceState

_NEW = {ServiceState.SETTLING, ServiceState.WATCHING, ServiceState.DEPLOYED}
_BETWEEN = {ServiceState.ROLLING_OUT, ServiceState.REVERTING, ServiceState.REVERT_FAILED}


def standing(run: Run) -> str:
    """Return what this run has changed in production so far, at most 1,000 characters."""
    if not run.changed:
        return "Nothing in production has been changed."
    parts = [_database(run), _services(run)]
    return " ".join(part for part in parts if part)[:1000]


def _database(run: Run) -> str:
    states = {one.state for one in run.migrations}
    if not states or states == {MigrationState.PENDING}:
        return ""
    if states == {MigrationState.APPLIED}:
        return f"{len(run.migrations)} migration(s) are applied."
    if states == {MigrationState.ROLLED_BACK}:
        return "The database is back as it was."
    return "The migration is under way or has failed; the ledger tells."


def _services(run: Run) -> str:
    new = [one for one in run.services if one.state in _NEW]
    between = [one for one in run.services if one.state in _BETWEEN]
    back = [one for one in run.services if one.state is ServiceState.REVERTED]
    said = [f"{len(new)} of {len(run.services)} services run {run.release.version}"]
    if between:
        said.append(f"{_names(between)} is being changed")
    if back:
        said.append(f"{len(back)} put back")
    return ", ".join(said) + "."


def _names(services: Iterable[ServiceRun]) -> str:
    return ", ".join(one.name for one in services)
