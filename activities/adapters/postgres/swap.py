"""Swaps production with its side database: fence, drain, rename, reopen; and finishes or undoes
a swap that was cut off.

The order is the one that an admin session in another database can always bring to a good end.
Clients of a pooler wait meanwhile instead of seeing errors, and are let go whatever happens.
Until the two renames, which are one transaction, every error reopens production unchanged.
"""

import json
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from typing import Any

from psycopg import sql

from activities.adapters.pooler_pause import PoolerPause
from activities.adapters.postgres import catalog, control, marks, side
from activities.adapters.postgres.extent import copy_publications
from activities.adapters.postgres.migrate import Order, fence_off
from activities.adapters.postgres.sessions import Connection, Sessions, row
from activities.adapters.postgres.url import Target
from activities.uninterrupted import uninterrupted
from slipway.errors import ForeignChange
from slipway.judgements.backup import MARK, short_id

_READ = (
    "SELECT phase, kept, outage, result FROM slipway.database_swap"
    " WHERE database = %s AND deployment = %s AND op_id = %s"
)
_FINISH = (
    "UPDATE slipway.database_swap SET result = %s"
    " WHERE database = %s AND deployment = %s AND op_id = %s"
)
_WRITE = """
INSERT INTO slipway.database_swap (database, deployment, op_id, phase, kept, outage)
VALUES (%s, %s, %s, %s, %s, %s)
ON CONFLICT (database, deployment, op_id) DO UPDATE SET phase = excluded.phase, at = now(),
    kept = coalesce(nullif(excluded.kept, ''), slipway.database_swap.kept),
    outage = coalesce(nullif(excluded.outage, 0), slipway.database_swap.outage)"""


@dataclass(frozen=True)
class Note:
    """How far this swap has come. It stands in the control database."""

    phase: str
    """`begun`, `closing` (production may be closed), `swapped`, `done`."""
    kept: str
    """The database that was swapped out, once it was."""
    outage: float
    result: dict[str, Any] | None


class Last:
    """What is done between the fence and the swap: sequences are carried over."""

    async def spared(self, admin: Connection) -> list[int]:
        """Return the server processes that the fence spares; asked when nobody new can come."""
        return []

    async def act(self, production: Connection, copy: Connection) -> None:
        """Do it, by sessions that were opened before both databases were closed."""
        await catalog.advance_sequences(copy, await catalog.sequences(production))


