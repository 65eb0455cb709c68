"""Production, where rows that a rollback set aside are written again, or only tried.

A few rows make a transaction, under the fence that stood when it began.
"""

from collections.abc import AsyncIterator
from contextlib import AbstractContextManager, asynccontextmanager
from pathlib import Path

from activities.adapters.postgres import control
from activities.adapters.postgres import reapply_rows as written
from activities.adapters.postgres.reapply_spool import Kept, Spool, spooling
from activities.adapters.postgres.reapply_table import Table
from activities.adapters.postgres.sessions import Connection, Sessions, row, rows
from activities.adapters.postgres.url import Target
from slipway.errors import Fenced, ForeignChange
from slipway.judgements.rows_file import RowVerdict as Verdict
from slipway.judgements.rows_file import parents_first
from slipway.messages.reapply import Chosen

_LOCK_TIMEOUT = "2s"
_PURPOSE = "reapply"

_TABLES = """
SELECT n.nspname || '.' || c.relname, n.nspname, c.relname, coalesce((
    SELECT array_agg(a.attname::text ORDER BY k.place) FROM pg_index i
    CROSS JOIN unnest(i.indkey) WITH ORDINALITY k (attnum, place)
    JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum = k.attnum
    WHERE i.indrelid = c.oid AND i.indisprimary), '{}'),
    (SELECT array_agg(a.attname::text) FROM pg_attribute a
     WHERE a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped)
FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE c.relkind IN ('r', 'p') AND c.relpersistence <> 't' AND n.nspname !~ '^pg_'
    AND n.nspname NOT IN ('information_schema', 'slipway_fallback')
    AND NOT EXISTS (SELECT FROM pg_depend d WHERE d.classid = 'pg_class'::regclass
                    AND d.objid = c.oid AND d.deptype = 'e')"""

_REFERENCES = """
SELECT cn.nspname || '.' || c.relname, pn.nspname || '.' || p.relname
FROM pg_constraint k JOIN pg_class c ON c.oid = k.conrelid
JOIN pg_namespace cn ON cn.oid = c.relnamespace JOIN pg_class p ON p.oid = k.confrelid
JOIN pg_namespace pn ON pn.oid = p.relnamespace WHERE k.contype = 'f'"""

_LEFT = """
SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity
WHERE datname = current_database() AND application_name = 'slipway reapply'
    AND pid <> pg_backend_pid()"""


_FENCE = "SELECT fence FROM slipway.fence WHERE database = %s"


class Reapplying:
    """Production, where rows are written again. Made by `reapplying`."""

    def __init__(self, admin: Connection, session: Connection, database: str, fence: int) -> None:
        self._admin = admin
        self._session = session
        self._database = database
        self.fence = fence
        """Of the database when it began."""
        self.tables: dict[str, Table] = {}

    async def look(self, ledger: str) -> None:
        """Read which tables there are. The ledger is nobody's to write."""
        found = await rows(self._session, _TABLES)
        self.tables = {one[0]: Table(*one) for one in found if one[0] != ledger}

    def spooling(self, folder: Path, chosen: Chosen) -> AbstractContextManager[Spool]:
        """Make a spool for rows of these tables, those that are chosen."""
        return spooling(folder, {name: one.shape for name, one in self.tables.items()}, chosen)

    async def look_at(self, name: str) -> Table:
        """Return a table with its columns as they are now."""
        await self.tables[name].look(self._session)
        return self.tables[name]

    async def leave(self, name: str) -> None:
        """Call it when rows were written into a table."""
        await self.tables[name].advance_sequences(self._session)

    async def order(self, wanted: list[str]) -> list[str]:
        """Return tables so that those that others refer to come first."""
        return parents_first(wanted, [(a, b) for a, b in await rows(self._session, _REFERENCES)])

    async def write(
        self, table: Table, batch: list[Kept], *, apply: bool, over: bool
    ) -> list[Verdict]:
        """Write rows in one transaction, or try them and take all back; return what became of each.

        Raises Fenced when a later decision came first, Unreachable when a session is lost.
        """
        async with self._admin.transaction(), self._session.transaction(force_rollback=not apply):
            await self._check_fence()
            await written.prepare(self._session, table)
            both = await written.write_together(self._session, table, batch)
            if both is not None:
                found = [both] * len(batch)
            else:
                found = [
                    await written.write_one(self._session, table, one, over=over) for one in batch
                ]
        tried = Verdict("fits")
        return [one if apply or one.outcome != "applied" else tried for one in found]

    async def _check_fence(self) -> None:
        """Whoever migrates or takes back the database waits until this transaction is over."""
        stands = await _fence(self._admin, self._database, lock=True)
        if stands != self.fence:
            raise Fenced(
                f"Database {self._database} is fenced at {stands} now, it was at {self.fence}: "
                "it was migrated or taken back meanwhile.",
                "Look at what was done; rows that were written before it are in that database.",
            )


@asynccontextmanager
async def reapplying(
    sessions: Sessions, target: Target, admin: Target, fence: int | None
) -> AsyncIterator[Reapplying]:
    """Take the right to write rows into production: nobody else does, and nobody migrates it or
    takes it back now. Who begins to is not held up: it ends this.

    `fence`: the one that must stand; None: the one that stands. Raises ForeignChange, Fenced.
    """
    name = target.database
    async with (
        control.exclusive(sessions, admin, f"{_PURPOSE} {name}") as connection,
        sessions.session(target, _PURPOSE) as session,
    ):
        await control.prepare(connection)
        if not await control.try_lock(connection, f"change {name}"):
            raise ForeignChange(
                f"Database {name} is being migrated or taken back just now.",
                "Wait until that deployment has ended, then run the command again.",
            )
        await rows(session, _LEFT)  # an attempt that was cut off or is frozen
        await session.execute(f"SET lock_timeout = '{_LOCK_TIMEOUT}'")
        work = Reapplying(connection, session, name, fence if fence is not None else 0)
        if fence is None:
            work.fence = await _fence(connection, name)
        yield work


async def _fence(admin: Connection, database: str, *, lock: bool = False) -> int:
    found = await row(admin, f"{_FENCE} FOR SHARE" if lock else _FENCE, database)
    return int(found[0]) if found else 0
