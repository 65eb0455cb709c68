"""Counts the later writes that a swap of databases loses.

Before production is closed, two hashes of every row of the side database (its key, its content)
are written to files: the side database never changes until the swap. After the swap, the database
that was swapped out is compared with them on the server. So the count costs no outage and is not
blurred by what is written afterwards.
"""

import asyncio
from dataclasses import dataclass, field
from pathlib import Path

from psycopg import sql

from activities.adapters import postgres_catalog as catalog
from activities.adapters.postgres_sessions import Connection, row, rows
from slipway.messages.record import TableFingerprint

_COLUMNS = """
SELECT a.attname, format_type(a.atttypid, a.atttypmod),
       EXISTS (SELECT FROM pg_index i WHERE i.indrelid = c.oid AND i.indisprimary
               AND a.attnum = ANY(i.indkey))
FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid
JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE n.nspname = %s AND c.relname = %s AND a.attnum > 0 AND NOT a.attisdropped
ORDER BY a.attnum"""

_MISSING = sql.SQL(
    "SELECT count(*) FILTER (WHERE b.k IS NULL),"
    " count(*) FILTER (WHERE b.k IS NOT NULL AND b.r <> h.r)"
    " FROM ({hashes}) AS h LEFT JOIN slipway_before b USING (k)"
)
_MISSING_KEYLESS = sql.SQL(
    "SELECT count(*), 0 FROM ({hashes} EXCEPT ALL SELECT k, r FROM slipway_before) AS h"
)


@dataclass(frozen=True)
class _Table:
    schema: str
    name: str
    key: tuple[str, ...]
    content: tuple[str, ...]
    file: Path

    @property
    def hashes(self) -> sql.Composable:
        """Query of two hashes a row: of its key (of its content where it has none), of content."""
        key = self.key or self.content
        return sql.SQL(
            "SELECT hashtextextended(ROW({})::text, 0) AS k,"
            " hashtextextended(ROW({})::text, 0) AS r FROM ONLY {}"
        ).format(
            sql.SQL(", ").join(map(sql.Identifier, key)),
            sql.SQL(", ").join(map(sql.Identifier, self.content)),
            sql.Identifier(self.schema, self.name),
        )


@dataclass
class Lost:
    """What was written after the backup and is gone from production."""

    tables: list[TableFingerprint] = field(default_factory=list)
    """Rows by key that are missing after the swap, per table that has any."""
    changed: int = 0
    """Rows that are there with other content: later updates, or the migration's own."""


@dataclass(frozen=True)
class Baseline:
    """The rows of the side database, as hashes in files."""

    tables: list[_Table]
    ledger: str

    async def lost_in(self, kept: Connection) -> Lost:
        """Compare the database that was swapped out. The ledger is no write of anybody's."""
        lost = Lost()
        known = {(one.schema, one.name): one for one in self.tables}
        for schema, name in await catalog.table_names(kept):
            if f"{schema}.{name}" == self.ledger:
                continue
            table = known.get((schema, name))
            missing, changed = await (_compare(kept, table) if table else _all(kept, schema, name))
            lost.changed += changed
            if missing:
                one = TableFingerprint(table=f"{schema}.{name}", rows=missing, hash="")
                lost.tables.append(one)
        return lost


async def baseline(before: Connection, after: Connection, folder: Path, ledger: str) -> Baseline:
    """Note every row of `before` by what it has in common with `after`, the changed schema."""
    tables = []
    for number, (schema, name) in enumerate(await catalog.table_names(before)):
        table = await _table(before, after, schema, name, folder / f"{number}.rows")
        if table is not None:
            await _save(before, table)
            tables.append(table)
    return Baseline(tables, ledger)


async def _table(
    before: Connection, after: Connection, schema: str, name: str, file: Path
) -> _Table | None:
    old = await rows(before, _COLUMNS, schema, name)
    new = {column: kind for column, kind, _ in await rows(after, _COLUMNS, schema, name)}
    common = tuple(column for column, kind, _ in old if new.get(column) == kind)
    if not common:
        return None
    key = tuple(column for column, _, is_key in old if is_key)
    return _Table(schema, name, key if all(one in new for one in key) else (), common, file)


async def _save(session: Connection, table: _Table) -> None:
    query = sql.SQL("COPY ({}) TO STDOUT (FORMAT binary)").format(table.hashes)
    with table.file.open("wb") as file:
        async with session.cursor() as cursor, cursor.copy(query) as copy:
            async for piece in copy:
                file.write(piece)


async def _compare(kept: Connection, table: _Table) -> tuple[int, int]:
    async with kept.transaction(force_rollback=True):
        await kept.execute("CREATE TEMP TABLE slipway_before (k bigint, r bigint) ON COMMIT DROP")
        await kept.execute("SET LOCAL search_path = pg_catalog, pg_temp")
        async with (
            kept.cursor() as cursor,
            cursor.copy("COPY slipway_before FROM STDIN (FORMAT binary)") as copy,
        ):
            with table.file.open("rb") as file:
                while piece := await asyncio.to_thread(file.read, 1 << 20):
                    await copy.write(piece)
        query = _MISSING if table.key else _MISSING_KEYLESS
        found = await (await kept.execute(query.format(hashes=table.hashes))).fetchone()
    return (int(found[0]), int(found[1])) if found else (0, 0)


async def _all(kept: Connection, schema: str, name: str) -> tuple[int, int]:
    """A table that the old schema does not know: all its rows are missing there."""
    table = sql.Identifier(schema, name).as_string(kept)
    found = await row(kept, f"SELECT count(*) FROM ONLY {table}")  # noqa: S608 - quoted above
    return (int(found[0]) if found else 0), 0
