"""5. Migrate: under lock and fence, then watch the services that still run the old code."""

from temporalio import workflow

with workflow.unsafe.imports_passed_through():
    from activities.migrations import DatabaseMigrations
    from slipway.messages.migration import ApplyMigrations, MigrationsApplied
    from slipway.messages.record import RestoreDatabase
    from slipway.run import Run
    from slipway.states import MigrationState, Phase

from workflows.calls import Call
from workflows.options import MIGRATE
from workflows.steps import Steps
from workflows.watching import watch


async def migrate(steps: Steps) -> None:
    """Apply the pending migrations, if any."""
    steps.enter(Phase.MIGRATE)
    run = steps.run
    if not run.migrations:
        steps.event("No migration is pending.")
        return
    for one in run.migrations:
        one.state = MigrationState.FAILED  # until the ledger proves otherwise
    applied: MigrationsApplied = await steps.forward(
        "migrate",
        f"Applying {len(run.migrations)} migration(s): the project's own command.",
        lambda: Call(
            DatabaseMigrations.apply,
            _request(steps),
            MIGRATE.lasting(run.plan.migrations.deadline),
            f"apply {len(run.migrations)} migration(s)",
        ),
        undo=lambda: _undo(run),
    )
    for one in run.migrations:
        one.state = MigrationState.APPLIED
    await steps.note("done", "migrate", {"applied_at": applied.applied_at.isoformat()})
    steps.event(f"Applied {len(run.migrations)} migration(s) in {applied.seconds:.1f} s.")
    await watch(steps, "watch:migration", run.plan.scale(run.plan.migrations.watch))


def _undo(run: Run) -> RestoreDatabase:
    if run.backup is None:
        raise RuntimeError("migrating needs a backup")
    return RestoreDatabase(backup=run.backup)


def _request(steps: Steps) -> ApplyMigrations:
    run = steps.run
    if run.lease is None or run.preflight is None:
        raise RuntimeError("migrating needs the lease and the review")
    fallback = run.backup.fallback if run.backup else None
    return ApplyMigrations(
        deployment=run.id,
        database=run.plan.database,
        migrations=run.plan.migrations,
        release=run.release.migrations,
        pending=run.preflight.migrations.pending,
        fence=run.lease.do_fence,
        op_id=f"{run.id}/migrate",
        rehearsed=run.rehearsal.expected if run.rehearsal else None,
        slot=fallback.slot if fallback else "",
    )
