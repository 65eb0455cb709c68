"""An autovacuum is at work on the table that a migration changes, on a server of the test's own."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from temporalio.testing import ActivityEnvironment

from activities.adapters.fallback import identity
from slipway.errors import MigrationFailed
from slipway.messages.migration import Expected, MigrationsApplied
from tests.integration.data_world import DataWorld, data_world, until
from tests.integration.migration_case import HARMLESS, Case
from tests.integration.own_postgres import OwnPostgres, own_postgres

pytestmark = pytest.mark.stack
SLOWLY = {"autovacuum_vacuum_cost_delay": "100ms", "autovacuum_vacuum_cost_limit": "1"}
"""It rests for 0.4 s after each page that it cleans."""
SOON = "ALTER TABLE users SET (autovacuum_vacuum_threshold = 1)"
_HELD = (
    "SELECT 1 FROM pg_stat_progress_vacuum WHERE datname = current_database()"
    " AND relid = 'public.users'::regclass AND heap_blks_total > 300"
)


@pytest.fixture(scope="module")
def server() -> Iterator[OwnPostgres]:
    with own_postgres(autovacuum_naptime="1s", fsync="off", **SLOWLY) as running:
        yield running


@pytest.fixture
def world(server: OwnPostgres, tmp_path: Path) -> Iterator[DataWorld]:
    """The usual database."""
    with data_world(server.stack, tmp_path) as made:
        yield made


async def _vacuumed(world: DataWorld) -> None:
    """Wait until users, grown to more than 300 pages, is being vacuumed."""
    world.as_owner("UPDATE users SET email = email;" * 20)
    await until(lambda: world.run(_HELD), 300)


async def test_a_migration_waits_until_it_gives_way(
    server: OwnPostgres, world: DataWorld, tmp_path: Path
) -> None:
    (tmp_path / "twin").mkdir()
    with data_world(server.stack, tmp_path / "twin") as twin:
        twin.as_owner(SOON)
        rehearsed = await Case(twin, tmp_path / "twin", [HARMLESS]).apply()
    case = Case(world, tmp_path, [HARMLESS])
    case.plan = case.plan.model_copy(update={"lock_timeout": 0.3, "lock_attempts": 3})
    world.as_owner(SOON)
    before = (await case.state()).schema_sha256
    await _vacuumed(world)

    async def apply(*locked: str) -> MigrationsApplied:
        expected = Expected(
            schema_before=before,
            schema_after=rehearsed.state.schema_sha256,
            slowest=1.0,
            locked=list(locked),
        )
        request = case.request().model_copy(update={"rehearsed": expected})
        return await ActivityEnvironment().run(case.activities.apply, request)

    with pytest.raises(MigrationFailed, match="gave way to other sessions 3 times"):
        await apply()  # as far as it knows, it waits for somebody else
    assert world.run(_HELD), "it was not interrupted"
    assert (await apply("public.users")).attempts in (2, 3)  # it may have come back at once


async def test_what_identifies_rows_is_changed_when_it_gives_way(
    world: DataWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(identity, "_TRIES", 4)
    admin = world.postgres.target(world.database.admin_url)
    target = world.postgres.target(world.database.url)
    world.as_owner(SOON)
    await _vacuumed(world)
    async with world.postgres.session(admin) as control:
        await identity.log_whole(world.postgres, target, control, "a_slot", ["public.users"])
    assert world.run("SELECT relreplident FROM pg_class WHERE oid = 'users'::regclass") == [("f",)]
