"""Reviewing, applying and fencing database migrations."""

import asyncio
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from temporalio import activity

from activities.heartbeat import Progress, current_progress
from activities.migration_drift import undeclared
from activities.migration_files import Workspaces, copied, read_migrations
from activities.migration_lint import linted
from slipway.errors import ForeignChange, MigrationFailed, MigrationRefused
from slipway.judgements.migration_text import MigrationText
from slipway.judgements.migrations import pending_of, review, unequal
from slipway.judgements.rehearsal import statement_budget
from slipway.messages.migration import (
    ApplyMigrations,
    DatabaseState,
    Fenced,
    FenceDatabase,
    MigrationReview,
    MigrationsApplied,
    ReviewMigrations,
)
from slipway.plan import Database

if TYPE_CHECKING:
    from activities.adapters.postgres.adapter import Postgres
    from activities.adapters.postgres.migrate import Migrating, Ran
    from activities.adapters.project import Project

_GIVES_WAY = {"55P03", "40P01", "40001"}
"""Lock not available, deadlock, serialization failure: nothing was done, trying again is safe."""
_LONGEST_PAUSE = 2.0
_INVALID = (
    "Index {0} is invalid: a CREATE INDEX CONCURRENTLY broke off, no query uses it and every write "
    "maintains it. REINDEX INDEX CONCURRENTLY {0}, or drop it."
)
_NOT_GENERATED = (
    "Whether the schema has changes without a migration was not checked: `migrations.generate` is "
    "empty in the plan."
)


class DatabaseMigrations:
    """The migrations of production, and staging's ledger, which is only read."""

    def __init__(self, postgres: "Postgres", artifacts: Workspaces, project: "Project") -> None:
        """`artifacts` finds the release's workspace, `project` runs its commands."""
        self._postgres = postgres
        self._artifacts = artifacts
        self._project = project

    @activity.defn(name="migrations.review")
    async def review(self, request: ReviewMigrations) -> MigrationReview:
        """Compare journal, production's ledger, staging's ledger and the release's promise; and
        generate migrations anew, which must yield none."""
        root = await asyncio.to_thread(self._artifacts.path, request.release.workspace)
        texts = await read_migrations(root, request.migrations.folder, request.release)
        ledger = request.migrations.ledger
        applied = await self._postgres.ledger(request.database.url, ledger)
        staging = await self._postgres.ledger(request.staging.database, ledger)
        found = review(texts, applied, request.release.pending, staging)
        findings, notes = await linted(self._project, pending_of(texts, applied))
        notes += [_INVALID.format(one) for one in await self._invalid(request.database)]
        found = found.model_copy(
            update={
                "findings": findings,
                "notes": [*found.notes, *notes],
                "refused": [
                    *found.refused,
                    *(one.what for one in findings if one.severity == "refuse"),
                ],
            }
        )
        if not request.migrations.generate:
            return found.model_copy(update={"notes": [*found.notes, _NOT_GENERATED]})
        current_progress().say("generating migrations into a scratch copy, which must yield none")
        refused = await undeclared(self._project, root, request.migrations)
        return found.model_copy(update={"refused": [*found.refused, *refused]})

    async def _invalid(self, database: Database) -> list[str]:
        return (await self._postgres.invalid_indexes(database))[:10]

    @activity.defn(name="migrations.apply")
    async def apply(self, request: ApplyMigrations) -> MigrationsApplied:
        """Apply what is pending by the project's own command; ledger equals journal afterwards.

        Raises Fenced, MigrationRefused before anything is run, MigrationFailed with SQLSTATE.
        """
        root = await asyncio.to_thread(self._artifacts.path, request.release.workspace)
        began = time.monotonic()
        invalid = await self._invalid(request.database)
        async with (
            copied(root) as workspace,
            self._postgres.migrating(request) as work,
        ):
            texts = await read_migrations(workspace, request.migrations.folder, request.release)
            attempts = 0
            if await _something_to_do(request, texts, work):
                attempts = await _apply(request, texts, work, workspace, current_progress())
            state = await work.state(request.migrations.ledger)
            _as_rehearsed(request, state)
        broken = [one for one in await self._invalid(request.database) if one not in invalid]
        if broken:
            raise MigrationFailed(
                f"The migration left {', '.join(broken)} invalid: no query uses such an index.",
                "Take CONCURRENTLY out of the migration, and build the index as administrator.",
            )
        return MigrationsApplied(
            state=state,
            applied_at=datetime.now(UTC),
            seconds=time.monotonic() - began,
            attempts=attempts,
        )

    @activity.defn(name="migrations.fence")
    async def fence(self, request: FenceDatabase) -> Fenced:
        """End every attempt at migrating and refuse later ones."""
        ended, closed = await self._postgres.fence(request.database, request.fence, request.op_id)
        return Fenced(ended_backends=ended, closed_roles=closed)


