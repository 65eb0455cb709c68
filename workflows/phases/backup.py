"""2. Backup: mandatory, with or without migrations, and proved to restore."""

from temporalio import workflow

with workflow.unsafe.imports_passed_through():
    from activities.backups import Backups
    from slipway.messages.backup import TakeBackup
    from slipway.messages.record import Artefact, BackupTaken
    from slipway.run import Run
    from slipway.states import Phase

from workflows.calls import Call
from workflows.keeping import keep_backup
from workflows.options import LONG
from workflows.phases.rehearse import rehearse
from workflows.steps import Steps


async def back_up(steps: Steps) -> None:
    """Take the backup that approvers will see."""
    steps.enter(Phase.BACKUP)
    await take_backup(steps)


async def take_backup(steps: Steps) -> None:
    """Take a backup, prove it, rehearse pending migrations on it, and keep it as the one this run
    relies on."""
    run = steps.run
    run.backups_taken += 1
    tag = str(run.backups_taken)
    backup: BackupTaken = await steps.forward(
        "backup",
        "Dumping, reading back, restoring into a side database, comparing, storing.",
        lambda: Call(
            Backups.take,
            TakeBackup(
                deployment=run.id,
                database=run.plan.database,
                backup=run.plan.backup,
                requester=run.requester,
                attempt_tag=tag,
                follow=_followed(run),
            ),
            LONG,
            f"backup {tag}: dump, restore, compare, store",
        ),
    )
    run.backup = backup
    proof = Artefact(
        name="backup",
        key=backup.key,
        sha256=backup.sha256,
        size=backup.size,
        at=backup.taken_at,
    )
    run.tick("backup", at=backup.taken_at, by="slipway", artefacts=[proof])
    steps.event(
        f"Backup {backup.key}: {backup.rows} rows in {len(backup.tables)} tables, "
        "restored and equal."
    )
    if backup.no_fallback:
        steps.event(f"The restored copy does not follow production: {backup.no_fallback}")
    await rehearse(steps)
    await keep_backup(steps, backup)  # it follows from here on: a copy of it needs it at rest


def _followed(run: Run) -> str:
    """The ledger, where migrations are at stake and the plan wants later writes to survive."""
    if not run.migrations or run.plan.rollback.fallback == "off":
        return ""
    return run.plan.migrations.ledger