class Swapping:
    """The right to swap a database. Made by `swapping`."""

    def __init__(
        self,
        sessions: Sessions,
        admin: Connection,
        target: Target,
        order: Order,
        poolers: Sequence[str] = (),
    ) -> None:
        """`target`: production. `admin`: a session in another database, which holds the lock.
        `poolers`: references to the consoles of the poolers in front of production."""
        self._sessions = sessions
        self._admin = admin
        self._target = target
        self._order = order
        self._clients = PoolerPause(poolers, order.database)
        self.missing: list[str] = []
        """Sentences: what the swapped-in database lacks of production's own."""

    @property
    def remarks(self) -> list[str]:
        """Sentences about what was not as it should be, though the swap went well."""
        left = [f"Not taken over: {'; '.join(self.missing)}."] if self.missing else []
        return [*left, *self._clients.remarks]

    async def note(self) -> Note:
        """Return how far this operation has come."""
        found = await row(self._admin, _READ, *self._key)
        return Note(*found) if found else Note("begun", "", 0.0, None)

    async def recover(self) -> None:
        """Reopen production if an attempt was cut off while it was closed, and let clients go on
        that it has left waiting."""
        if not await side.exists(self._admin, self._order.database):
            raise ForeignChange(
                f"There is no database {self._order.database}.",
                "Somebody renamed or dropped it; look at pg_database and rename it back.",
            )
        await side.allow(self._admin, self._order.database, True)
        await self._clients.let_go(self._admin)

    async def open_side(self, name: str) -> bool:
        """Open the side database for a look; return whether it is there."""
        if not await side.exists(self._admin, name):
            return False
        await side.allow(self._admin, name, True)
        return True

    async def take_over_settings(self, name: str) -> None:
        """Give the side database production's settings and grants as they are now."""
        await side.copy_settings(self._admin, self._order.database, name)

    async def swap(self, name: str, last: "Last | None" = None) -> Note:
        """Swap production with the side database `name`; return the note with kept name and
        outage in seconds. `last`: what is done to the two while nobody else can reach them. The
        side database must have been proved before, or be followed by `last`.

        Raises Fenced when a later decision came first; production is then open and unchanged.
        """
        kept = await self._free_name()
        try:
            began = await self._drain(name, last or Last())
            await self._rename(name, kept, began)
        except BaseException:
            await uninterrupted(self._reopen())
            raise
        await uninterrupted(self._clients.let_go(self._admin))
        return await self.note()

    async def _drain(self, name: str, last: "Last") -> float:
        """Close both databases, end all sessions, do what is to be done last; return when they
        were closed."""
        production, copy = self._target, self._target.on(name)
        async with (
            self._sessions.session(production, "drain") as old,
            self._sessions.session(copy, "drain") as new,
        ):
            await self._check_fence()
            began = time.monotonic()
            await self._clients.hold(self._admin)
            await self._close(name)
            await control.end_sessions(
                self._admin,
                databases=[production.database, name],
                spare=[
                    old.info.backend_pid,
                    new.info.backend_pid,
                    *await last.spared(self._admin),
                ],
            )
            await last.act(old, new)
            self.missing = await copy_publications(old, new)
        await control.end_sessions(self._admin, databases=[production.database, name])
        return began

    async def _close(self, name: str) -> None:
        async with self._admin.transaction():
            await self._check_fence()
            await self._write(phase="closing")
            await side.allow(self._admin, self._order.database, False)
            await side.allow(self._admin, name, False)

    async def _rename(self, name: str, kept: str, began: float) -> None:
        production = self._order.database
        async with self._admin.transaction():
            await self._check_fence()
            await self._change_name(production, kept)
            await self._change_name(name, production)
            await side.allow(self._admin, production, True)
            await marks.end_below(self._admin, production, self._order.fence)
            await self._write(phase="swapped", kept=kept, outage=time.monotonic() - began)

    async def _change_name(self, old: str, new: str) -> None:
        await self._admin.execute(
            sql.SQL("ALTER DATABASE {} RENAME TO {}").format(
                sql.Identifier(old), sql.Identifier(new)
            )
        )

    async def _check_fence(self) -> None:
        order = self._order
        await control.check(self._admin, order.database, order.fence, order.op_id, undo=True)

    async def _reopen(self) -> None:
        """Whatever happened: the database with production's name must be open, and nobody left
        waiting for it; what fails here the next attempt does."""
        with suppress(Exception):
            await self._open_again()
        with suppress(Exception):
            await self._clients.let_go(self._admin)

    async def _open_again(self) -> None:
        """By the session that holds the lock; when that one is gone, only if no newer attempt has
        taken over."""
        if not self._admin.closed and not self._admin.broken:
            with suppress(Exception):
                await side.allow(self._admin, self._order.database, True)
                return
        admin = self._target.on(self._admin.info.dbname)
        async with self._sessions.session(admin, "reopen") as again:
            if await control.try_lock(again, _lock(self._order.database)):
                await side.allow(again, self._order.database, True)

    async def _free_name(self) -> str:
        stem = f"{MARK}{short_id(self._order.deployment)}_kept"
        for number in ("", *map(str, range(2, 100))):
            name = self._order.database[: 63 - len(stem) - len(number)] + stem + number
            if not await side.exists(self._admin, name):
                return name
        raise ForeignChange(
            f"{self._order.database} has too many kept copies.", "Drop those nobody needs."
        )

    async def look_into(self, kept: str) -> Target:
        """Open the database that was swapped out, to its owner and administrators only."""
        await side.close_to_others(self._admin, kept, self._order.owner)
        await side.allow(self._admin, kept, True)
        return self._target.on(kept)

    async def finish(self, result: dict[str, Any]) -> None:
        """Note the result, which a repetition of this operation then returns. The database is the
        backup now, by a swap or by proof: no migration in it is from an attempt before this."""
        async with self._admin.transaction():
            await marks.end_below(self._admin, self._order.database, self._order.fence)
            await self._write(phase="done")
            await self._admin.execute(_FINISH, [json.dumps(result), *self._key])

    async def _write(self, phase: str, kept: str = "", outage: float = 0.0) -> None:
        await self._admin.execute(_WRITE, [*self._key, phase, kept, outage])

    @property
    def _key(self) -> tuple[str, str, str]:
        return self._order.database, self._order.deployment, self._order.op_id


@asynccontextmanager
async def swapping(
    sessions: Sessions, target: Target, admin: Target, order: Order, poolers: Sequence[str] = ()
) -> AsyncIterator[Swapping]:
    """Take the right to swap a database: its fence, the end of every migration, then the lock.
    `poolers`: references to the consoles of the poolers in front of it."""
    await fence_off(sessions, admin, order.database, order.fence, order.op_id)
    async with control.exclusive(sessions, admin, _lock(order.database)) as connection:
        yield Swapping(sessions, connection, target, order, poolers)


def _lock(database: str) -> str:
    return f"change {database}"
