"""A rollback takes the fallback: whoever follows goes on, and is replaced only where it cannot."""

import asyncio
import signal
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import psycopg
import pytest

from activities.adapters.fallback import arrival as fallback_arrival
from activities.adapters.fallback import control
from activities.adapters.fallback import signs as fallback_signs
from activities.adapters.fallback import tail as fallback_tail
from activities.adapters.fallback.apply import Applier
from activities.adapters.fallback.check import Check
from activities.adapters.fallback.conflicts import Register
from activities.adapters.fallback.side import Side, Statement
from activities.adapters.fallback.state import State
from activities.adapters.fallback.tail import Tail, taking_over
from activities.adapters.postgres.progress import silent
from activities.adapters.postgres.source import Source
from devstack.world.database import access
from slipway.errors import Unreachable
from slipway.messages.record import BackupTaken, Fallback
from slipway.states import FallbackState
from tests.integration.data_world import until
from tests.integration.fallback_world import FallbackWorld, fallback_world
from tests.integration.own_postgres import OwnPostgres, own_postgres
from tests.integration.test_fallback_crash import (
    SCHEMA,
    Writer,
    applied,
    assert_all_equal,
    child,
)


@pytest.fixture(scope="module")
def server() -> Iterator[OwnPostgres]:
    with own_postgres(fsync="off") as running:
        yield running


@pytest.fixture
async def world(server: OwnPostgres) -> AsyncIterator[FallbackWorld]:
    with fallback_world(server.stack, SCHEMA) as made:
        await made.begin()
        async with made.sessions.session(made.production.on(access.CONTROL)) as admin:
            await control.register(admin, made.slot, made.name, "deployment", made.side_name)
            await control.move(admin, made.slot, [FallbackState.READY], FallbackState.FOLLOWING)
        yield made


def backup_of(world: FallbackWorld) -> BackupTaken:
    """The backup that the world's copy came from."""
    return BackupTaken(
        key="dump",
        manifest_key="manifest",
        sha256="0" * 64,
        size=1,
        taken_at=datetime.now(UTC),
        database=world.name,
        side_database=world.side_name,
        server_version="18",
        schema_sha256="0" * 64,
        tables=[],
        restored_ok=True,
        seconds=1.0,
        fallback=Fallback(slot=world.slot, publication=world.publication, position="0/0", tables=4),
    )


@asynccontextmanager
async def taken(world: FallbackWorld) -> AsyncIterator[Tail]:
    """What a rollback does before it closes production."""
    backup = backup_of(world)
    source = Source(world.production, world.production.on(access.CONTROL))
    async with (
        world.sessions.session(source.admin) as admin,
        taking_over(
            world.sessions, admin, source, access.OWNER, backup, Check(backup), silent
        ) as tail,
    ):
        yield tail


async def drained(world: FallbackWorld, tail: Tail) -> None:
    """The last look, on sessions that were open before."""
    async with (
        world.sessions.session(world.production) as production,
        world.side_session() as copy,
    ):
        await tail.act(production, copy)


def reader(world: FallbackWorld) -> int | None:
    """The server process that reads the slot."""
    query = "SELECT active_pid FROM pg_replication_slots WHERE slot_name = %s"
    found = world.run(query, values=[world.slot])[0][0]
    return None if found is None else int(found)


async def state(world: FallbackWorld) -> FallbackState:
    async with world.sessions.session(world.production.on(access.CONTROL)) as admin:
        return (await control.state_of(admin, world.slot))[0]


def _failing(*_: Any) -> None:
    raise OSError("cut off")


def said(_: str) -> None:
    """Nobody listens."""


async def test_one_who_follows_goes_on_and_is_only_watched(
    world: FallbackWorld, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fallback_signs, "_SILENT", 60.0)
    async with AsyncExitStack() as stack:
        stack.enter_context(child(world, tmp_path))
        tail = await stack.enter_async_context(taken(world))
        with Writer(world, 4):
            await until(lambda: applied(world) > 20)
            before = reader(world)
            await tail.catch_up(240, said)
        async with world.sessions.session(world.production.on(access.CONTROL)) as admin:
            spared = await tail.spared(admin)
        assert before in spared
        assert sorted(spared) == sorted(world.followers().values())
        assert len(spared) == 3
        await drained(world, tail)
        assert reader(world) == before
        assert await state(world) is FallbackState.TAKEN
    await assert_all_equal(world)


