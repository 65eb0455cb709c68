"""Counts the later writes that a swap of databases loses, and writes them down.

Before production is closed, two hashes of every row of the side database (its key, its content)
are written to files: the side database never changes until the swap. After the swap, the database
that was swapped out is compared with them on the server. So the count costs no outage and is not
blurred by what is written afterwards. The same comparison tells a person, before there is any
swap, what has changed since the backup.
"""

import asyncio
import json
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import zstandard
from psycopg import sql

from activities.adapters.file_digest import sha256_of_file
from activities.adapters.postgres import catalog
from activities.adapters.postgres.sessions import Connection, rows
from slipway.messages.migration import TableDifference
from slipway.messages.record import TableFingerprint

_COLUMNS = """
SELECT a.attname, format_type(a.atttypid, a.atttypmod),
       EXISTS (SELECT FROM pg_index i WHERE i.indrelid = c.oid AND i.indisprimary
               AND a.attnum = ANY(i.indkey))
FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid
JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE n.nspname = %s AND c.relname = %s AND a.attnum > 0 AND NOT a.attisdropped
ORDER BY a.attnum"""

_KEYED = sql.SQL(
    "SELECT CASE WHEN b.k IS NULL THEN 'missing' ELSE 'changed' END, {row}"
    " FROM ONLY {table} AS slipway_t LEFT JOIN slipway_before b ON b.k = {key}"
    " WHERE b.k IS NULL OR b.r <> {content}"
)
_KEYLESS = sql.SQL(
    "SELECT 'missing', {row} FROM (SELECT slipway_t, {content} AS r,"
    " row_number() OVER (PARTITION BY {content}) AS n FROM ONLY {table} AS slipway_t"
    ") AS h LEFT JOIN (SELECT r, count(*) AS n FROM slipway_before GROUP BY r) AS b USING (r)"
    " WHERE h.n > coalesce(b.n, 0)"
)
"""Rows that nothing tells apart: of five alike of which two were there, three are missing."""
_ALL = sql.SQL("SELECT 'missing', {row} FROM ONLY {table} AS slipway_t")
_GONE_KEYED = sql.SQL(
    "SELECT b.k FROM slipway_before b WHERE NOT EXISTS"
    " (SELECT FROM ONLY {table} AS slipway_t WHERE {key} = b.k)"
)
_GONE_KEYLESS = sql.SQL(
    "SELECT b.r FROM (SELECT r, row_number() OVER (PARTITION BY r) AS n FROM slipway_before) AS b"
    " LEFT JOIN (SELECT {content} AS r, count(*) AS n FROM ONLY {table} AS slipway_t GROUP BY 1)"
    " AS h USING (r) WHERE b.n > coalesce(h.n, 0)"
)
_BY_HASH = sql.SQL("SELECT {row} FROM ONLY {table} AS slipway_t WHERE {by} = ANY(%s) LIMIT {most}")
LARGEST = 1_000_000
"""Rows of one table that are written down; the database that is kept has all of them."""


_FIRST_KEYS = 5
"""Keys of a table that are named in sentences."""
_MOST_GONE = 10_000
"""Removed rows of one table that are written down; the backup has all of them."""
_LONGEST_KEY = 80


@dataclass(frozen=True)
class _Table:
    schema: str
    name: str
    key: tuple[str, ...] = ()
    content: tuple[str, ...] = ()
    file: Path | None = None
    """None: a table that the old schema does not know, so that all its rows are missing there."""

    @property
    def full_name(self) -> str:
        """`schema.table`."""
        return f"{self.schema}.{self.name}"

    def query(self, columns: list[str]) -> sql.Composed:
        """Query of the rows that `slipway_before` lacks or has with other content, as JSON.
        `columns`: those of the database that is compared."""
        keyless = self.file is not None and not self.key
        row = catalog.as_texts(columns, "(h.slipway_t)." if keyless else "slipway_t.")
        if self.file is None:
            return _ALL.format(**self._parts, row=row)
        return (_KEYED if self.key else _KEYLESS).format(**self._parts, row=row)

    @property
    def gone(self) -> sql.Composed:
        """Query of the hashes in `slipway_before` that have no row any more."""
        return (_GONE_KEYED if self.key else _GONE_KEYLESS).format(**self._parts)

    def by_hash(self, columns: list[str]) -> sql.Composed:
        """Query of the rows with given hashes. `columns`: those of the side database."""
        by, row = _hash(self.key or self.content), catalog.as_texts(columns, "slipway_t.")
        return _BY_HASH.format(**self._parts, row=row, by=by, most=sql.Literal(_MOST_GONE))

    @property
    def _parts(self) -> dict[str, sql.Composable]:
        return {
            "table": sql.Identifier(self.schema, self.name),
            "key": _hash(self.key),
            "content": _hash(self.content),
        }

    def key_of(self, row: dict[str, Any]) -> str:
        """Return what people know a row by."""
        known = {name: row.get(name) for name in self.key} if self.key else row
        words = ", ".join(f"{name}={value}" for name, value in known.items())
        return words if len(words) <= _LONGEST_KEY else f"{words[:_LONGEST_KEY]}…"

    @property
    def hashes(self) -> sql.Composable:
        """Query of two hashes a row: of its key (of its content where it has none), of content."""
        return sql.SQL("SELECT {}, {} FROM ONLY {} AS slipway_t").format(
            _hash(self.key or self.content),
            _hash(self.content),
            sql.Identifier(self.schema, self.name),
        )


def _hash(columns: tuple[str, ...]) -> sql.Composable:
    names = sql.SQL(", ").join(sql.Identifier("slipway_t", one) for one in columns)
    return sql.SQL("hashtextextended(ROW({})::text, 0)").format(names)


