"""Taking production's database back: proof, swap, repetition, and every half-done state."""

import asyncio
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import psycopg
import pytest
from temporalio.testing import ActivityEnvironment

from activities.adapters.postgres import swap as postgres_swap
from activities.backups import Backups
from activities.database import DatabaseRollback
from devstack.world.database import access
from slipway.errors import BackupNotRestorable, Fenced
from slipway.messages.migration import DatabaseRolledBack
from slipway.messages.record import BackupTaken
from tests.integration.cutting import cut_off
from tests.integration.data_world import DataWorld, digest, lines_of, until

pytestmark = pytest.mark.stack

MIGRATION = (
    "ALTER TABLE users ADD COLUMN nickname text; ALTER TABLE orders DROP COLUMN user_id;"
    "ALTER TABLE events ALTER COLUMN what TYPE varchar(80); CREATE TABLE gifts (id int);"
)


async def _take(world: DataWorld) -> BackupTaken:
    return await ActivityEnvironment().run(Backups(world.postgres, world.store).take, world.take())


async def _roll_back(
    world: DataWorld, taken: BackupTaken, op_id: str = "undo", fence: int = 6
) -> DatabaseRolledBack:
    activities = DatabaseRollback(world.postgres, world.store)
    return await ActivityEnvironment().run(
        activities.roll_back, world.roll_back(taken, op_id, fence)
    )


def _migrate(world: DataWorld) -> None:
    world.as_owner(MIGRATION)
    with world.superuser() as connection:
        connection.execute(
            "INSERT INTO drizzle.__drizzle_migrations (hash, created_at) VALUES (%s, %s)",
            [digest(MIGRATION), 1_800_000_000_000],
        )


def _is_open(world: DataWorld) -> bool:
    with world.superuser("postgres") as connection:
        query = "SELECT datallowconn FROM pg_database WHERE datname = %s"
        return bool((connection.execute(query, [world.name]).fetchone() or [False])[0])


def _columns(world: DataWorld) -> set[str]:
    query = "SELECT column_name FROM information_schema.columns WHERE table_name = 'users'"
    return {one[0] for one in world.run(query)}


@dataclass
class Writer:
    """A client of the services: inserts, logs what was acknowledged, survives outages."""

    world: DataWorld
    acknowledged: list[str] = field(default_factory=list)
    stop: threading.Event = field(default_factory=threading.Event)

    def run(self) -> None:
        number = 0
        while not self.stop.is_set():
            try:
                with self._connect() as connection:
                    while not self.stop.is_set():
                        number += 1
                        key = f"w{number}@teei.example"
                        connection.execute("INSERT INTO users (email) VALUES (%s)", [key])
                        self.acknowledged.append(key)
                        self.stop.wait(0.002)
            except psycopg.Error:
                self.stop.wait(0.01)

    def _connect(self) -> psycopg.Connection:
        return psycopg.connect(
            access.url(self.world.stack, access.APP, self.world.name), autocommit=True
        )

    def missing(self) -> int:
        """Acknowledged keys that production does not hold."""
        there = {one[0] for one in self.world.run("SELECT email FROM users")}
        return len([key for key in self.acknowledged if key not in there])


@contextmanager
def _writing(world: DataWorld) -> Iterator[Writer]:
    writer = Writer(world)
    thread = threading.Thread(target=writer.run)
    thread.start()
    try:
        yield writer
    finally:
        writer.stop.set()
        thread.join()


async def _until(writer: Writer, count: int) -> None:
    await until(lambda: len(writer.acknowledged) >= count)


async def test_unchanged_schema_is_proved_and_nothing_is_touched(world: DataWorld) -> None:
    taken = await _take(world)
    world.run("INSERT INTO users (email) VALUES ('later@teei.example')")
    done = await _roll_back(world, taken)
    assert (done.changed, done.schema_equal, done.rows_equal) == (False, True, True)
    assert world.run("SELECT count(*) FROM users") == [(2001,)]
    assert world.databases() == [world.name, taken.side_database]


