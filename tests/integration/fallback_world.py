"""A production database and the side database that follows it, by the role slipway really has."""

import asyncio
import subprocess
import threading
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from uuid import uuid4

import psycopg
from psycopg import pq, sql

from activities.adapters.fallback import catalog, store
from activities.adapters.fallback.catalog import Carried, NotCarried
from activities.adapters.fallback.follower import Follower
from activities.adapters.fallback.protocol import parse_lsn
from activities.adapters.fallback.store import Conflict
from activities.adapters.postgres.sessions import Connection, Sessions
from activities.adapters.postgres.url import Target
from devstack.stack import Stack
from devstack.world.database import access, templates
from slipway import pg_commands
from tests.integration.data_world import until

LEDGER = "drizzle.__drizzle_migrations"
_LEDGER = """
CREATE SCHEMA drizzle;
CREATE TABLE drizzle.__drizzle_migrations (
    id serial PRIMARY KEY, hash text NOT NULL, created_at bigint);
"""
APPLIED = "INSERT INTO drizzle.__drizzle_migrations (hash, created_at) VALUES ('h', 1);"


@dataclass
class FallbackWorld:
    """One production database on a server, and what is made of it."""

    stack: Stack
    name: str
    carried: list[Carried] = field(default_factory=list)
    left: list[NotCarried] = field(default_factory=list)

    @property
    def side_name(self) -> str:
        return f"{self.name}_side"

    @property
    def slot(self) -> str:
        return f"s_{self.name}"

    @property
    def publication(self) -> str:
        return f"p_{self.name}"

    @property
    def production(self) -> Target:
        word = access.password(self.stack, access.ADMIN)
        return Target(self.stack.pg_host, self.stack.pg_port, access.ADMIN, self.name, word)

    @property
    def side(self) -> Target:
        return self.production.on(self.side_name)

    @property
    def sessions(self) -> Sessions:
        return Sessions(Path(self.stack.pg_bin))

    def run(
        self, query: str, database: str | None = None, values: Sequence[Any] | None = None
    ) -> list[tuple[Any, ...]]:
        """As superuser, past every right; in autocommit."""
        with access.superuser(self.stack, database or self.name) as connection:
            cursor = connection.execute(query.encode(), values)
            while cursor.nextset():
                pass  # the last statement's rows are asked for
            return cursor.fetchall() if cursor.description else []

    def as_owner(self, *queries: str) -> None:
        """What the application and the migration tool do: each text in one transaction."""
        with access.superuser(self.stack, self.name, acting_as=access.OWNER) as connection:
            for query in queries:
                connection.execute(query.encode())

    def migrate(self, query: str) -> None:
        """A migration with its row in the ledger, in one transaction."""
        self.as_owner(query + ";" + APPLIED)

    def create(self, schema: str) -> None:
        with access.superuser(self.stack) as connection:
            connection.execute(
                sql.SQL("CREATE DATABASE {} OWNER {}").format(
                    sql.Identifier(self.name), sql.Identifier(access.OWNER)
                )
            )
        self.as_owner(_LEDGER + schema)

    async def begin(self) -> None:
        """What the backup does: publication, slot, dump of its snapshot, side database."""
        async with self.sessions.session(self.production) as session:
            known, _ = await catalog.carriable(session)
            version = session.info.server_version
            await session.execute(catalog.publication_sql(self.publication, known, version))
        with _walsender(self.production) as walsender:
            answer = walsender.exec_(
                f"CREATE_REPLICATION_SLOT {self.slot} LOGICAL pgoutput (SNAPSHOT 'export')".encode()
            )
            assert answer.status == pq.ExecStatus.TUPLES_OK, answer.get_error_message()
            position = (answer.get_value(0, 1) or b"").decode()
            snapshot = (answer.get_value(0, 2) or b"").decode()
            self.carried, self.left = await self._carriable(snapshot)
            with access.superuser(self.stack) as connection:
                connection.execute(
                    sql.SQL("CREATE DATABASE {} OWNER {} TEMPLATE template0").format(
                        sql.Identifier(self.side_name), sql.Identifier(access.OWNER)
                    )
                )
            await asyncio.to_thread(self._copy, snapshot)
        async with self.side_session() as session:
            await store.prepare(session, self.carried, position, LEDGER)

    async def _carriable(self, snapshot: str) -> tuple[list[Carried], list[NotCarried]]:
        async with self.sessions.session(self.production) as session, session.transaction():
            await session.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
            await session.execute(
                sql.SQL("SET TRANSACTION SNAPSHOT {}").format(sql.Literal(snapshot))
            )
            return await catalog.carriable(session)

    def _copy(self, snapshot: str) -> None:
        programs = Path(self.stack.pg_bin)
        environment = {"PGPASSWORD": self.production.password, "LC_ALL": "C"}
        dump = pg_commands.dump(str(programs / "pg_dump"), self.production.where, snapshot)
        dumped = subprocess.run(dump, env=environment, capture_output=True, check=False)
        assert dumped.returncode == 0, dumped.stderr.decode()
        restore = [str(programs / "pg_restore"), *self.side.where.arguments, "--exit-on-error"]
        restore += ["--no-publications", "--no-subscriptions"]
        done = subprocess.run(
            restore, env=environment, input=dumped.stdout, capture_output=True, check=False
        )
        assert done.returncode == 0, done.stderr.decode()

    @asynccontextmanager
    async def side_session(self) -> AsyncIterator[Connection]:
        async with self.sessions.session(self.side) as session:
            yield session

    def follower(self) -> Follower:
        return Follower(self.production, self.side, slot=self.slot, publication=self.publication)

    async def mark(self) -> str:
        """Write a drain marker into production's log and return its position."""
        async with self.sessions.session(self.production) as session:
            return await store.mark(session)

    def is_beyond(self, marker: str) -> bool:
        """Whether the side database has what was committed before a marker."""
        query = "SELECT lsn > %s::pg_lsn FROM slipway_fallback.position"
        return bool(self.run(query, self.side_name, [marker])[0][0])

    def followers(self) -> dict[str, int]:
        """The server processes of who follows: `reader` of the slot, `catalog`, `side`."""
        query = (
            "SELECT datname, backend_type, pid FROM pg_stat_activity WHERE application_name = %s"
        )
        found = self.run(query, values=[f"slipway fallback {self.slot}"])
        names = {self.side_name: "side", self.name: "catalog"}
        return {
            "reader" if kind == "walsender" else names[database]: pid
            for database, kind, pid in found
        }

    async def drain(self, following: "Following", seconds: float = 120) -> None:
        """Wait until the side database has everything that was committed so far."""
        marker = await self.mark()
        await until(lambda: following.failed or self.is_beyond(marker), seconds)
        follower = following.follower  # which tells of what it has committed a moment later
        await until(
            lambda: following.failed or follower.progress.position > parse_lsn(marker), seconds
        )
        if following.failed:
            raise following.failed[0]

    async def conflicts(self) -> list[Conflict]:
        async with self.side_session() as session:
            return [one async for one in store.conflicts(session)]

    def hashes(self, production: str, side: str, first: str = "") -> tuple[Any, Any]:
        """Rows and content of two queries, hashed by the server."""
        return self._hash(production, self.name, first), self._hash(side, self.side_name, first)

    def _hash(self, query: str, database: str, first: str) -> tuple[Any, ...]:
        settings = f"SET timezone = 'UTC'; SET extra_float_digits = 3; {first}"
        text = "SELECT count(*), coalesce(sum(hashtextextended(q::text, 0)::numeric), 0)"
        with access.superuser(self.stack, database) as connection:
            connection.execute(settings.encode())
            return connection.execute(f"{text} FROM ({query}) AS q".encode()).fetchone() or ()

    def drop(self) -> None:
        with access.superuser(self.stack) as connection:
            for (holder,) in connection.execute(
                "SELECT active_pid FROM pg_replication_slots WHERE slot_name = %s"
                " AND active_pid IS NOT NULL",
                [self.slot],
            ).fetchall():
                connection.execute("SELECT pg_terminate_backend(%s, 10000)", [holder])
            connection.execute(
                "SELECT pg_drop_replication_slot(slot_name) FROM pg_replication_slots"
                " WHERE slot_name = %s AND active_pid IS NULL",
                [self.slot],
            )
            for name in (self.name, self.side_name):
                templates.drop(connection, name)  # with a slot whose reader is still ending


