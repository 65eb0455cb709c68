"""What state production is in because of a run, in a sentence or two."""

from slipway.base import utc_text
from slipway.course import found_after
from slipway.run import Run
from slipway.states import MigrationState, Outcome, Phase, ServiceState
from slipway.status import StatusDocument, status_of

_NEW = {ServiceState.SETTLING, ServiceState.WATCHING, ServiceState.DEPLOYED}
_BETWEEN = {ServiceState.ROLLING_OUT, ServiceState.REVERTING, ServiceState.REVERT_FAILED}

_UNTOUCHED = {
    Outcome.REJECTED: "was rejected",
    Outcome.EXPIRED: "expired before it was approved",
    Outcome.STOPPED: "was stopped before any change",
}


def standing(run: Run) -> str:
    """Return what this run has changed in production so far, at most 1,000 characters."""
    if not run.changed:
        return "Nothing in production has been changed."
    return _changed(status_of(run))


def production_now(status: StatusDocument, *, cut_off: bool = False) -> str:
    """Return in one sentence what state production is in. `cut_off`: the run has ended without
    finishing, or nobody knows whether it goes on."""
    environment, release = status.environment, status.release
    if status.outcome is Outcome.DEPLOYED:
        return _deployed(status)
    if status.outcome is Outcome.ROLLED_BACK:
        return _rolled_back(status)
    if status.outcome is Outcome.ROLLBACK_INCOMPLETE:
        return _incomplete(status)
    if status.outcome in _UNTOUCHED:
        because = f" {status.verdict.because}" if status.verdict else ""
        return f"{environment} was not changed: {release} {_UNTOUCHED[status.outcome]}.{because}"
    if cut_off:
        return _cut_off(status)
    return _running(status)


def _deployed(status: StatusDocument) -> str:
    applied = sum(one.state is MigrationState.APPLIED for one in status.migrations)
    migrated = f", {_count(applied, 'migration')} applied" if applied else ", no migration"
    accepted = sum(len(one.notes) for one in status.services)
    noted = f" {_count(accepted, 'finding')} accepted." if accepted else ""
    return (
        f"{status.environment} runs {status.release}: {_count(len(status.services), 'service')} "
        f"replaced{migrated}, verified and watched.{noted}"
    )


def _rolled_back(status: StatusDocument) -> str:
    reverted = sum(one.state is ServiceState.REVERTED for one in status.services)
    services = (
        f"{_count(reverted, 'service')} serve{'s' if reverted == 1 else ''} the former image again"
        if reverted
        else "no service had been replaced"
    )
    left = [one for one in status.undo if one.left]
    if left:
        return (
            f"The services of {status.environment} are back as before {status.release}, its data "
            f"is not: {services}, the database was {left[0].because}."
        )
    return (
        f"{status.environment} is back as it was before {status.release}: {services}, "
        f"{_database(status)}."
    )


def _database(status: StatusDocument) -> str:
    if status.lossless:
        aside = f"; {_count(status.conflicts, 'row')} did not fit" if status.conflicts else ""
        return f"the database has its old schema again with every later write{aside}"
    if status.lost_writes is not None:
        lost = sum(status.lost_writes.values())
        taken = f" of {utc_text(status.backup.taken_at)}" if status.backup else ""
        missing = f"{_count(lost, 'row')} written since {'is' if lost == 1 else 'are'} lost from it"
        return f"the database is the backup{taken} again; {missing if lost else 'no row is lost'}"
    if any(one.of_database for one in status.undo):
        return "the database was proved unchanged"
    return "the database had not been touched"


def _incomplete(status: StatusDocument) -> str:
    left = [one.step for one in status.undo if not one.is_back]
    found = found_after(status)
    what = (
        f"{len(left)} of {_count(len(status.undo), 'change')} not put back ({', '.join(left)})"
        if left or not found
        else f"every change was put back, but {found}"
    )
    return f"{status.environment} is NOT back as it was before {status.release}: {what}."


def _cut_off(status: StatusDocument) -> str:
    begun = [one.step for one in status.undo if not one.is_back]
    if not begun:
        return f"{status.environment} was not changed as far as the record tells."
    return (
        f"{status.environment} may stand between two releases: the run of {status.release} was cut "
        f"off after it had begun {_count(len(begun), 'change')} ({', '.join(begun)})."
    )


def _running(status: StatusDocument) -> str:
    environment, release = status.environment, status.release
    if status.phase is Phase.ROLL_BACK:
        back = sum(one.is_back for one in status.undo)
        return (
            f"{environment} is being put back as it was before {release}: {back} of "
            f"{_count(len(status.undo), 'change')} undone so far."
        )
    if not status.undo:
        return f"{environment} is not changed so far: {release} is in phase {status.phase.value}."
    return f"{environment} stands between two releases. {_changed(status)}"


def _changed(status: StatusDocument) -> str:
    parts = [_of_migrations(status), _of_services(status)]
    return " ".join(part for part in parts if part)[:1000]


def _of_migrations(status: StatusDocument) -> str:
    states = {one.state for one in status.migrations}
    if not states or states == {MigrationState.PENDING}:
        return ""
    if states == {MigrationState.APPLIED}:
        return f"{len(status.migrations)} migration(s) are applied."
    if states == {MigrationState.ROLLED_BACK}:
        return "The database is back as it was."
    return "The migration is under way or has failed; the ledger tells."


def _of_services(status: StatusDocument) -> str:
    new = sum(one.state in _NEW for one in status.services)
    between = [one.name for one in status.services if one.state in _BETWEEN]
    back = sum(one.state is ServiceState.REVERTED for one in status.services)
    said = [f"{new} of {len(status.services)} services run {status.release}"]
    if between:
        said.append(f"{', '.join(between)} is being changed")
    if back:
        said.append(f"{back} put back")
    return ", ".join(said) + "."


def _count(number: int, what: str) -> str:
    return f"{number:,} {what}" if number == 1 else f"{number:,} {what}s"
