"""2½. Rehearsal: pending migrations run on a copy of the restored backup before approval."""

from temporalio import workflow

with workflow.unsafe.imports_passed_through():
    from activities.rehearsals import Rehearsals
    from slipway.approvals import unapproved_findings
    from slipway.judgements.corruption import of_itself
    from slipway.judgements.rehearsal import summary
    from slipway.messages.rehearsal import Rehearsal, RehearseMigrations
    from slipway.run import Run
    from slipway.states import ItemState
    from slipway.verdicts import Reason

from workflows.calls import Call
from workflows.options import LONG
from workflows.phases.approval import approval
from workflows.phases.preflight import stop
from workflows.steps import Steps


async def rehearse(steps: Steps) -> None:
    """Rehearse what is pending on the backup that was just taken; what fails there stops the run
    before production is touched."""
    run = steps.run
    if not run.migrations:
        return
    number = run.backups_taken
    seen: Rehearsal = await steps.forward(
        "rehearse",
        f"Rehearsing {len(run.migrations)} migration(s) on a copy of the restored backup.",
        lambda: Call(
            Rehearsals.rehearse,
            _request(run),
            LONG,
            f"rehearsal {number}: forward, back, forward",
        ),
    )
    run.rehearsal = seen
    for sentence in summary(seen):
        steps.event(sentence)
    await _keep(steps, seen, number)
    if seen.refused:
        stop(steps, Reason.REHEARSAL_FAILED, " ".join(one.what for one in seen.refused))


async def approved_anew(steps: Steps) -> bool:
    """Ask again when the rehearsal on a backup taken again found something that approvers must
    know and did not; return whether they were asked."""
    run = steps.run
    news = unapproved_findings(run)
    if not news:
        return False
    phase = run.phase
    steps.event(f"Approval is asked for again: {' '.join(one.what for one in news)}")
    await approval(steps)
    steps.enter(phase)
    return True


def _request(run: Run) -> RehearseMigrations:
    if run.backup is None or run.preflight is None:
        raise RuntimeError("rehearsing needs the backup and the review")
    return RehearseMigrations(
        deployment=run.id,
        database=run.plan.database,
        migrations=run.plan.migrations,
        release=run.release.migrations,
        pending=run.preflight.migrations.pending,
        corruption=of_itself(run.plan.corruption),
        backup_key=run.backup.key,
        taken_at=run.backup.taken_at,
        side_database=run.backup.side_database,
        schema_sha256=run.backup.schema_sha256,
        tag=str(run.backups_taken),
        followed=run.backup.fallback is not None,
    )


async def _keep(steps: Steps, seen: Rehearsal, number: int) -> None:
    """Keep the rehearsal with the review: both prove that migrations were looked at."""
    kept = await steps.keep(f"rehearsal-{number}.json", seen)
    for line in steps.run.checklist:
        if line.item == "migrations" and line.state is ItemState.DONE:
            line.artefacts = [*line.artefacts, kept]
