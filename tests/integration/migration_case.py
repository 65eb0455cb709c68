"""A production database with a workspace that brings migrations, for the tests of migrating."""

import sys
from pathlib import Path
from typing import Any

from temporalio.testing import ActivityEnvironment

from activities.adapters.project import Project
from activities.migrations import DatabaseMigrations
from devstack.world.database import access
from slipway.messages.migration import (
    ApplyMigrations,
    DatabaseState,
    FenceDatabase,
    MigrationReview,
    MigrationsApplied,
    PendingMigration,
    ReviewMigrations,
)
from slipway.plan import Migrations, Staging
from tests.integration.data_world import (
    FIRST_WHEN,
    DataWorld,
    Folder,
    workspace,
)

HARMLESS = "ALTER TABLE users ADD COLUMN nickname text;"


class Case:
    """A production database with a workspace that brings these migrations."""

    def __init__(self, world: DataWorld, folder: Path, pending: list[str]) -> None:
        self.world = world
        self.release, files = workspace(folder, pending)
        self.activities = DatabaseMigrations(world.postgres, Folder(folder), Project())
        self.plan = Migrations(
            folder="migrations",
            command=[sys.executable, "migrate.py"],
            generate=[],
            lock_timeout=5.0,  # autovacuum may be at the table just then, longer on a slow machine
            lock_attempts=30,
            deadline=60,
        )
        self.pending = [
            PendingMigration(
                tag=file.tag,
                hash=file.sha256,
                when=FIRST_WHEN + (number + 1) * 1000,
                sql=text,
                in_staging=True,
            )
            for number, (file, text) in enumerate(zip(files, pending, strict=True))
        ]

    def request(self, fence: int = 4, op_id: str = "migrate") -> ApplyMigrations:
        return ApplyMigrations(
            deployment=self.world.deployment,
            database=self.world.database,
            migrations=self.plan,
            release=self.release,
            pending=self.pending,
            fence=fence,
            op_id=op_id,
        )

    async def apply(self, fence: int = 4, op_id: str = "migrate") -> MigrationsApplied:
        request = self.request(fence, op_id)
        return await ActivityEnvironment().run(self.activities.apply, request)

    async def fence(self, fence: int = 6, op_id: str = "undo") -> Any:
        request = FenceDatabase(
            deployment=self.world.deployment,
            database=self.world.database,
            fence=fence,
            op_id=op_id,
        )
        return await ActivityEnvironment().run(self.activities.fence, request)

    async def state(self) -> DatabaseState:
        return await self.world.postgres.state(self.world.database, self.plan.ledger)

    async def review(self) -> MigrationReview:
        folder = self.world.folder
        staging = access.url_file(self.world.stack, folder, access.ADMIN, self.world.name)
        request = ReviewMigrations(
            database=self.world.database,
            staging=Staging(namespace="staging", database=f"file:{staging}"),
            migrations=self.plan,
            release=self.release,
        )
        return await ActivityEnvironment().run(self.activities.review, request)

    def roles(self) -> list[Any]:
        """Roles made for attempts that still exist, with their right to log in."""
        with self.world.superuser() as connection:
            return connection.execute(
                "SELECT rolname, rolcanlogin FROM pg_roles WHERE starts_with(rolname, %s)",
                [f"slipway_mig_{self.world.name[-6:]}"],
            ).fetchall()

    def applied_by_hand(self) -> None:
        """Somebody else migrates, as the tool would have."""
        with self.world.superuser() as connection:
            for one in self.pending:
                self.world.as_owner(one.sql)
                connection.execute(
                    "INSERT INTO drizzle.__drizzle_migrations (hash, created_at) VALUES (%s, %s)",
                    [one.hash, one.when],
                )