@contextmanager
def _walsender(target: Target) -> Iterator[pq.abc.PGconn]:
    conninfo = psycopg.conninfo.make_conninfo(**target.arguments(), replication="database")
    connection = pq.PGconn.connect(conninfo.encode())
    try:
        yield connection
    finally:
        connection.finish()


class Following:
    """A follower in a thread; run again when a connection is lost, as the activity does."""

    def __init__(self, follower: Follower) -> None:
        self.follower = follower
        self.failed: list[BaseException] = []
        self.lost = 0
        """How many times a connection was lost."""
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def _run(self) -> None:
        while not self._stop.is_set():
            try:
                self.follower.run(self._stop)
            except psycopg.OperationalError:
                self.lost += 1
                self._stop.wait(0.1)
            except BaseException as error:
                self.failed.append(error)
                return

    def start(self) -> "Following":
        self._thread.start()
        return self

    def stop(self) -> None:
        self._stop.set()
        self._thread.join(120)
        assert not self._thread.is_alive()


@contextmanager
def following(world: FallbackWorld) -> Iterator[Following]:
    """Follow for a while."""
    one = Following(world.follower()).start()
    try:
        yield one
    finally:
        one.stop()


@contextmanager
def fallback_world(stack: Stack, schema: str) -> Iterator[FallbackWorld]:
    """Make production with the schema; drop all at the end."""
    world = FallbackWorld(stack, f"f{uuid4().hex[:10]}")
    try:
        world.create(schema)
        yield world
    finally:
        world.drop()
