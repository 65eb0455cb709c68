"""Putting the data back: without losing a write where that can be, else as a person decides."""

from enum import Enum
from typing import cast

from temporalio import workflow
from temporalio.exceptions import ActivityError

with workflow.unsafe.imports_passed_through():
    from activities.database import DatabaseRollback
    from slipway.judgements.blame import Blame
    from slipway.messages.migration import DatabaseCompared, DatabaseRolledBack, RollBackDatabase
    from slipway.messages.record import RestoreDatabase
    from slipway.run import UndoStep
    from slipway.states import Choice, MigrationState, UndoState
    from slipway.verdicts import Reason, Verdict

from workflows.calls import Call
from workflows.endings import failed, sentence_of
from workflows.options import BEST_EFFORT, UNDO
from workflows.steps import Steps
from workflows.undoing import ask_meanwhile, not_undone, settle, undone

_HERE, _FETCHED = 3600.0, 8 * 3600.0
"""Seconds that putting the database back may take: with its copy on production's server, and with
one that is fetched from another."""


class Wanted(Enum):
    """How the database is to be put back."""

    LEFT = "left"
    LOSSLESS = "lossless"
    """To the old schema with all later writes."""
    BACKUP = "backup"
    """To the backup; later writes are only in the database that is kept."""


async def restore_database(
    steps: Steps, step: UndoStep, undo: RestoreDatabase, wanted: Wanted
) -> None:
    """Put the database back as wanted, or prove that nothing changed; settle the step."""
    run = steps.run
    steps.say("undo:database", "Putting the database back, or proving that nothing changed.")
    step.state = UndoState.RUNNING
    try:
        done = await _database_back(steps, undo, wanted)
    except ActivityError as error:
        await not_undone(steps, step, sentence_of(error))
        return
    if done is None:
        await settle(steps, step, UndoState.LEFT, "left as it is, by a person's decision")
        return
    run.database = done
    for one in run.migrations:
        one.state = MigrationState.ROLLED_BACK
    if not (done.schema_equal and (done.rows_equal or not done.changed)):
        await not_undone(steps, step, done.because)
        return
    await undone(steps, step, done.because)


async def _database_back(
    steps: Steps, undo: RestoreDatabase, wanted: Wanted
) -> DatabaseRolledBack | None:
    """Put it back without losing a write; where that cannot be, a person decides whether to put
    it back to the backup, and about a copy that differs. None: the person leaves it."""
    request = _back_request(steps, undo, lossless=wanted is Wanted.LOSSLESS)
    longest = _FETCHED if steps.run.plan.database.restore_server else _HERE
    while True:
        call = Call(
            DatabaseRollback.roll_back, request, UNDO.lasting(longest), "put the database back"
        )
        try:
            return cast("DatabaseRolledBack", await steps.call(call))
        except ActivityError as error:
            verdict = failed(error)
            if verdict.reason not in _DECIDED_BY_PEOPLE:
                raise
        steps.event(verdict.because)
        if verdict.reason is Reason.FALLBACK_DIFFERS:
            wish = await _differing_instead(steps, verdict)
            request = request.model_copy(update={"accepted": True})
        else:
            wish = await _backup_instead(steps, undo, verdict)
            request = _back_request(steps, undo, lossless=False)
        if not wish:
            return None


_DECIDED_BY_PEOPLE = (Reason.FALLBACK_LOST, Reason.FALLBACK_DIFFERS)


def _back_request(steps: Steps, undo: RestoreDatabase, *, lossless: bool) -> RollBackDatabase:
    run = steps.run
    return RollBackDatabase(
        deployment=run.id,
        database=run.plan.database,
        migrations=run.plan.migrations,
        backup=undo.backup,
        bucket=run.plan.backup.bucket,
        fence=run.lease.undo_fence if run.lease else 0,
        op_id=f"{run.id}/undo:database",
        lossless=lossless,
        catch_up=run.plan.rollback.fallback_catch_up,
        folder=run.place.folder,
    )


async def database_wanted(
    steps: Steps, undo: RestoreDatabase, verdict: Verdict, implicated: Blame
) -> Wanted:
    """Whether and how the plan, or a person where plan or corruption asks for one, wants it back.
    Bad writes never travel unseen: after corruption it goes back to the backup or not at all, and
    what was written since is shown before the person decides."""
    policy = steps.run.plan.rollback
    kept = Wanted.LOSSLESS if policy.fallback != "off" else Wanted.BACKUP
    corrupt = verdict.reason is Reason.DATA_CORRUPTION
    if verdict.reason is Reason.MIGRATION_FAILED or (not corrupt and policy.database == "always"):
        return kept
    if not corrupt and policy.database == "when-implicated":
        return kept if implicated is Blame.MIGRATION else Wanted.LEFT
    if corrupt or kept is Wanted.BACKUP:
        return Wanted.BACKUP if await _backup_instead(steps, undo, verdict) else Wanted.LEFT
    question = (
        "Put the database back to the old schema with all later writes (rollback), "
        "or leave it as it is (stop)?"
    )
    return kept if await _wanted_back(steps, verdict, question) else Wanted.LEFT


async def _backup_instead(steps: Steps, undo: RestoreDatabase, verdict: Verdict) -> bool:
    """Ask whether to put the database back to its backup, which loses the writes since; they are
    shown with the question, by table and key."""
    since = await _since_backup(steps, undo)
    question = (
        "Put the database back to its backup (rollback), which loses later writes, "
        "or leave it for inspection (stop)?"
    )
    return await _wanted_back(steps, verdict, question, since)


async def _differing_instead(steps: Steps, verdict: Verdict) -> bool:
    """Ask whether to swap in a copy whose rows differ from production's, and nothing says why."""
    question = (
        "Swap in the copy all the same (rollback), production's rows are then only in the "
        "database that is kept, or leave it for inspection (stop)?"
    )
    return await _wanted_back(steps, verdict, question)


async def _wanted_back(steps: Steps, verdict: Verdict, question: str, shown: str = "") -> bool:
    """Ask a person to roll back or to stop. `shown`: what is to be known for that."""
    because = f"{question} {verdict.because} {shown}".strip()
    asked = verdict.model_copy(update={"because": because})
    choice = await ask_meanwhile(steps, "undo:database", asked, (Choice.ROLL_BACK, Choice.STOP))
    return choice is Choice.ROLL_BACK


async def _since_backup(steps: Steps, undo: RestoreDatabase) -> str:
    """Return what was written since the backup, in words; a person may decide without, too."""
    steps.say("undo:database", "Comparing production with the backup: what was written since.")
    request = _back_request(steps, undo, lossless=False)
    options = BEST_EFFORT.lasting(3600)  # the question must not wait for it for long
    call = Call(DatabaseRollback.compare, request, options, "compare production with the backup")
    try:
        found = cast("DatabaseCompared", await steps.call(call))
    except ActivityError as error:
        return f"What was written since the backup could not be told: {sentence_of(error)}"
    steps.event(found.because)
    return found.because
