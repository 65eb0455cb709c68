"""A follower that is killed anywhere, a server that is: nothing lost, nothing twice."""

import asyncio
import json
import os
import random
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg
import pytest

from devstack.world.database import access
from tests.integration.data_world import until
from tests.integration.fallback_world import FallbackWorld, fallback_world, following
from tests.integration.own_postgres import OwnPostgres, own_postgres

SCHEMA = """
CREATE TABLE accounts (id int PRIMARY KEY, balance bigint NOT NULL, note text);
CREATE TABLE tellers (id int PRIMARY KEY, balance bigint NOT NULL);
CREATE TABLE history (id bigserial PRIMARY KEY, account int NOT NULL, delta int NOT NULL);
CREATE TABLE twins (what text); ALTER TABLE twins REPLICA IDENTITY FULL;
INSERT INTO accounts SELECT n, 0, repeat('x', 50) FROM generate_series(1, 1000) n;
INSERT INTO tellers SELECT n, 0 FROM generate_series(1, 10) n;
"""
WRITE = """
UPDATE accounts SET balance = balance + {delta} WHERE id = {account};
UPDATE tellers SET balance = balance + {delta} WHERE id = {teller};
INSERT INTO history (account, delta) VALUES ({account}, {delta});
INSERT INTO twins VALUES ('same');
DELETE FROM history WHERE id % 11 = 0;
"""
OLD = {
    "accounts": "SELECT id, balance, note FROM accounts",
    "tellers": "SELECT id, balance FROM tellers",
    "history": "SELECT id, account, delta FROM history",
    "twins": "TABLE twins",
}


@pytest.fixture(scope="module")
def server() -> Iterator[OwnPostgres]:
    with own_postgres(fsync="off") as running:  # killed processes only: the machine stays up
        yield running


@pytest.fixture
def world(server: OwnPostgres) -> Iterator[FallbackWorld]:
    with fallback_world(server.stack, SCHEMA) as made:
        yield made


class Writer:
    """The application: small transactions without a pause, acknowledged ones are counted."""

    def __init__(self, world: FallbackWorld, seed: int) -> None:
        self.acknowledged = 0
        self._world = world
        self._random = random.Random(seed)
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def _run(self) -> None:
        while not self._stop.is_set():
            try:
                with access.superuser(
                    self._world.stack, self._world.name, acting_as=access.OWNER
                ) as connection:
                    while not self._stop.is_set():
                        connection.execute(self._text().encode())
                        self.acknowledged += 1
            except psycopg.OperationalError:
                self._stop.wait(0.05)

    def _text(self) -> str:
        return WRITE.format(
            delta=self._random.randint(-99, 99),
            account=self._random.randint(1, 1000),
            teller=self._random.randint(1, 10),
        )

    def __enter__(self) -> "Writer":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join(120)


class Child:
    """A follower in a process."""

    def __init__(self, world: FallbackWorld, folder: Path) -> None:
        self._file = folder / "follow.json"
        url = access.url(world.stack, access.ADMIN, world.name)
        side = access.url(world.stack, access.ADMIN, world.side_name)
        told = {"source": url, "side": side, "slot": world.slot, "publication": world.publication}
        self._file.write_text(json.dumps(told))
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        command = [sys.executable, "-m", "tests.integration.fallback_process", str(self._file)]
        self._process = subprocess.Popen(command, stdout=subprocess.DEVNULL)

    def kill(self) -> None:
        assert self._process is not None
        assert self._process.poll() is None, "it ended by itself"
        self._process.send_signal(signal.SIGKILL)
        self._process.wait()


@contextmanager
def child(world: FallbackWorld, folder: Path) -> Iterator[Child]:
    one = Child(world, folder)
    one.start()
    try:
        yield one
    finally:
        one.kill()


def applied(world: FallbackWorld) -> int:
    found = world.run("SELECT transactions FROM slipway_fallback.position", world.side_name)
    return int(found[0][0])


