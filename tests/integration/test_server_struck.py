"""PostgreSQL itself, killed or frozen at each stage of backup, rehearsal, migration, following and
swap: the next attempt succeeds, and no write that was acknowledged is lost."""

import asyncio
import os
import signal
import threading
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TypeVar

import psycopg
import pytest

from activities.adapters.fallback.tail import Tail
from activities.adapters.object_store import ObjectStore
from activities.adapters.postgres import catalog as postgres_catalog
from activities.adapters.postgres import dump as postgres_dump
from activities.adapters.postgres.adapter import Postgres
from activities.adapters.postgres.backup import Copying
from activities.adapters.postgres.migrate import Migrating
from activities.adapters.postgres.rehearse import Rehearsing
from activities.adapters.postgres.swap import Swapping
from devstack.stack import Stack
from slipway.errors import SlipwayError
from slipway.states import FallbackState
from tests.integration.data_world import DataWorld, data_world
from tests.integration.own_postgres import OwnPostgres, own_postgres
from tests.integration.rehearsal_world import Rehearsed
from tests.integration.test_database_rollback import _is_open, _until, _writing
from tests.integration.test_lossless_rollback import following, roll_back, take

pytestmark = pytest.mark.stack
T = TypeVar("T")
Place = tuple[Any, str]
MIGRATION = "ALTER TABLE users ADD COLUMN nickname text; ALTER TABLE orders DROP COLUMN user_id;"
_ATTEMPTS = 6
_FROZEN = 1.0


@dataclass(frozen=True)
class Run:
    """Before which call the server is struck, once in each activity."""

    how: str
    take: Place
    rehearse: Place
    apply: Place
    roll_back: Place


_PLACES: list[tuple[Place, Place, Place, Place]] = [
    (
        (postgres_catalog, "fingerprints"),
        (Rehearsing, "copy"),
        (Migrating, "_open"),
        (Tail, "catch_up"),
    ),
    (
        (postgres_dump, "restore"),
        (Rehearsing, "perform"),
        (Migrating, "_run"),
        (Tail, "act"),
    ),
    (
        (Copying, "follow_from"),
        (Rehearsing, "schema"),
        (Migrating, "_end"),
        (Swapping, "_rename"),
    ),
    (
        (ObjectStore, "put_new"),
        (Rehearsing, "_close"),
        (Migrating, "state"),
        (Postgres, "retire_fallback"),
    ),
]
RUNS = [
    *(Run("killed", *places) for places in _PLACES),
    Run("frozen", *_PLACES[2]),
]


@pytest.fixture(scope="module")
def server() -> Iterator[OwnPostgres]:
    with own_postgres(fsync="off") as running:  # killed processes only: the machine stays up
        yield running


@pytest.fixture
def world(stack: Stack, server: OwnPostgres, tmp_path: Path) -> Iterator[DataWorld]:
    """A database on a server of the test's own, the stack's bucket."""
    own = server.stack
    mixed = replace(
        stack,
        pg_host=own.pg_host,
        pg_port=own.pg_port,
        pg_superuser=own.pg_superuser,
        pg_superuser_password=own.pg_superuser_password,
        pg_bin=own.pg_bin,
        pg_data=own.pg_data,
        run_dir=own.run_dir,
    )
    with data_world(mixed, tmp_path) as made:
        yield made


@dataclass
class Striker:
    """Strikes a server before a call, once."""

    server: OwnPostgres
    how: str
    patch: pytest.MonkeyPatch
    struck: int = 0

    def at(self, place: Place) -> None:
        """Strike at the next call of this."""
        owner, name = place
        real = getattr(owner, name)

        async def striking(*args: Any, **kwargs: Any) -> Any:
            self.patch.setattr(owner, name, real)
            self.struck += 1
            await asyncio.to_thread(self._strike)
            return await real(*args, **kwargs)

        self.patch.setattr(owner, name, striking)

    def _strike(self) -> None:
        if self.how == "killed":
            self.server.kill()
            self.server.start()
            return
        whole = _family(self.server.pid)
        _send(whole, signal.SIGSTOP)
        threading.Timer(_FROZEN, _send, (whole, signal.SIGCONT)).start()


def _family(parent: int) -> list[int]:
    """A process and its children."""
    found = [parent]
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            of = int(stat.read_text().rpartition(") ")[2].split()[1])
        except OSError:
            continue
        if of == parent:
            found.append(int(stat.parent.name))
    return found


def _send(pids: list[int], number: signal.Signals) -> None:
    for one in pids:
        try:
            os.kill(one, number)
        except ProcessLookupError:
            continue


async def persisting(work: Callable[[], Awaitable[T]]) -> T:
    """Try as Temporal does: again after what is not final."""
    for _ in range(_ATTEMPTS):
        try:
            return await work()
        except SlipwayError as error:
            if error.final:
                raise
        except psycopg.OperationalError:
            pass  # any other error is tried again too
        await asyncio.sleep(0.1)
    return await work()


@pytest.mark.parametrize("run", RUNS, ids=lambda run: f"{run.how} at {run.take[1]}")
async def test_a_server_that_is_struck_at_every_stage_loses_nothing(
    world: DataWorld,
    server: OwnPostgres,
    run: Run,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    striker = Striker(server, run.how, monkeypatch)
    release = Rehearsed(world, tmp_path, [MIGRATION])
    with _writing(world) as writer:
        await _until(writer, 20)
        striker.at(run.take)
        taken = await persisting(lambda: take(world))
        assert taken.fallback is not None, taken.no_fallback
        release.backup = taken
        async with following(world, taken) as follower:
            striker.at(run.rehearse)
            seen = await persisting(release.rehearse)
            assert not seen.refused
            assert release.left() == []
            striker.at(run.apply)
            applied = await persisting(lambda: release.apply(seen))
            assert applied.attempts <= 1
            await _until(writer, len(writer.acknowledged) + 50)
            striker.at(run.roll_back)
            done = await persisting(lambda: roll_back(world, taken))
            assert (await asyncio.wait_for(follower, 120)).state is FallbackState.SWAPPED
        assert _is_open(world)
        await _until(writer, len(writer.acknowledged) + 20)
    assert striker.struck == 4
    assert (done.changed, done.followed, done.schema_equal) == (True, True, True)
    assert writer.missing() == 0
    assert done.lost == []