async def _something_to_do(
    request: ApplyMigrations, texts: list[MigrationText], work: "Migrating"
) -> bool:
    """Check what was reviewed against what stands now; False when it is applied already, by this
    deployment."""
    applied = await work.ledger(request.migrations.ledger)
    pending = pending_of(texts, applied)
    if not pending and not unequal(texts, applied):
        if not request.pending or await work.ours():
            return False
        raise ForeignChange(
            f"The ledger holds the {len(request.pending)} approved migration(s) already, and this "
            "deployment has not applied them.",
            "Find out who migrated the database before you decide: a rollback takes that back too.",
        )
    if [one.hash for one in pending] != [one.hash for one in request.pending]:
        raise ForeignChange(
            f"{len(pending)} migrations are pending, {len(request.pending)} were approved: the "
            "ledger or the workspace has changed since.",
            "Look at who migrated the database, then start again.",
        )
    refused = review(texts, applied, request.release.pending, None).refused
    if refused:
        raise MigrationRefused(
            f"The pending migrations must not be applied: {' '.join(refused[:5])}",
            "Correct the migrations and run them in staging first.",
        )
    await _still_as_rehearsed(request, work)
    return True


async def _still_as_rehearsed(request: ApplyMigrations, work: "Migrating") -> None:
    """Nothing is run on another schema than the one that was rehearsed with."""
    rehearsed = request.rehearsed
    if rehearsed is None:
        return
    now = (await work.state(request.migrations.ledger)).schema_sha256
    if now != rehearsed.schema_before:
        raise ForeignChange(
            "Production's schema is not the one that the migration was rehearsed with: somebody "
            "has changed it since the backup.",
            "Compare it with the restored backup (pg_dump --schema-only), then start again.",
        )


def _as_rehearsed(request: ApplyMigrations, state: DatabaseState) -> None:
    rehearsed = request.rehearsed
    if rehearsed is None or not request.pending or state.schema_sha256 == rehearsed.schema_after:
        return
    raise MigrationFailed(
        f"The migration left production with the schema {state.schema_sha256[:12]}, the rehearsal "
        f"on its backup with {rehearsed.schema_after[:12]}.",
        "Look for what the migration makes dependent on data or time, or who changed the schema.",
    )


async def _apply(
    request: ApplyMigrations,
    texts: list[MigrationText],
    work: "Migrating",
    workspace: Path,
    progress: Progress,
) -> int:
    """Run the command until it succeeds or fails for good; return how many times it ran."""
    plan = request.migrations
    ends = time.monotonic() + plan.deadline
    budget = plan.deadline
    if request.rehearsed is not None:
        budget = statement_budget(request.rehearsed.slowest, plan.deadline)
        if request.slot:
            await work.log_whole(request.slot, request.rehearsed.changed)
    locked = request.rehearsed.locked if request.rehearsed else []
    patience = plan.lock_timeout
    for number in range(1, plan.lock_attempts + 1):
        progress.say(f"{' '.join(plan.command)}: attempt {number} of {plan.lock_attempts}")
        ran = await work.attempt(
            plan.command,
            workspace,
            lock_timeout=patience,
            deadline=max(1.0, ends - time.monotonic()),
            statement=budget,
        )
        left = unequal(texts, await work.ledger(plan.ledger))
        if not left:
            return number  # also when the command was cut off after it had committed
        await work.check_fence()
        if ran.error is None or ran.error.sqlstate not in _GIVES_WAY or ran.code == 0:
            raise _failed(ran, left)
        if time.monotonic() > ends or number == plan.lock_attempts:
            break
        await asyncio.sleep(min(_LONGEST_PAUSE, 0.2 * number))
        patience = await work.patience(locked, plan.lock_timeout)
    raise MigrationFailed(
        f"The migration gave way to other sessions {number} times without getting its locks.",
        "Find the long transaction in pg_stat_activity (or the autovacuum against wraparound, "
        "which gives way to nobody), or choose a quieter hour.",
    )


def _failed(ran: "Ran", left: list[str]) -> MigrationFailed:
    if ran.code == 0:
        what = f"The migration command reports success, but {' '.join(left[:5])}"
    elif ran.error is not None:
        what = f"The migration failed: {ran.error.sentence}."
    else:
        what = f"The migration command failed before PostgreSQL reported an error: {ran.words}."
    return MigrationFailed(what, "Correct the migration and run it in staging first.")