async def followers(world: FallbackWorld, *names: str) -> dict[str, int]:
    """Wait for sessions of a follower, these at least, and return them: all of one look, since they
    come and go."""
    found: dict[str, int] = {}

    def there() -> bool:
        found.clear()
        found.update(world.followers())
        return bool(found) and found.keys() >= set(names)

    await until(there)
    return found


def ended(session: psycopg.Connection) -> bool:
    """Whether the server has ended a session, as it does with every one when one has crashed."""
    try:
        session.execute("SELECT 1")
    except psycopg.OperationalError:
        return True
    return False


async def assert_all_equal(world: FallbackWorld) -> None:
    for table, query in OLD.items():
        one, other = world.hashes(query, query)
        assert one == other, table
        assert one[0] > 0
    assert await world.conflicts() == []


async def test_follower_killed_many_times_loses_and_repeats_nothing(
    world: FallbackWorld, tmp_path: Path
) -> None:
    await world.begin()
    seed = int.from_bytes(os.urandom(4), "big")
    chance = random.Random(seed)
    print(f"seed {seed}")
    with Writer(world, seed) as writer:
        for _ in range(12):
            before = applied(world)
            with child(world, tmp_path):
                await until(lambda before=before: applied(world) > before + 5)  # type: ignore[misc] # a default is bound
                await asyncio.sleep(chance.random() * 0.4)  # anywhere in its work
        await until(lambda: writer.acknowledged > 500)
        world.migrate("ALTER TABLE accounts ADD extra int DEFAULT 4")
    with following(world) as follower:
        await world.drain(follower)
        assert applied(world) == writer.acknowledged + 1  # the marker; the migration is left out
    await assert_all_equal(world)


async def test_walsender_and_sessions_that_are_ended_are_opened_again(
    world: FallbackWorld,
) -> None:
    await world.begin()
    with Writer(world, 1), following(world) as follower:
        for _ in range(6):
            before = applied(world)
            await until(lambda before=before: applied(world) > before)  # type: ignore[misc] # a default is bound
            found = await followers(world)  # of those that were just ended, the next ones
            pid = random.choice(list(found.values()))
            world.run(f"SELECT pg_terminate_backend({pid})", "postgres")
        assert not follower.failed
    with following(world) as follower:
        await world.drain(follower)
    await assert_all_equal(world)


async def test_server_that_is_killed_and_restarted(
    server: OwnPostgres, world: FallbackWorld
) -> None:
    await world.begin()
    with Writer(world, 2) as writer, following(world) as follower:
        for number in range(3):
            before = applied(world)
            await until(lambda before=before: applied(world) > before + 20)  # type: ignore[misc] # a default is bound
            if number == 0:
                server.stop()
            elif number == 1:
                server.kill()
            else:  # a session that crashes makes the server recover
                found = await followers(world, "reader")
                with access.superuser(server.stack) as witness:
                    os.kill(found["reader"], signal.SIGKILL)
                    await until(lambda witness=witness: ended(witness))  # type: ignore[misc] # a default is bound
            server.start()  # and serves: before it has noticed, it would seem to
        await until(lambda: writer.acknowledged > 100)
    with following(world) as follower:
        await world.drain(follower)
        assert follower.lost == 0
    await assert_all_equal(world)


async def test_second_follower_takes_over_from_one_that_is_frozen(
    world: FallbackWorld, tmp_path: Path
) -> None:
    await world.begin()
    with Writer(world, 3), child(world, tmp_path) as frozen:
        await until(lambda: applied(world) > 20)
        assert frozen._process is not None
        frozen._process.send_signal(signal.SIGSTOP)
        with following(world) as follower:
            before = applied(world)
            await until(lambda: applied(world) > before + 20)
            assert not follower.failed
        frozen._process.send_signal(signal.SIGCONT)  # and comes back from behind
        before = applied(world)
        await until(lambda: applied(world) > before + 20)
    with following(world) as follower:
        await world.drain(follower)
    await assert_all_equal(world)
