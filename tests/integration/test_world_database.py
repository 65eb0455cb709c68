"""The TEEI databases on the real server: schema, rights, migrations, the writer's account."""

import asyncio
import secrets
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import psycopg
import pytest

from devstack.errors import StackError
from devstack.stack import Stack
from devstack.testing import shared_stack
from devstack.world import drizzle
from devstack.world.database import access, copies, templates
from devstack.world.environment import Environment
from devstack.world.services.writer import Writer, missing_keys

pytestmark = pytest.mark.stack


@pytest.fixture(scope="module")
def stack() -> Iterator[Stack]:
    with shared_stack() as running:
        yield running


@pytest.fixture(scope="module")
def production(stack: Stack) -> Iterator[str]:
    name = f"teei_x{secrets.token_hex(3)}"
    size = templates.megabytes()
    copies.ensure_production(stack, name, size)
    copies.ensure_staging(stack, f"{name}_staging", size)
    yield name
    copies.drop_all(stack, name)


def test_it_holds_every_kind_of_thing_a_backup_must_carry(stack: Stack, production: str) -> None:
    with access.superuser(stack, production) as connection:
        kinds = connection.execute(
            "SELECT array_agg(DISTINCT relkind::text) FROM pg_class"
            " WHERE relnamespace = 'public'::regnamespace"
        ).fetchone()
        types = connection.execute(
            "SELECT array_agg(DISTINCT data_type::text) FROM information_schema.columns"
            " WHERE table_schema = 'public'"
        ).fetchone()
        identity = connection.execute(
            "SELECT count(*) FILTER (WHERE attidentity <> ''), count(*) FILTER (WHERE atthasdef)"
            " FROM pg_attribute a JOIN pg_class c ON c.oid = attrelid"
            " WHERE relnamespace = 'public'::regnamespace"
        ).fetchone()
        keys = connection.execute("SELECT count(*) FROM pg_constraint WHERE contype = 'f'")
        assert kinds is not None
        assert types is not None
        assert identity is not None
        assert {"r", "p", "m", "i", "S"} <= set(kinds[0])
        assert {"jsonb", "bytea", "numeric", "USER-DEFINED", "ARRAY", "uuid"} <= set(types[0])
        assert min(identity) > 0
        assert keys.fetchone() != (0,)


def test_it_is_about_as_large_as_asked(stack: Stack, production: str) -> None:
    with access.superuser(stack, production) as connection:
        row = connection.execute("SELECT pg_database_size(current_database()) / 1e6").fetchone()
    assert row is not None
    assert 0.7 < float(row[0]) / templates.megabytes() < 1.6


def test_the_copy_has_the_ledger_that_drizzle_wrote(stack: Stack, production: str) -> None:
    workspace = drizzle.shared_workspace(stack)
    hashes = drizzle.file_digests(workspace, ["0000_platform", "0001_impact_metrics"])
    query = "SELECT id, hash, created_at FROM drizzle.__drizzle_migrations ORDER BY id"
    with access.superuser(stack, production) as connection:
        rows = connection.execute(query).fetchall()
    assert [hash_ for _, hash_, _ in rows] == list(hashes.values())
    drizzle.migrate(stack, workspace, production)  # nothing is pending
    with access.superuser(stack, production) as connection:
        assert connection.execute(query).fetchall() == rows


def test_the_application_reads_and_writes_and_changes_no_schema(
    stack: Stack, production: str
) -> None:
    with psycopg.connect(access.url(stack, access.APP, production)) as connection:
        connection.execute("INSERT INTO organisations (name, country) VALUES ('New', 'NO')")
        connection.execute("DELETE FROM organisations WHERE name = 'New'")
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            connection.execute("ALTER TABLE users ADD COLUMN x int")
        connection.rollback()
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            connection.execute("CREATE TABLE public.x (id int)")


@pytest.mark.parametrize("role", [access.PROBE, access.STAGING])
def test_readers_write_nothing(stack: Stack, production: str, role: str) -> None:
    database = production if role == access.PROBE else f"{production}_staging"
    with psycopg.connect(access.url(stack, role, database)) as connection:
        assert connection.execute("SELECT count(*) FROM users").fetchone() != (0,)
        with pytest.raises(psycopg.errors.ReadOnlySqlTransaction):
            connection.execute("DELETE FROM safety_flags")
        connection.rollback()
        connection.execute("SET TRANSACTION READ WRITE")
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            connection.execute("DELETE FROM safety_flags")


