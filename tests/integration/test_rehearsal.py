"""Pending migrations rehearsed on copies of a restored backup, on the real server."""

import asyncio
import sys
from pathlib import Path
from typing import Any

import psycopg
import pytest
from temporalio.testing import ActivityEnvironment

from activities.adapters.postgres import rehearse as postgres_rehearse
from activities.adapters.postgres.control import Attempt
from activities.adapters.postgres.rehearse import Rehearsing
from devstack.layout import CHECKOUT
from devstack.world.database import access
from slipway.errors import ForeignChange, MigrationFailed, SlipwayError
from slipway.judgements import rehearsal as judgement
from slipway.messages.rehearsal import Rehearsal, TableTouched
from slipway.plan import CorruptionProbe
from tests.integration.data_world import DataWorld, until
from tests.integration.rehearsal_world import Rehearsed

pytestmark = pytest.mark.stack


def of(seen: Rehearsal, table: str) -> TableTouched:
    """Return what the rehearsal says about a table."""
    return next(one for one in seen.tables if one.table == table)


def named(seen: Rehearsal) -> dict[str, str]:
    """Return the findings: name to severity."""
    return {one.name: one.severity for one in seen.findings}


def besides_locks(seen: Rehearsal) -> dict[str, str]:
    """Return the findings that do not depend on how fast the machine is."""
    return {name: one for name, one in named(seen).items() if not name.startswith("locks-")}


async def test_a_harmless_migration_is_rehearsed_twice_and_production_gets_the_same_schema(
    world: DataWorld, tmp_path: Path
) -> None:
    case = Rehearsed(
        world,
        tmp_path,
        [
            "ALTER TABLE users ADD COLUMN nickname text;",
            "CREATE TABLE gifts (id serial PRIMARY KEY); INSERT INTO gifts DEFAULT VALUES;",
        ],
    )
    side = (await case.take()).side_database
    seen = await case.rehearse()
    assert (seen.error, seen.broken, seen.refused) == ("", [], [])
    assert seen.schema_after == seen.schema_again != seen.schema_before
    assert seen.schema_before == (await case.take()).schema_sha256
    assert "+    nickname text" in seen.schema_diff
    assert of(seen, "public.gifts").change == "new"
    assert of(seen, "public.users").changed_columns == []
    (lock,) = seen.locks
    assert (lock.table, lock.mode) == ("public.users", "AccessExclusiveLock")
    assert "ALTER TABLE users" in lock.statement
    assert case.left() == []
    assert world.databases() == [world.name, side]
    applied = await case.apply(seen)
    assert applied.state.schema_sha256 == seen.schema_after


async def test_a_failing_migration_is_told_and_production_is_not_touched(
    world: DataWorld, tmp_path: Path
) -> None:
    case = Rehearsed(world, tmp_path, ["ALTER TABLE users ADD CHECK (id > 5);"])
    before = await world.postgres.state(world.database, case.plan.ledger)
    seen = await case.rehearse()
    assert seen.error.startswith("SQLSTATE 23514: ")
    assert besides_locks(seen) == {"rehearsal-failed migrations": "refuse"}
    assert await world.postgres.state(world.database, case.plan.ledger) == before
    assert case.left() == []


