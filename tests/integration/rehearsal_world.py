"""A restored backup, a workspace that brings migrations, and rehearsals of them."""

import sys
from pathlib import Path
from typing import Any

from temporalio.testing import ActivityEnvironment

from activities.adapters.project import Project
from activities.backups import Backups
from activities.migrations import DatabaseMigrations
from activities.rehearsals import Rehearsals
from slipway.messages.migration import ApplyMigrations, MigrationsApplied, PendingMigration
from slipway.messages.record import BackupTaken
from slipway.messages.rehearsal import Rehearsal, RehearseMigrations
from slipway.plan import CorruptionProbe, Migrations, ReadCheck
from tests.integration.data_world import FIRST_WHEN, DataWorld, Folder, workspace


class Rehearsed:
    """A production database whose backup is restored, and what a release brings."""

    def __init__(self, world: DataWorld, folder: Path, pending: list[str], **plan: Any) -> None:
        self.world = world
        self.release, files = workspace(folder, pending)
        self.activities = Rehearsals(world.postgres, Folder(folder))
        self.real = DatabaseMigrations(world.postgres, Folder(folder), Project())
        self.plan = Migrations(
            folder="migrations",
            command=[sys.executable, "migrate.py"],
            generate=[],
            deadline=60,
            **plan,
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
        self.probes: list[CorruptionProbe] = []
        self.backup: BackupTaken | None = None

    async def take(self) -> BackupTaken:
        """Take the backup once."""
        if self.backup is None:
            backups = Backups(self.world.postgres, self.world.store)
            self.backup = await ActivityEnvironment().run(backups.take, self.world.take())
        return self.backup

    async def request(self) -> RehearseMigrations:
        """What the workflow would ask."""
        backup = await self.take()
        return RehearseMigrations(
            deployment=self.world.deployment,
            database=self.world.database,
            migrations=self.plan,
            release=self.release,
            pending=self.pending,
            corruption=self.probes,
            backup_key=backup.key,
            taken_at=backup.taken_at,
            side_database=backup.side_database,
            schema_sha256=backup.schema_sha256,
            tag="1",
        )

    async def rehearse(self) -> Rehearsal:
        """Rehearse as the workflow would."""
        request = await self.request()
        return await ActivityEnvironment().run(self.activities.rehearse, request)

    def to_apply(self, seen: Rehearsal | None = None) -> ApplyMigrations:
        """What the workflow would ask of production."""
        return ApplyMigrations(
            deployment=self.world.deployment,
            database=self.world.database,
            migrations=self.plan,
            release=self.release,
            pending=self.pending,
            fence=4,
            op_id="migrate",
            rehearsed=seen.expected if seen else None,
        )

    async def apply(self, seen: Rehearsal | None = None) -> MigrationsApplied:
        """Apply to production, as rehearsed."""
        return await ActivityEnvironment().run(self.real.apply, self.to_apply(seen))

    def read_check(self, name: str, sql: str) -> None:
        """Add a read check of services on old code."""
        checks = [*self.plan.read_checks, ReadCheck(name=name, sql=sql)]
        self.plan = self.plan.model_copy(update={"read_checks": checks})

    def left(self) -> list[Any]:
        """Copies and roles that a rehearsal left behind."""
        with self.world.superuser("postgres") as connection:
            roles = connection.execute(
                "SELECT rolname FROM pg_roles WHERE starts_with(rolname, %s)",
                [f"slipway_reh_{self.world.name[-6:]}"],
            ).fetchall()
        copies = [one for one in self.world.databases() if one.endswith("r")]
        return [*copies, *roles]