@pytest.mark.parametrize("role", [access.STAGING, access.EXPORTER])
def test_nobody_connects_to_production_without_need(
    stack: Stack, production: str, role: str
) -> None:
    with pytest.raises(psycopg.OperationalError, match="permission denied"):
        psycopg.connect(access.url(stack, role, production))


def test_slipways_role_closes_renames_and_reopens_without_being_superuser(
    stack: Stack, production: str
) -> None:
    copy = f"{production}_side"
    address = access.url(stack, access.ADMIN, access.CONTROL)
    with psycopg.connect(address, autocommit=True) as connection:
        super_ = connection.execute("SELECT rolsuper FROM pg_roles WHERE rolname = current_user")
        assert super_.fetchone() == (False,)
        connection.execute(f"CREATE DATABASE {copy} OWNER {access.OWNER}")
        connection.execute(f"ALTER DATABASE {copy} ALLOW_CONNECTIONS false")
        connection.execute(f"ALTER DATABASE {copy} RENAME TO {copy}_bad")
        connection.execute(f"ALTER DATABASE {copy}_bad ALLOW_CONNECTIONS true")
        connection.execute(f"DROP DATABASE {copy}_bad")


def test_settings_and_grants_live_outside_the_database(stack: Stack, production: str) -> None:
    with psycopg.connect(access.url(stack, access.APP, production)) as connection:
        shown = connection.execute(
            "SELECT current_setting('timezone'), current_setting('slipway.local_stack'),"
            " has_database_privilege('public', current_database(), 'CONNECT')"
        ).fetchone()
    assert shown == ("UTC", "true", False)


@pytest.mark.parametrize("pending", ["none", "one", "two", "three"])
def test_pending_sets_apply_with_the_playbooks_command(
    stack: Stack, production: str, pending: str, tmp_path: Path
) -> None:
    copy = f"{production}_{pending}"
    copies.ensure_production(stack, copy, templates.megabytes())
    tags = drizzle.prepare(stack, tmp_path / "workspace", pending)
    drizzle.migrate(stack, tmp_path / "workspace", copy)
    with access.superuser(stack, copy) as connection:
        rows = connection.execute(
            "SELECT hash FROM drizzle.__drizzle_migrations ORDER BY created_at OFFSET 2"
        ).fetchall()
    expected = drizzle.file_digests(tmp_path / "workspace", tags)
    assert [hash_ for (hash_,) in rows] == list(expected.values())


def test_one_set_passes_on_stagings_data_and_fails_on_productions(
    stack: Stack, production: str, tmp_path: Path
) -> None:
    drizzle.prepare(stack, tmp_path / "workspace", "fails")
    drizzle.migrate(stack, tmp_path / "workspace", f"{production}_staging")
    with pytest.raises(StackError, match="db:migrate failed") as caught:
        drizzle.migrate(stack, tmp_path / "workspace", production)
    assert access.password(stack, access.ADMIN) not in str(caught.value)
    with access.superuser(stack, production) as connection:
        rows = connection.execute("SELECT count(*) FROM drizzle.__drizzle_migrations").fetchone()
    assert rows == (2,)


async def test_the_writers_account_shows_a_lost_row(
    stack: Stack, production: str, tmp_path: Path
) -> None:
    made = _environment(stack, production, tmp_path)
    writer = Writer(access.url(stack, access.APP, production), made)
    await _write_until(writer, made, rows=30)
    assert missing_keys(stack, made) == []
    lost = made.acked_log.read_text().splitlines()[7].split()[1]
    with access.superuser(stack, production) as connection:
        connection.execute("DELETE FROM ingestion_events WHERE key = %s", [lost])
    assert missing_keys(stack, made) == [lost]


async def _write_until(writer: Writer, made: Environment, *, rows: int) -> None:
    task = asyncio.create_task(writer.run())
    deadline = time.monotonic() + 120
    while not made.acked_log.exists() or len(made.acked_log.read_text().splitlines()) < rows:
        assert time.monotonic() < deadline, "the writer does not write"
        await asyncio.sleep(0.05)
    task.cancel()
    await asyncio.wait([task])


def _environment(stack: Stack, database: str, folder: Path) -> Environment:
    made = Environment("x", 15.0, "x", "x", database, database, "b", "x/", {}, str(folder))
    return replace(made, bucket=stack.bucket)