async def test_swap_restores_schema_and_counts_exactly_what_was_lost(world: DataWorld) -> None:
    with _writing(world) as writer:
        await _until(writer, 20)
        taken = await _take(world)
        _migrate(world)
        await _until(writer, len(writer.acknowledged) + 50)
        done = await _roll_back(world, taken)
        await _until(writer, len(writer.acknowledged) + 20)

    assert (done.changed, done.schema_equal, done.rows_equal) == (True, True, True)
    assert "nickname" not in _columns(world)
    assert writer.missing() == done.lost_rows > 50
    assert [one.table for one in done.lost] == ["public.users"]
    assert done.kept_as in world.databases()
    assert taken.side_database not in world.databases()
    assert world.run("SELECT count(*) FROM users", done.kept_as)[0][0] > 2050


async def test_settings_grants_and_sequences_survive_the_swap(world: DataWorld) -> None:
    taken = await _take(world)
    _migrate(world)
    world.run("INSERT INTO users (email) SELECT 'x' FROM generate_series(1, 10)")
    world.run(f"ALTER DATABASE {world.name} SET work_mem = '8MB'", "postgres")
    await _roll_back(world, taken)

    with psycopg.connect(access.url(world.stack, access.APP, world.name)) as connection:
        shown = connection.execute(
            "SELECT current_setting('work_mem'), current_setting('slipway.local_stack')"
        ).fetchone()
        assert shown == ("8MB", "true")
        found = connection.execute("INSERT INTO users (email) VALUES ('y') RETURNING id")
        assert found.fetchone() == (2011,)  # identifiers given out once are not given out again
    with pytest.raises(psycopg.OperationalError, match="permission denied"):
        psycopg.connect(access.url(world.stack, access.PROBE, world.name))


async def test_repetition_returns_the_first_result(world: DataWorld) -> None:
    taken = await _take(world)
    _migrate(world)
    first = await _roll_back(world, taken)
    before = world.databases()
    assert await _roll_back(world, taken) == first
    assert world.databases() == before
    other = await _roll_back(world, taken, op_id="undo-again", fence=10)
    assert not other.changed


async def test_lost_updates_are_told_apart_from_lost_rows(world: DataWorld) -> None:
    taken = await _take(world)
    _migrate(world)
    world.run("UPDATE users SET email = 'changed' WHERE id <= 7")
    world.run("INSERT INTO keyless VALUES ('same'), ('other')")
    folder = f"{world.backup.prefix}records/x/"
    request = world.roll_back(taken, "undo", 6).model_copy(update={"folder": folder})
    activities = DatabaseRollback(world.postgres, world.store)
    done = await ActivityEnvironment().run(activities.roll_back, request)
    assert {one.table: one.rows for one in done.lost} == {"public.keyless": 2}
    assert "7 rows differ in content" in done.because
    written = lines_of(world, done.lost_key)
    assert sorted(one["row"]["what"] for one in written if one["kind"] == "missing") == [
        "other",
        "same",
    ]
    changed = [one["row"] for one in written if one["kind"] == "changed"]
    assert sorted(one["id"] for one in changed) == [str(one) for one in range(1, 8)]
    assert {one["email"] for one in changed} == {"changed"}


async def test_database_left_closed_is_reopened_and_finished(world: DataWorld) -> None:
    taken = await _take(world)
    _migrate(world)
    world.run(f"ALTER DATABASE {world.name} ALLOW_CONNECTIONS false", "postgres")
    done = await _roll_back(world, taken)
    assert done.changed
    assert _is_open(world)


