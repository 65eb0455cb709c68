"""Clients behind pools while a committed migration is taken back: a pool of psycopg's own with
prepared statements, and the real PgBouncer, paused and resumed."""

import asyncio
import json
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict
from typing import Any

import psycopg
import psycopg_pool
import pytest
from temporalio.testing import ActivityEnvironment

from activities.adapters import pooler_pause
from activities.adapters.fallback import tail as fallback_tail
from activities.database import DatabaseRollback
from devstack.layout import CHECKOUT
from devstack.world.database import access
from slipway.errors import Unreachable
from slipway.messages.migration import RollBackDatabase
from slipway.messages.record import BackupTaken
from tests.integration.data_world import DataWorld, until
from tests.integration.own_pgbouncer import OwnPgBouncer, own_pgbouncer, serving
from tests.integration.pooled_client import Client, clients, missing
from tests.integration.taking import REACHED
from tests.integration.test_database_rollback import _is_open, _migrate
from tests.integration.test_lossless_rollback import roll_back, take

pytestmark = pytest.mark.stack

_OLD = 7
"""Columns of `users` in the old schema."""


def pooled(world: DataWorld, *poolers: OwnPgBouncer) -> Any:
    """The plan's database with these poolers in front of it."""
    references = [one.reference(world.folder) for one in poolers]
    return world.database.model_copy(update={"poolers": references})


async def busy(working: list[Client], more: int = 20) -> None:
    """Wait until every client has written so many rows more."""
    wanted = [len(one.acknowledged) + more for one in working]
    await until(
        lambda: all(
            len(one.acknowledged) >= count for one, count in zip(working, wanted, strict=True)
        )
    )


def noted(world: DataWorld) -> list[Any]:
    """What is noted as paused, by anybody, in front of this database."""
    query = "SELECT entry FROM slipway.pooler_pause WHERE database = %s ORDER BY 1"
    return [entry for (entry,) in world.run(query, access.CONTROL, [world.name])]


async def test_clients_of_pgbouncer_wait_and_see_no_error(world: DataWorld) -> None:
    entries = {world.name: world.name, "reports": world.name, "other": "postgres"}
    with own_pgbouncer(world.stack, entries) as pooler:
        await serving(pooler)
        url = pooler.url(access.APP, world.name)
        reports = pooler.url(access.APP, "reports")
        with clients(url, 4) as four, clients(reports, 1) as fifth:
            working = [*four, *fifth]
            await busy(working)
            taken = await take(world)
            _migrate(world)
            await busy(working)
            assert {one.columns for one in working} == {_OLD + 1}
            done = await roll_back(world, taken, database=pooled(world, pooler))
            await busy(working)
    assert done.followed
    assert [one.errors for one in working] == [[]] * 5
    assert [one.connected for one in working] == [1] * 5
    assert {one.columns for one in working} == {_OLD}
    assert missing(world, working) == 0
    assert noted(world) == []


async def test_without_the_console_the_same_clients_see_errors(world: DataWorld) -> None:
    """What waiting is worth: PgBouncer cannot log in, and tells its clients."""
    entries = {world.name: world.name}
    with own_pgbouncer(world.stack, entries, server_login_retry="1") as pooler:
        await serving(pooler)
        with clients(pooler.url(access.APP, world.name), 4) as working:
            taken = await take(world)
            _migrate(world)
            await busy(working)
            assert (await roll_back(world, taken)).followed
            await busy(working)
    assert any(one.errors for one in working)
    assert missing(world, working) == 0


async def test_two_poolers_one_of_which_is_gone_hold_up_no_rollback(
    world: DataWorld,
) -> None:
    with own_pgbouncer(world.stack, {world.name: world.name}) as pooler:
        await serving(pooler)
        with own_pgbouncer(world.stack, {world.name: world.name}) as gone:
            await serving(gone)
        with clients(pooler.url(access.APP, world.name), 2) as working:
            taken = await take(world)
            _migrate(world)
            await busy(working)
            done = await roll_back(world, taken, database=pooled(world, pooler, gone))
            await busy(working)
    assert done.followed
    assert f"pooler {gone.reference(world.folder)} saw errors" in done.because
    assert [one.errors for one in working] == [[], []]
    assert noted(world) == []


