"""A production database for one benchmark, with the rights slipway really has; and slipway's own
activities on it, as the worker runs them."""

import asyncio
import sys
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import uuid4

from psycopg import sql
from temporalio.testing import ActivityEnvironment

from activities.backups import Backups
from activities.database import DatabaseRollback
from activities.fallbacks import Fallbacks
from benchmarks import seeding
from benchmarks.clients import Clients, Order, running
from devstack.stack import Stack
from devstack.world.database import access, templates
from slipway.messages.fallback import EndFallback, FollowFallback
from slipway.messages.migration import DatabaseRolledBack
from slipway.messages.record import BackupTaken
from slipway.plan import Migrations
from tests.integration.data_world import DataWorld
from tests.integration.migration_case import Case

LEDGER = "drizzle.__drizzle_migrations"


@dataclass(frozen=True)
class Bench:
    """What every row is given."""

    stack: Stack
    folder: Path
    """For files; the row's own."""
    size: str
    runs: int
    say: Callable[[str], None]

    @contextmanager
    def world(self) -> "Iterator[World]":
        """A fresh copy of the seeded database; all that was made of it is dropped at the end."""
        template = seeding.template(self.stack, self.size, self.say)
        name = f"b{uuid4().hex[:10]}"
        folder = self.folder / name
        folder.mkdir(mode=0o700)
        with access.taking_turns(self.stack) as connection:
            for statement in (
                f"CREATE DATABASE {{}} OWNER {access.OWNER} TEMPLATE {template} STRATEGY file_copy",
                "REVOKE ALL ON DATABASE {} FROM PUBLIC",
                f"GRANT CONNECT ON DATABASE {{}} TO {access.APP}",
            ):
                connection.execute(sql.SQL(statement).format(sql.Identifier(name)))
            connection.execute("CHECKPOINT")  # what the copy left to write is not the row's
        world = World(self.stack, name, folder)
        try:
            yield world
        finally:
            _drop(world)


def _drop(world: "World") -> None:
    for slot, pid in world.run(
        "SELECT slot_name, active_pid FROM pg_replication_slots"
        f" WHERE starts_with(database, '{world.name}')",
        "postgres",
    ):
        if pid is not None:
            world.run(f"SELECT pg_terminate_backend({pid}, 10000)", "postgres")
        world.run(f"SELECT pg_drop_replication_slot('{slot}')", "postgres")
    with access.taking_turns(world.stack) as connection:
        for one in world.databases():
            templates.drop(connection, one)


class World(DataWorld):
    """One production database and what slipway does with it."""

    _groups = 0
    """Of clients so far: each group's postings have numbers of their own."""

    async def back_up(self, tag: str = "1", *, follow: bool = False) -> BackupTaken:
        """Take a backup; `follow`: its copy is to follow production."""
        request = self.take(tag).model_copy(update={"follow": LEDGER if follow else ""})
        taken = await ActivityEnvironment().run(Backups(self.postgres, self.store).take, request)
        if follow and taken.fallback is None:
            raise RuntimeError(f"There is no fallback to measure: {taken.no_fallback}")
        return taken

    def case(self, migration: str, **plan: Any) -> Case:
        """A migration, to be applied by slipway as the plan's defaults say."""
        folder = self.folder / f"case-{uuid4().hex[:6]}"
        folder.mkdir()
        case = Case(self, folder, [migration])
        command = [sys.executable, "migrate.py"]
        case.plan = Migrations(folder="migrations", command=command, generate=[], **plan)
        return case

    async def take_back(self, taken: BackupTaken, **more: Any) -> DatabaseRolledBack:
        """What the rollback does with the database; `lossless`: to the copy that followed."""
        given = {"catch_up": 900.0, "folder": f"{self.backup.prefix}records/x/", **more}
        request = self.roll_back(taken).model_copy(update=given)
        activities = DatabaseRollback(self.postgres, self.store)
        return await ActivityEnvironment().run(activities.roll_back, request)

    @asynccontextmanager
    async def following(self, taken: BackupTaken) -> "AsyncIterator[asyncio.Task[Any]]":
        """Follow while the block lasts."""
        request = FollowFallback(deployment=self.deployment, database=self.database, backup=taken)
        work = asyncio.create_task(
            ActivityEnvironment().run(Fallbacks(self.postgres).follow, request)
        )
        try:
            yield work
            if work.done():
                work.result()
        finally:
            work.cancel()
            with suppress(asyncio.CancelledError):
                await asyncio.gather(work, return_exceptions=True)

    async def end_fallback(self, taken: BackupTaken) -> None:
        """Drop what follows, as the deployment's end does."""
        request = EndFallback(deployment=self.deployment, database=self.database, backup=taken)
        await ActivityEnvironment().run(Fallbacks(self.postgres).end, request)

    @contextmanager
    def clients(self, rate: float, **order: Any) -> "Iterator[Clients]":
        """Clients as the services' role; see `clients.Order`."""
        log = self.folder / f"log-{uuid4().hex[:6]}"
        self._groups += 1
        url = access.url(self.stack, access.APP, self.name)
        order = {"first": self._groups * seeding.FIRST_WRITTEN, **order}
        with running(Order(url=url, log=str(log), rate=rate, **order)) as found:
            yield found

    def written(self) -> set[int]:
        """Numbers of the postings by clients that production holds."""
        query = f"SELECT id FROM postings WHERE id >= {seeding.FIRST_WRITTEN}"
        return {number for (number,) in self.run(query)}

    def torn(self) -> int:
        """How far the accounts are from their postings: 0, else half a write was kept."""
        query = (
            "SELECT (SELECT sum(touched) FROM accounts)"
            f" - (SELECT count(*) FROM postings WHERE id >= {seeding.FIRST_WRITTEN})"
        )
        return int(self.run(query)[0][0])


async def acknowledged(clients: Clients, count: int, seconds: float = 300) -> None:
    """Wait until so many operations were acknowledged. Raises TimeoutError."""
    async with asyncio.timeout(seconds):
        while clients.count() < count:  # noqa: ASYNC110 - another process sets no event
            await asyncio.sleep(0.1)


def timed() -> Callable[[], float]:
    """Start a clock; calling it tells the seconds since."""
    began = time.monotonic()
    return lambda: time.monotonic() - began