async def test_locks_are_told_with_table_mode_and_length(
    world: DataWorld, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(judgement, "NOTICED", 3.0)  # a busy machine commits in less
    long = "ALTER TABLE users ADD COLUMN x int; SELECT pg_sleep(3.2); ALTER TABLE users DROP x;"
    case = Rehearsed(
        world,
        tmp_path,
        [
            f"{long}\n--> statement-breakpoint\nCREATE INDEX what ON keyless (what);",
            "UPDATE orders SET user_id = user_id;",
        ],
    )
    seen = await case.rehearse()
    held = {one.table: one for one in seen.locks}
    assert held["public.users"].mode == "AccessExclusiveLock"
    assert held["public.users"].seconds >= 3.2
    assert held["public.keyless"].mode == "ShareLock"
    assert held["public.orders"].mode == "RowExclusiveLock"
    assert held["public.keyless"].seconds < held["public.users"].seconds
    assert named(seen)["locks-reads public.users"] == "block"
    short = held["public.keyless"].seconds < 3.0  # unless the machine stood still over it
    assert named(seen)["locks-writes public.keyless"] == ("note" if short else "block")
    (said,) = [one.what for one in seen.findings if one.rule == "locks-reads"]
    assert said.startswith("ACCESS EXCLUSIVE is held on public.users (0.")
    assert f"2,000 rows) for {held['public.users'].seconds:.1f} s" in said
    assert seen.slowest >= 3.2
    assert of(seen, "public.orders").updated == 500
    assert of(seen, "public.orders").changed_columns == []


async def test_what_became_of_each_table_and_of_its_old_columns(
    world: DataWorld, tmp_path: Path
) -> None:
    world.as_owner(
        "CREATE TABLE away (id int PRIMARY KEY); CREATE TABLE moved (id int PRIMARY KEY, a text);"
        "INSERT INTO moved VALUES (1, 'x'), (2, 'y');"
        "CREATE TABLE swapped (id int PRIMARY KEY, a text);"
        "INSERT INTO swapped VALUES (1, 'x'), (2, 'y');"
        "CREATE TABLE again (id int PRIMARY KEY, a text); INSERT INTO again VALUES (1, 'x');"
        "CREATE TABLE emptied (id int PRIMARY KEY); INSERT INTO emptied VALUES (1);"
        "CREATE TABLE grown (id int PRIMARY KEY); INSERT INTO grown VALUES (1);"
    )
    case = Rehearsed(
        world,
        tmp_path,
        [
            "DROP TABLE away; ALTER TABLE moved RENAME TO elsewhere;"
            "UPDATE swapped SET a = CASE a WHEN 'x' THEN 'y' ELSE 'x' END;"
            "CREATE TABLE fresh (id int PRIMARY KEY, a text);"
            "INSERT INTO fresh SELECT id, upper(a) FROM again; DROP TABLE again;"
            "ALTER TABLE fresh RENAME TO again;"
            "TRUNCATE emptied; INSERT INTO grown VALUES (2);"
            "ALTER TABLE orders ALTER COLUMN user_id TYPE text USING user_id::text || '!';"
            "ALTER TABLE users DROP COLUMN photo, ADD COLUMN nickname text;"
            "UPDATE users SET nickname = email;"
        ],
    )
    world.as_owner("ALTER TABLE orders DROP CONSTRAINT orders_user_id_fkey")
    seen = await case.rehearse()
    assert (seen.error, seen.refused) == ("", [])
    assert of(seen, "public.away").change == "dropped"
    assert of(seen, "public.moved").change == "renamed"
    assert of(seen, "public.moved").renamed_to == "public.elsewhere"
    assert of(seen, "public.moved").changed_columns == []
    assert of(seen, "public.swapped").changed_columns == ["a"]
    assert of(seen, "public.again").change == "recreated"
    assert of(seen, "public.again").changed_columns == ["a"]
    assert of(seen, "public.emptied").changed_columns == ["id"]
    assert of(seen, "public.emptied").rewritten
    assert of(seen, "public.orders").rewritten
    assert of(seen, "public.orders").changed_columns == ["user_id"]
    users = of(seen, "public.users")
    assert (users.dropped_columns, users.changed_columns) == (["photo"], [])
    assert users.updated == 2000
    found = named(seen)
    for rule in (
        "drop-table public.away",
        "rename-table public.moved",
        "recreate-table public.again",
        "drop-column public.users",
        "changes-data public.swapped",
        "changes-data public.orders",
        "changes-data public.emptied",
    ):
        assert found[rule] == "block", rule
    assert found["adds-rows public.grown"] == "note"
    assert found["writes-rows public.users"] == "note"


async def test_read_checks_and_probes_that_break_are_refused(
    world: DataWorld, tmp_path: Path
) -> None:
    case = Rehearsed(
        world, tmp_path, ["ALTER TABLE users RENAME COLUMN email TO mail; DELETE FROM orders;"]
    )
    case.read_check("mails", "SELECT email FROM users LIMIT 1")
    case.read_check("names", "SELECT id, balance FROM users LIMIT 1")
    case.read_check("never", "SELECT nothing FROM nowhere")
    case.read_check("writes", "INSERT INTO keyless VALUES ('no')")
    case.probes = [
        CorruptionProbe(name="orders", sql="SELECT count(*) > 0 FROM orders"),
        CorruptionProbe(name="users", sql="SELECT count(*) > 0 FROM users"),
    ]
    seen = await case.rehearse()
    broken = [one.about for one in seen.refused]
    assert broken == ["mails", "orders"]
    assert 'column "email" does not exist' in seen.broken[0]
    assert len([one for one in seen.notes if "fails on the backup already" in one]) == 2


async def test_what_depends_on_chance_is_refused(world: DataWorld, tmp_path: Path) -> None:
    chance = (
        "DO $$ BEGIN EXECUTE format('CREATE TABLE t%s (id int)',"
        " (extract(epoch FROM clock_timestamp()) * 1000)::bigint); END $$;"
    )
    seen = await Rehearsed(world, tmp_path, [chance]).rehearse()
    assert [one.rule for one in seen.refused] == ["not-repeatable"]


async def test_what_reaches_production_from_the_copy_is_noticed(
    world: DataWorld, tmp_path: Path
) -> None:
    reaches = f"DO $$ BEGIN EXECUTE 'GRANT CONNECT ON DATABASE {world.name} TO teei_probe'; END $$;"
    seen = await Rehearsed(world, tmp_path, [reaches]).rehearse()
    assert [one.rule for one in seen.refused] == ["production-touched"]


class Frozen:
    """Holds a rehearsal in the middle of its migration and gives out its role."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.attempts: list[Attempt] = []
        real = Rehearsing._open

        async def noting(place: Rehearsing, deadline: float) -> Attempt:
            attempt = await real(place, deadline)
            self.attempts.append(attempt)
            return attempt

        monkeypatch.setattr(postgres_rehearse.Rehearsing, "_open", noting)


SLEEPS = "ALTER TABLE users ADD COLUMN x int;\n--> statement-breakpoint\nSELECT pg_sleep(600);"


async def sleeping(world: DataWorld) -> None:
    """Wait until the migration sleeps in its copy."""
    await until(lambda: any(one[3] == "PgSleep" for one in world.sessions()))


async def test_the_role_reaches_the_copy_and_neither_production_nor_any_other_database(
    world: DataWorld, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    case = Rehearsed(world, tmp_path, [SLEEPS])
    await case.take()
    frozen = Frozen(monkeypatch)
    rehearsing = asyncio.create_task(case.rehearse())
    await sleeping(world)
    (attempt,) = frozen.attempts
    (copy,) = [one for one in world.databases() if one.endswith("r")]
    with connect(world, attempt, copy) as inside:
        assert inside.execute("SELECT current_user::text").fetchone() == (access.OWNER,)
    for other in (world.name, access.CONTROL):
        with pytest.raises(psycopg.OperationalError, match="permission denied for database"):
            connect(world, attempt, other)
    rehearsing.cancel()
    with pytest.raises(asyncio.CancelledError):
        await rehearsing
    assert case.left() == []
    with pytest.raises(psycopg.OperationalError):
        connect(world, attempt, "postgres")


def connect(world: DataWorld, attempt: Attempt, database: str) -> psycopg.Connection[Any]:
    """Log in directly, past the relay."""
    return psycopg.connect(
        host=world.stack.pg_host,
        port=world.stack.pg_port,
        user=attempt.role,
        password=attempt.password,
        dbname=database,
        connect_timeout=60,
    )


OTHER = """
import os, sys, psycopg
try:
    psycopg.connect(os.environ["DATABASE_URL"], dbname="postgres")
except psycopg.OperationalError as error:
    sys.exit(str(error))
"""


async def test_the_relay_lets_nothing_through_to_another_database(
    world: DataWorld, tmp_path: Path
) -> None:
    case = Rehearsed(world, tmp_path, ["SELECT 1;"])
    (tmp_path / "workspace" / "other.py").write_text(OTHER)
    case.plan = case.plan.model_copy(update={"command": [sys.executable, "other.py"]})
    seen = await case.rehearse()
    assert "may be reached here" in seen.error


SLEEPS_UNLESS = """
import os, pathlib, runpy, psycopg
if not pathlib.Path("{mark}").exists():
    with psycopg.connect(os.environ["DATABASE_URL"]) as connection:
        connection.execute("LOCK TABLE users")
        connection.execute("SELECT pg_sleep(600)")
runpy.run_path("migrate.py")
"""


async def test_a_worker_killed_in_mid_rehearsal_leaves_nothing_behind_the_next_attempt(
    world: DataWorld, tmp_path: Path
) -> None:
    case = Rehearsed(world, tmp_path, ["ALTER TABLE users ADD COLUMN nickname text;"])
    mark = tmp_path / "killed"
    (tmp_path / "workspace" / "sleeps.py").write_text(SLEEPS_UNLESS.format(mark=mark))
    case.plan = case.plan.model_copy(update={"command": [sys.executable, "sleeps.py"]})
    asked = tmp_path / "request.json"
    asked.write_text((await case.request()).model_dump_json())
    module = "tests.integration.rehearse_process"
    worker = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", module, str(tmp_path), str(asked), world.stack.pg_bin),
        cwd=CHECKOUT,
    )
    await sleeping(world)
    worker.kill()
    await worker.wait()
    assert len(case.left()) == 2, "copy and role still stand"

    mark.touch()
    seen = await case.rehearse()
    assert seen.refused == []
    assert case.left() == []
    await until(lambda: not any(one[0].endswith("r") for one in world.sessions()))


async def _nothing(_: Rehearsing) -> None:
    """What a killed worker does to clean up."""


async def test_whoever_drops_a_forgotten_copy_drops_its_role_too(
    world: DataWorld, tmp_path: Path
) -> None:
    case = Rehearsed(world, tmp_path, ["SELECT 1;"])
    request = await case.request()
    copy = f"{world.name}_slipway_{world.deployment[-6:]}_1r"
    async with world.postgres.rehearsing(
        world.database, world.deployment, request.side_database, copy
    ) as place:
        await place.copy()
        await place._open(60)
        monkey = pytest.MonkeyPatch()
        monkey.setattr(Rehearsing, "forget", _nothing)
    monkey.undo()
    assert len(case.left()) == 2
    assert await world.postgres.drop_side(world.database, copy)
    assert case.left() == []


async def test_a_restored_backup_that_is_gone_and_a_ledger_that_moved_are_told(
    world: DataWorld, tmp_path: Path
) -> None:
    case = Rehearsed(world, tmp_path, ["ALTER TABLE users ADD COLUMN nickname text;"])
    backup = await case.take()
    case.backup = backup.model_copy(update={"side_database": f"{world.name}_slipway_gone_1"})
    with pytest.raises(SlipwayError, match=r"_gone_1 is gone"):
        await case.rehearse()
    case.backup = backup
    case.pending = [one.model_copy(update={"hash": "0" * 64}) for one in case.pending]
    with pytest.raises(ForeignChange, match="1 migrations are pending in the backup"):
        await case.rehearse()
    assert case.left() == []


async def test_another_schema_than_the_rehearsed_one_is_not_migrated(
    world: DataWorld, tmp_path: Path
) -> None:
    case = Rehearsed(world, tmp_path, ["ALTER TABLE users ADD COLUMN nickname text;"])
    seen = await case.rehearse()
    world.as_owner("CREATE TABLE meanwhile (id int)")
    with pytest.raises(ForeignChange, match="not the one that the migration was rehearsed with"):
        await case.apply(seen)
    world.as_owner("DROP TABLE meanwhile")
    other = seen.model_copy(update={"schema_after": "f" * 64})
    with pytest.raises(MigrationFailed, match=r"the rehearsal on its backup with f{12}"):
        await case.apply(other)


async def test_the_statement_budget_comes_from_the_rehearsal(
    world: DataWorld, tmp_path: Path
) -> None:
    case = Rehearsed(
        world,
        tmp_path,
        [
            "CREATE TABLE budget AS SELECT setting::int AS ms FROM pg_settings"
            " WHERE name = 'statement_timeout';"
        ],
    )
    case.plan = case.plan.model_copy(update={"deadline": 3600.0})
    seen = await case.rehearse()
    await case.apply(seen)
    budget = judgement.statement_budget(seen.slowest, 3600.0)  # a busy machine has been slower
    assert world.run("SELECT ms FROM budget") == [(round(budget * 1000),)]


async def test_a_key_lost_is_refused_while_the_copy_follows(
    world: DataWorld, tmp_path: Path
) -> None:
    """Production would publish a table without a key, and refuse UPDATE and DELETE of it."""
    case = Rehearsed(world, tmp_path, ["ALTER TABLE orders DROP CONSTRAINT orders_pkey;"])
    request = (await case.request()).model_copy(update={"followed": True})
    seen = await ActivityEnvironment().run(case.activities.rehearse, request)
    assert of(seen, "public.orders").key_lost
    assert [one.rule for one in seen.refused] == ["loses-key"]
    assert (await case.rehearse()).refused == []
