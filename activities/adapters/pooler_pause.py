"""Clients of the poolers wait while a database is swapped, and go on whatever happens.

What is paused is noted in the control database before, by name: an attempt that comes after a
killed one finds it there and lets the clients go. What somebody else has paused stays paused.
"""

import asyncio
import time
from collections.abc import Sequence

from activities.adapters.pgbouncer import PgBouncer
from activities.adapters.postgres.sessions import Connection, rows
from slipway.errors import SlipwayError, Unreachable

TABLE = """
CREATE TABLE IF NOT EXISTS slipway.pooler_pause (
    pooler text, entry text, database name NOT NULL, at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (pooler, entry))"""
_NOTED = "SELECT pooler, entry FROM slipway.pooler_pause WHERE database = %s ORDER BY 1, 2"
_FORGET = "DELETE FROM slipway.pooler_pause WHERE database = %s AND pooler = %s"
_NOTE = (
    "INSERT INTO slipway.pooler_pause (pooler, entry, database)"
    " SELECT %s, unnest(%s::text[]), %s ON CONFLICT DO NOTHING"
)
_PATIENCE = 10.0
"""Seconds in which a pooler must answer before somebody is told."""
_AGAIN = 0.2


class PoolerPause:
    """The clients of all poolers in front of one database."""

    def __init__(self, references: Sequence[str], database: str) -> None:
        """`references`: to the consoles; `database`: by its name on the server."""
        self._references = references
        self._database = database
        self._held: dict[str, list[str]] = {}
        self.remarks: list[str] = []
        """Sentences: whose clients could not be let wait, and why."""

    async def hold(self, admin: Connection) -> None:
        """Let the clients wait. A pooler that cannot be asked is left out, since a rollback does
        not wait for it: its clients see errors until the swap is done, which `remarks` says."""
        await asyncio.gather(*(self._hold(admin, one) for one in self._references))

    async def _hold(self, admin: Connection, reference: str) -> None:
        try:
            pooler = PgBouncer(reference)
            found = await pooler.entries()
            mine = [one.name for one in found if one.database == self._database and not one.paused]
            if mine:
                await admin.execute(_NOTE, [reference, mine, self._database])
                self._held[reference] = mine
                await pooler.pause(mine)
        except SlipwayError as error:
            self.remarks.append(f"Clients of the pooler {reference} saw errors: {error.what}")

    async def let_go(self, admin: Connection) -> None:
        """Let all clients go on that this attempt, or one that was cut off, lets wait.

        Raises Unreachable, with what to do by hand, when a pooler does not answer.
        """
        if not admin.closed and not admin.broken:
            for pooler, entry in await rows(admin, _NOTED, self._database):
                held = self._held.setdefault(pooler, [])
                if entry not in held:
                    held.append(entry)
        done = await asyncio.gather(
            *(self._release(admin, *one) for one in self._held.items()), return_exceptions=True
        )
        for one in done:
            if isinstance(one, BaseException):
                raise one

    async def _release(self, admin: Connection, reference: str, entries: list[str]) -> None:
        deadline = time.monotonic() + _PATIENCE
        while True:
            try:
                await PgBouncer(reference).resume(entries)
                break
            except SlipwayError as error:
                if time.monotonic() > deadline:
                    raise self._stuck(reference, entries, error) from error
            await asyncio.sleep(_AGAIN)
        if not admin.closed and not admin.broken:
            await admin.execute(_FORGET, [self._database, reference])
        del self._held[reference]

    def _stuck(self, reference: str, entries: list[str], error: SlipwayError) -> Unreachable:
        names = ", ".join(entries)
        return Unreachable(
            f"Clients of {names} may still be waiting in the pooler {reference}: {error.what}",
            f"Run at its console: RECONNECT {entries[0]}; RESUME {entries[0]}; It is tried again.",
        )