@dataclass
class Lost:
    """What was written after the backup and is gone from production."""

    tables: list[TableFingerprint] = field(default_factory=list)
    """Rows by key that are missing after the swap, per table that has any."""
    changed: int = 0
    """Rows that are there with other content: later updates, or the migration's own."""
    file: Path | None = None
    """These rows, one JSON document a line, zstandard outside; None where there are none."""
    sha256: str = ""
    """Of the file."""
    differences: list[TableDifference] = field(default_factory=list)
    """The same per table, with keys, of those that differ in anything."""


@dataclass(frozen=True)
class Baseline:
    """The rows of the side database, as hashes in files."""

    tables: list[_Table]
    ledger: str
    folder: Path
    only: set[tuple[str, str]] | None = None

    async def lost_in(self, kept: Connection, before: Connection | None = None) -> Lost:
        """Compare the database that was swapped out, or is to be. The ledger is no write of
        anybody's. `before`: the side database, to tell what was removed since, too."""
        lost, file = Lost(), self.folder / "lost.jsonl.zst"
        known = {(one.schema, one.name): one for one in self.tables}
        with file.open("wb") as raw, zstandard.ZstdCompressor().stream_writer(raw) as packed:
            for schema, name in await catalog.table_names(kept):
                if f"{schema}.{name}" == self.ledger:
                    continue
                if self.only is not None and (schema, name) not in self.only:
                    continue
                table = known.get((schema, name)) or _Table(schema, name)
                found = await _compare(kept, before, table, packed.write)
                if found.missing or found.changed or found.gone:
                    lost.differences.append(found)
        lost.changed = sum(one.changed for one in lost.differences)
        lost.tables = [
            TableFingerprint(table=one.table, rows=one.missing, hash="")
            for one in lost.differences
            if one.missing
        ]
        if lost.differences:
            lost.file, lost.sha256 = file, await asyncio.to_thread(sha256_of_file, file)
        return lost


async def baseline(
    before: Connection,
    after: Connection,
    folder: Path,
    ledger: str,
    only: set[tuple[str, str]] | None = None,
) -> Baseline:
    """Note every row of `before` by what it has in common with `after`, the changed schema.

    `only`: of these tables (schema, name); the others are then not compared at all.
    """
    tables = []
    for number, (schema, name) in enumerate(await catalog.table_names(before)):
        if only is not None and (schema, name) not in only:
            continue
        file = folder / f"{number}.rows"
        table = await _table(before, after, schema, name, file)
        if table is not None:
            await _save(before, table, file)
            tables.append(table)
    return Baseline(tables, ledger, folder, only)


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


async def _columns(session: Connection, table: _Table) -> list[str]:
    return [str(one[0]) for one in await rows(session, _COLUMNS, table.schema, table.name)]


async def _save(session: Connection, table: _Table, to: Path) -> None:
    query = sql.SQL("COPY ({}) TO STDOUT (FORMAT binary)").format(table.hashes)
    with to.open("wb") as file:
        async with session.cursor() as cursor, cursor.copy(query) as copy:
            async for piece in copy:
                file.write(piece)


async def _compare(
    kept: Connection, before: Connection | None, table: _Table, write: Callable[[bytes], object]
) -> TableDifference:
    """Write the rows that are missing, differ or are gone; return how many, and the first keys."""
    counts = {"missing": 0, "changed": 0, "gone": 0}
    keys: list[str] = []

    def tell(what: str, row: dict[str, Any]) -> None:
        if len(keys) < _FIRST_KEYS:
            keys.append(f"{table.key_of(row)} ({_WORDS[what]})")
        document = {"kind": what, "table": table.full_name, "row": row}
        write(json.dumps(document, ensure_ascii=False).encode() + b"\n")

    async with kept.transaction(force_rollback=True):
        if table.file is not None:
            await _load(kept, table.file)
        columns = await _columns(kept, table)
        async with kept.cursor(name="slipway_lost") as cursor:
            await cursor.execute(table.query(columns))
            async for what, row in cursor:
                counts[what] += 1
                if counts[what] <= LARGEST:
                    tell(what, row)
        if before is not None and table.file is not None:
            counts["gone"] = await _removed(kept, before, table, tell)
    return TableDifference(table=table.full_name, keys=keys, **counts)


_WORDS = {"missing": "new", "changed": "changed", "gone": "removed"}


async def _removed(
    kept: Connection,
    before: Connection,
    table: _Table,
    tell: Callable[[str, dict[str, Any]], None],
) -> int:
    """Tell the rows that were removed since; return how many there are."""
    count, hashes = 0, []
    async with kept.cursor(name="slipway_gone") as cursor:
        await cursor.execute(table.gone)
        async for (one,) in cursor:
            count += 1
            if count <= _MOST_GONE:
                hashes.append(one)
    if hashes:
        found = await before.execute(table.by_hash(await _columns(before, table)), [hashes])
        for (row,) in (await found.fetchall())[: len(hashes)]:  # of rows alike only some are gone
            tell("gone", row)
    return count


async def _load(kept: Connection, file: Path) -> None:
    await kept.execute("CREATE TEMP TABLE slipway_before (k bigint, r bigint) ON COMMIT DROP")
    await kept.execute("SET LOCAL search_path = pg_catalog, pg_temp")
    async with (
        kept.cursor() as cursor,
        cursor.copy("COPY slipway_before FROM STDIN (FORMAT binary)") as copy,
    ):
        with file.open("rb") as source:
            while piece := await asyncio.to_thread(source.read, 1 << 20):
                await copy.write(piece)
    await kept.execute("ANALYZE slipway_before")
