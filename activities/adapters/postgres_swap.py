"""Swaps production with its side database: fence, drain, rename, reopen; and finishes or undoes
a swap that was cut off.

The order is the one that an admin session in another database can always bring to a good end.
Until the two renames, which are one transaction, every error reopens production unchanged.
"""

import json
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from typing import Any

from psycopg import sql

from activities.adapters import postgres_catalog as catalog
from activities.adapters import postgres_control as control
from activities.adapters import postgres_side as side
from activities.adapters.postgres_migrate import Order, fence_off
from activities.adapters.postgres_sessions import Connection, Sessions, row
from activities.adapters.postgres_url import Target
from activities.adapters.processes import uninterrupted
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


class Swapping:
    """The right to swap a database. Made by `swapping`."""

    def __init__(self, sessions: Sessions, admin: Connection, target: Target, order: Order) -> None:
        """`target`: production. `admin`: a session in another database, which holds the lock."""
        self._sessions = sessions
        self._admin = admin
        self._target = target
        self._order = order

    async def note(self) -> Note:
        """Return how far this operation has come."""
        found = await row(self._admin, _READ, *self._key)
        return Note(*found) if found else Note("begun", "", 0.0, None)

    async def recover(self) -> None:
        """Reopen production if an attempt was cut off while it was closed."""
        if not await side.exists(self._admin, self._order.database):
            raise ForeignChange(
                f"There is no database {self._order.database}.",
                "Somebody renamed or dropped it; look at pg_database and rename it back.",
            )
        await side.allow(self._admin, self._order.database, True)

    async def open_side(self, name: str) -> bool:
        """Open the side database for a look; return whether it is there."""
        if not await side.exists(self._admin, name):
            return False
        await side.allow(self._admin, name, True)
        return True

    async def take_over_settings(self, name: str) -> None:
        """Give the side database production's settings and grants as they are now."""
        await side.copy_settings(self._admin, self._order.database, name)

    async def swap(self, name: str) -> Note:
        """Swap production with the side database `name`; return the note with kept name and
        outage in seconds. The side database must have been proved equal to the backup before.

        Raises Fenced when a later decision came first; production is then open and unchanged.
        """
        kept = await self._free_name()
        began = time.monotonic()
        try:
            await self._drain(name)
            await self._rename(name, kept, began)
        except BaseException:
            await uninterrupted(self._reopen())
            raise
        return await self.note()

    async def _drain(self, name: str) -> None:
        """Close both databases, end all sessions, carry the sequences over."""
        production, copy = self._target, self._target.on(name)
        async with (
            self._sessions.session(production, "drain") as old,
            self._sessions.session(copy, "drain") as new,
        ):
            await self._close(name)
            await control.end_sessions(
                self._admin,
                databases=[production.database, name],
                spare=[old.info.backend_pid, new.info.backend_pid],
            )
            await catalog.advance_sequences(new, await catalog.sequences(old))
        await control.end_sessions(self._admin, databases=[production.database, name])

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
        """Whatever happened: the database with production's name must be open. By the session
        that holds the lock; when that one is gone, only if no newer attempt has taken over."""
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
        """Note the result, which a repetition of this operation then returns."""
        await self._write(phase="done")
        await self._admin.execute(_FINISH, [json.dumps(result), *self._key])

    async def _write(self, phase: str, kept: str = "", outage: float = 0.0) -> None:
        await self._admin.execute(_WRITE, [*self._key, phase, kept, outage])

    @property
    def _key(self) -> tuple[str, str, str]:
        return self._order.database, self._order.deployment, self._order.op_id


@asynccontextmanager
async def swapping(
    sessions: Sessions, target: Target, admin: Target, order: Order
) -> AsyncIterator[Swapping]:
    """Take the right to swap a database: its fence, the end of every migration, then the lock."""
    await fence_off(sessions, admin, order.database, order.fence, order.op_id)
    async with control.exclusive(sessions, admin, _lock(order.database)) as connection:
        yield Swapping(sessions, connection, target, order)


def _lock(database: str) -> str:
    return f"change {database}"