async def test_a_transaction_that_does_not_end_is_ended_and_the_others_wait(
    world: DataWorld,
) -> None:
    with own_pgbouncer(world.stack, {world.name: world.name}) as pooler:
        await serving(pooler)
        url = pooler.url(access.APP, world.name)
        taken = await take(world)
        _migrate(world)
        with clients(url, 3) as working, psycopg.connect(url, prepare_threshold=None) as endless:
            await busy(working)
            endless.execute("INSERT INTO users (email) VALUES ('endless@teei.example')")
            done = await roll_back(world, taken, database=pooled(world, pooler))
            with pytest.raises(psycopg.Error):
                endless.execute("SELECT 1")
            await busy(working)
    assert done.followed
    assert [one.errors for one in working] == [[]] * 3
    assert missing(world, working) == 0
    assert world.run("SELECT count(*) FROM users WHERE email LIKE 'endless%'") == [(0,)]


async def test_prepared_statements_by_the_session_are_made_anew_after_one_error(
    world: DataWorld,
) -> None:
    """Sessions that are given away whole end with the database; waiting is for who comes back."""
    with own_pgbouncer(world.stack, {world.name: world.name}, pool_mode="session") as pooler:
        await serving(pooler)
        with clients(pooler.url(access.APP, world.name), 3, prepared=True) as working:
            await busy(working)
            taken = await take(world)
            _migrate(world)
            await until(lambda: all(one.errors for one in working))  # plans of the schema before
            before = [len(one.errors) for one in working]
            await busy(working)
            done = await roll_back(world, taken, database=pooled(world, pooler))
            await busy(working)
            after = [len(one.errors) for one in working]
    assert done.followed
    assert [now - then for now, then in zip(after, before, strict=True)] == [1, 1, 1]
    assert {one.columns for one in working} == {_OLD}
    assert missing(world, working) == 0


async def test_a_pool_with_prepared_statements_comes_back_by_itself(world: DataWorld) -> None:
    taken = await take(world)
    _migrate(world)
    url = access.url(world.stack, access.APP, world.name)
    done: list[str] = []
    failed: list[str] = []
    with psycopg_pool.ConnectionPool(
        url,
        min_size=2,
        kwargs={"autocommit": True, "prepare_threshold": 0},
        check=psycopg_pool.ConnectionPool.check_connection,
    ) as pool:

        def write(key: str) -> int:
            with pool.connection() as connection:
                connection.execute("INSERT INTO users (email) VALUES (%s)", [key])
                done.append(key)
                read = connection.execute("SELECT * FROM users WHERE email = %s", [key])
                found = connection.execute("SELECT count(*) FROM pg_prepared_statements")
                assert found.fetchone() != (0,)
                return len(read.description or ())

        with _repeating(write, failed) as seen:
            await until(lambda: len(seen) > 50)
            assert set(seen) == {_OLD + 1}
            rolled = await roll_back(world, taken)
            before = len(seen)
            await until(lambda: len(seen) > before + 50)
    assert rolled.followed
    assert set(seen[before + 1 :]) == {_OLD}
    assert len(failed) <= 2, "only what was under way when its two sessions were ended"
    there = {one[0] for one in world.run("SELECT email FROM users")}
    assert [one for one in done if one not in there] == []


@contextmanager
def _repeating(write: Callable[[str], int], failed: list[str]) -> Iterator[list[int]]:
    stop, seen = threading.Event(), list[int]()

    def work() -> None:
        while not stop.is_set():
            try:
                seen.append(write(f"p{len(seen)}.{len(failed)}@teei.example"))
            except psycopg.Error as error:
                failed.append(str(error))

    thread = threading.Thread(target=work)
    thread.start()
    try:
        yield seen
    finally:
        stop.set()
        thread.join(120)