@pytest.mark.parametrize("how", ["killed before", "killed meanwhile", "frozen"])
async def test_where_nobody_follows_any_more_the_rollback_does(
    world: FallbackWorld, tmp_path: Path, how: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    # a busy machine lets nobody seem frozen; one who lives gives a sign each second
    patience = 3.0 if how == "frozen" else 60.0
    monkeypatch.setattr(fallback_signs, "_SILENT", patience)
    with child(world, tmp_path) as other:
        async with taken(world) as tail:
            with Writer(world, 5):
                await until(lambda: applied(world) > 20)
                before = reader(world)
                if how == "killed meanwhile":
                    await tail.catch_up(240, said)
                    assert reader(world) == before
                assert other._process is not None
                if how == "frozen":
                    other._process.send_signal(signal.SIGSTOP)
                else:
                    other.kill()
                if how == "killed before":
                    await until(lambda: reader(world) is None)
                await tail.catch_up(240, said)
                assert reader(world) not in (None, before)
                if how == "frozen":
                    other._process.send_signal(signal.SIGCONT)  # it begins again, and is watched
                    await until(lambda: applied(world) > 100)
                    await tail.catch_up(240, said)
            await drained(world, tail)
        if how != "frozen":
            other.start()  # the block ends one that lives
    await assert_all_equal(world)


async def test_an_attempt_that_was_overtaken_does_not_give_the_fallback_away(
    world: FallbackWorld,
) -> None:
    async with AsyncExitStack() as first, AsyncExitStack() as second:
        await first.enter_async_context(taken(world))
        tail = await second.enter_async_context(taken(world))
        first.push(_failing)  # it wakes up
        with pytest.raises(OSError, match="cut off"):
            await first.aclose()
        assert await state(world) is FallbackState.TAKEN
        await tail.catch_up(240, said)
        await second.aclose()
    assert await state(world) is FallbackState.SWAPPED


async def test_a_failed_attempt_gives_it_back(
    world: FallbackWorld, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fallback_signs, "_SILENT", 60.0)
    with child(world, tmp_path):
        await until(lambda: reader(world) is not None)
        before = reader(world)
        async with AsyncExitStack() as attempt:
            tail = await attempt.enter_async_context(taken(world))
            await tail.catch_up(240, said)
            attempt.push(_failing)
            with pytest.raises(OSError, match="cut off"):
                await attempt.aclose()
        assert await state(world) is FallbackState.FOLLOWING
        assert reader(world) == before


async def test_drain_that_nobody_does_ends(
    world: FallbackWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Closed to everybody, this cannot even begin to follow."""
    async with taken(world) as tail:
        async with (
            world.sessions.session(world.production) as production,
            world.side_session() as copy,
        ):
            monkeypatch.setattr(fallback_arrival, "_LOOK_AFTER", 0.01)
            monkeypatch.setattr(fallback_tail, "_CLOSED", 5.0)
            world.run(f"ALTER DATABASE {world.side_name} ALLOW_CONNECTIONS false", "postgres")
            with pytest.raises(Unreachable):
                await tail.act(production, copy)
        world.run(f"ALTER DATABASE {world.side_name} ALLOW_CONNECTIONS true", "postgres")


def test_of_two_followers_at_once_one_writes_and_the_other_leaves_nothing(
    server: OwnPostgres,
) -> None:
    with fallback_world(server.stack, SCHEMA) as world:
        asyncio.run(world.begin())
        one, other = State.load(world.side), State.load(world.side)

        def write(state: State, purpose: str, number: int) -> None:
            side = Side(world.side, purpose, lambda: None)
            try:
                row = Statement(b"INSERT INTO public.twins VALUES ($1)", [str(number).encode()])
                moved: Any = state.moved(state.position + number, state.epoch, 1, 1)
                Applier(side, Register(())).commit([row, *moved])
            finally:
                side.close()

        write(one, "one", 1)
        with pytest.raises(psycopg.OperationalError, match="another follower"):
            write(other, "other", 2)
        assert world.run("SELECT what FROM twins", world.side_name) == [("1",)]
        assert applied(world) == 1
