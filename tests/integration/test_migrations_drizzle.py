"""The playbook's own command (`pnpm db:migrate`) through slipway, on the TEEI schema."""

import hashlib
import os
from collections.abc import Iterator
from pathlib import Path
from uuid import uuid4

import pytest
from temporalio.testing import ActivityEnvironment

from activities.adapters.postgres.adapter import Postgres
from activities.adapters.project import Project
from activities.migrations import DatabaseMigrations
from devstack.stack import Stack
from devstack.world import drizzle, node
from devstack.world.database import access, copies
from slipway.errors import MigrationFailed
from slipway.messages.migration import (
    ApplyMigrations,
    DatabaseState,
    MigrationReview,
    MigrationsApplied,
    ReviewMigrations,
)
from slipway.plan import Database, Migrations, Staging
from slipway.release import MigrationFile, MigrationSet
from tests.integration.data_world import Folder

pytestmark = pytest.mark.stack


@pytest.fixture
def production(stack: Stack, tmp_path: Path) -> Iterator[tuple[Database, Staging]]:
    """A production and a staging database with the TEEI schema and little data."""
    name = f"m{uuid4().hex[:10]}"
    copies.ensure_production(stack, name, 10)
    copies.ensure_staging(stack, f"{name}_staging", 10)
    url = f"file:{access.url_file(stack, tmp_path, access.ADMIN, name)}"
    admin = f"file:{access.url_file(stack, tmp_path, access.ADMIN, access.CONTROL)}"
    staging = access.url_file(stack, tmp_path, access.STAGING, f"{name}_staging")
    yield (
        Database(name=name, url=url, admin_url=admin, probe_url=url, owner=access.OWNER),
        Staging(namespace="staging", database=f"file:{staging}"),
    )
    copies.drop_all(stack, name)


class Case:
    """A release that brings one of the pending sets."""

    def __init__(
        self, stack: Stack, folder: Path, databases: tuple[Database, Staging], pending: str
    ) -> None:
        self.stack = stack
        self.database, self.staging = databases
        self.workspace = folder / "workspace"
        tags = drizzle.prepare(stack, self.workspace, pending)
        digests = drizzle.file_digests(self.workspace, tags)
        journal = (self.workspace / drizzle.JOURNAL).read_bytes()
        self.release = MigrationSet(
            workspace="artifact:workspace",
            journal_sha256=hashlib.sha256(journal).hexdigest(),
            pending=[MigrationFile(tag=tag, sha256=digests[tag]) for tag in tags],
        )
        self.postgres = Postgres(Path(stack.pg_bin))
        self.activities = DatabaseMigrations(self.postgres, Folder(folder), Project())

    async def review(self) -> MigrationReview:
        request = ReviewMigrations(
            database=self.database,
            staging=self.staging,
            migrations=Migrations(),
            release=self.release,
        )
        return await ActivityEnvironment().run(self.activities.review, request)

    async def approved(self) -> ApplyMigrations:
        """Review, and return what approval of the pending migrations leads to."""
        review = await self.review()
        assert review.refused == []
        return ApplyMigrations(
            deployment="test-20261123T202134Z-abc123",
            database=self.database,
            migrations=Migrations(),
            release=self.release,
            pending=review.pending,
            fence=4,
            op_id="migrate",
        )

    async def apply(self, request: ApplyMigrations) -> MigrationsApplied:
        return await ActivityEnvironment().run(self.activities.apply, request)

    async def state(self) -> DatabaseState:
        return await self.postgres.state(self.database, Migrations().ledger)


@pytest.fixture
def with_pnpm(stack: Stack, monkeypatch: pytest.MonkeyPatch) -> None:
    """Find pnpm where the worker runs."""
    monkeypatch.setenv("PATH", f"{node.pnpm(stack).parent}{os.pathsep}{os.environ['PATH']}")


@pytest.mark.usefixtures("with_pnpm")
async def test_pending_migrations_are_applied(
    stack: Stack, tmp_path: Path, production: tuple[Database, Staging]
) -> None:
    case = Case(stack, tmp_path, production, "three")
    drizzle.migrate(stack, case.workspace, f"{case.database.name}_staging")
    request = await case.approved()
    applied = await case.apply(request)
    assert len(applied.state.ledger) == 5
    again = await case.apply(request)
    assert (again.attempts, again.state) == (0, applied.state)


@pytest.mark.usefixtures("with_pnpm")
async def test_failure_on_productions_data_is_told_with_sqlstate(
    stack: Stack, tmp_path: Path, production: tuple[Database, Staging]
) -> None:
    case = Case(stack, tmp_path, production, "fails")
    drizzle.migrate(stack, case.workspace, f"{case.database.name}_staging")
    request, before = await case.approved(), await case.state()
    with pytest.raises(MigrationFailed, match=r"SQLSTATE 23505.*users_email_lower_idx"):
        await case.apply(request)
    assert await case.state() == before


@pytest.mark.usefixtures("with_pnpm")
async def test_a_schema_changed_without_a_migration_is_refused(
    stack: Stack, tmp_path: Path, production: tuple[Database, Staging]
) -> None:
    case = Case(stack, tmp_path, production, "drift")
    drizzle.migrate(stack, case.workspace, f"{case.database.name}_staging")
    (said,) = (await case.review()).refused
    assert "changes without a migration" in said
    assert 'ADD COLUMN "summary"' in said