async def test_after_a_swap_that_failed_the_clients_go_on_where_they_were(
    world: DataWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def never(*_: Any) -> None:
        raise Unreachable("the drain never ends", "retry")

    with own_pgbouncer(world.stack, {world.name: world.name}) as pooler:
        await serving(pooler)
        with clients(pooler.url(access.APP, world.name), 3) as working:
            taken = await take(world)
            _migrate(world)
            await busy(working)
            with monkeypatch.context() as patch:
                patch.setattr(fallback_tail.Tail, "act", never)
                with pytest.raises(Unreachable, match="never ends"):
                    await roll_back(world, taken, database=pooled(world, pooler))
            assert not pooler.paused(world.name)
            await busy(working)
            assert noted(world) == []
            assert (await roll_back(world, taken, database=pooled(world, pooler))).followed
            await busy(working)
    assert [one.errors for one in working] == [[]] * 3
    assert missing(world, working) == 0


@pytest.mark.parametrize("stage", ["paused", "closed", "swapped"])
async def test_clients_that_a_killed_worker_left_waiting_are_let_go_by_the_next_attempt(
    world: DataWorld, stage: str
) -> None:
    with own_pgbouncer(world.stack, {world.name: world.name}) as pooler:
        await serving(pooler)
        with clients(pooler.url(access.APP, world.name), 3) as working:
            taken = await take(world)
            _migrate(world)
            await busy(working)
            database = pooled(world, pooler)
            await _killed_at(world, taken, database, stage)
            assert pooler.paused(world.name)
            assert noted(world) == [world.name]
            assert _is_open(world) == (stage != "closed")
            done = await roll_back(world, taken, database=database)
            await busy(working)
    assert done.followed
    assert not [one.errors for one in working if one.errors]
    assert missing(world, working) == 0
    assert noted(world) == []


async def test_an_attempt_that_was_only_frozen_leaves_nobody_waiting(world: DataWorld) -> None:
    """It wakes when the next one has long let the clients go, and finds that it is too late."""
    with own_pgbouncer(world.stack, {world.name: world.name}) as pooler:
        await serving(pooler)
        with clients(pooler.url(access.APP, world.name), 3) as working:
            taken = await take(world)
            _migrate(world)
            await busy(working)
            database = pooled(world, pooler)
            child = await _at(world, taken, database, "pausing")
            child.send_signal(signal.SIGSTOP)
            done = await roll_back(world, taken, database=database)
            await busy(working)
            assert child.stdin is not None
            child.stdin.write(b"go on\n")
            child.send_signal(signal.SIGCONT)
            async with asyncio.timeout(120):
                assert await child.wait() != 0
            assert not pooler.paused(world.name)
            await busy(working)
    assert done.followed
    assert not [one.errors for one in working if one.errors]
    assert _is_open(world)
    assert noted(world) == []
    assert missing(world, working) == 0


async def _killed_at(world: DataWorld, taken: BackupTaken, database: Any, stage: str) -> None:
    child = await _at(world, taken, database, stage)
    child.send_signal(signal.SIGKILL)
    await child.wait()


async def _at(
    world: DataWorld, taken: BackupTaken, database: Any, stage: str
) -> asyncio.subprocess.Process:
    """Take the database back in another process until a stage."""
    stack, request = world.folder / "stack.json", world.folder / "request.json"
    stack.write_text(json.dumps(asdict(world.stack)))
    wanted = world.roll_back(taken).model_copy(
        update={"lossless": True, "catch_up": 240.0, "database": database}
    )
    request.write_text(wanted.model_dump_json())
    arguments = (str(stack), world.name, str(world.folder), str(request), stage)
    child = await asyncio.create_subprocess_exec(
        sys.executable,
        *("-m", "tests.integration.rolling_back", *arguments),
        cwd=CHECKOUT,
        env={**os.environ, "PYTHONPATH": str(CHECKOUT)},
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.DEVNULL,
    )
    assert child.stdout is not None
    async with asyncio.timeout(120):
        said = await child.stdout.readline()
    assert said.decode().strip() == REACHED, "it ended before the stage"
    return child


async def test_what_somebody_else_has_paused_stays_paused(world: DataWorld) -> None:
    entries = {world.name: world.name, "reports": world.name}
    with own_pgbouncer(world.stack, entries) as pooler:
        await serving(pooler)
        taken = await take(world)
        _migrate(world)
        pooler.run("PAUSE reports")
        done = await roll_back(world, taken, database=pooled(world, pooler))
        assert done.followed
        assert pooler.paused("reports")
        assert not pooler.paused(world.name)


async def test_a_pooler_that_dies_while_clients_wait_is_told_and_tried_again(
    world: DataWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pooler_pause, "_PATIENCE", 0.5)
    real = fallback_tail.Tail.act
    with own_pgbouncer(world.stack, {world.name: world.name}) as pooler:
        await serving(pooler)

        async def stopping(self: Any, *sessions: Any) -> None:
            pooler.stop()
            await real(self, *sessions)

        taken = await take(world)
        _migrate(world)
        monkeypatch.setattr(fallback_tail.Tail, "act", stopping)
        request: RollBackDatabase = world.roll_back(taken).model_copy(
            update={"lossless": True, "catch_up": 240.0, "database": pooled(world, pooler)}
        )
        activity = DatabaseRollback(world.postgres, world.store).roll_back
        for _ in range(2):
            with pytest.raises(Unreachable, match="may still be waiting"):
                await ActivityEnvironment().run(activity, request)
        pooler.start()
        await serving(pooler)
        done = await ActivityEnvironment().run(activity, request)
    assert done.followed
    assert noted(world) == []