@pytest.mark.parametrize("step", ["_close", "_rename", "_change_name"])
async def test_failure_at_any_step_reopens_production_unchanged(
    world: DataWorld, step: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    taken = await _take(world)
    _migrate(world)
    real = getattr(postgres_swap.Swapping, step)

    async def failing(self: Any, *args: Any) -> None:
        await real(self, *args)
        raise OSError("cut off")

    with monkeypatch.context() as patch:
        patch.setattr(postgres_swap.Swapping, step, failing)
        with pytest.raises(OSError, match="cut off"):
            await _roll_back(world, taken)
    assert _is_open(world)
    if step != "_rename":
        assert "nickname" in _columns(world)
    done = await _roll_back(world, taken)
    assert done.changed
    assert done.schema_equal
    assert "nickname" not in _columns(world)


@pytest.mark.parametrize("step", ["_drain", "_rename"])
async def test_cancelled_swap_reopens_production(
    world: DataWorld, step: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    taken = await _take(world)
    _migrate(world)
    reached = asyncio.Event()

    async def hanging(self: Any, *args: Any) -> None:
        await self._close(args[0]) if step == "_drain" else None
        reached.set()
        await asyncio.Event().wait()

    def closed() -> None:
        assert not _is_open(world)

    with monkeypatch.context() as patch:
        patch.setattr(postgres_swap.Swapping, step, hanging)
        await cut_off(_roll_back(world, taken), reached, meanwhile=closed)
    assert _is_open(world)
    assert (await _roll_back(world, taken)).changed


async def test_killed_between_swap_and_count_is_finished(
    world: DataWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    taken = await _take(world)
    _migrate(world)
    world.run("INSERT INTO users (email) SELECT 'later' FROM generate_series(1, 9)")

    async def dying(*_: Any) -> None:
        raise OSError("killed")

    with monkeypatch.context() as patch:
        patch.setattr(postgres_swap.Swapping, "look_into", dying)
        with pytest.raises(OSError, match="killed"):
            await _roll_back(world, taken)
    done = await _roll_back(world, taken)
    assert done.changed
    assert {one.table: one.rows for one in done.lost} == {"public.users": 9}
    assert done.outage > 0


async def test_side_database_gone_or_altered_is_restored_from_the_bucket(world: DataWorld) -> None:
    taken = await _take(world)
    _migrate(world)
    world.run(f"ALTER DATABASE {taken.side_database} ALLOW_CONNECTIONS true", "postgres")
    world.run("DELETE FROM keyless", taken.side_database)
    done = await _roll_back(world, taken)
    assert done.schema_equal
    assert world.run("SELECT count(*) FROM keyless") == [(50,)]


async def test_without_side_database_and_with_an_altered_dump_production_stays(
    world: DataWorld,
) -> None:
    taken = await _take(world)
    _migrate(world)
    world.run(f"DROP DATABASE {taken.side_database}", "postgres")
    world.s3.put_object(Bucket=world.stack.bucket, Key=taken.key, Body=b"something else")
    with pytest.raises(BackupNotRestorable, match="was altered"):
        await _roll_back(world, taken)
    assert _is_open(world)
    assert "nickname" in _columns(world)


async def test_later_decision_wins(world: DataWorld) -> None:
    taken = await _take(world)
    _migrate(world)
    await world.postgres.fence(world.database, 12, "later")
    with pytest.raises(Fenced):
        await _roll_back(world, taken)
    assert _is_open(world)
    assert "nickname" in _columns(world)


async def test_attempt_that_was_given_up_neither_swaps_nor_reopens(
    world: DataWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    taken = await _take(world)
    _migrate(world)
    held, go = asyncio.Event(), asyncio.Event()
    real = postgres_swap.Swapping._rename
    first = True

    async def frozen(self: Any, *args: Any) -> None:
        nonlocal first
        if first:
            first = False
            held.set()
            await go.wait()
        await real(self, *args)

    monkeypatch.setattr(postgres_swap.Swapping, "_rename", frozen)
    old = asyncio.create_task(_roll_back(world, taken))
    async with asyncio.timeout(120):
        await held.wait()
    done = await _roll_back(world, taken)  # the retry: production was closed when it began
    go.set()
    with pytest.raises(Exception, match=r"terminat|closed|PostgreSQL"):
        await old
    assert done.changed
    assert done.schema_equal
    assert world.databases() == [world.name, done.kept_as]
    assert _is_open(world)
