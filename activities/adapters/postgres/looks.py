"""Looking at a database before and after a migration, and at the migration while it runs."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace

from psycopg import sql

from activities.adapters.postgres.sessions import Connection, rows
from slipway.judgements.lock_trace import LockTrace, Look
from slipway.judgements.table_changes import Column, Table

EVERY = 0.05
"""Seconds between two looks at the migration's session."""

_TABLES = """
SELECT c.oid::bigint, n.nspname, c.relname, coalesce(pg_relation_filenode(c.oid), 0)::bigint,
       pg_total_relation_size(c.oid)::bigint, greatest(c.reltuples, 0)::bigint,
       coalesce(s.n_tup_ins, 0), coalesce(s.n_tup_upd, 0), coalesce(s.n_tup_del, 0),
       c.relkind = 'r', current_setting('track_counts')::bool
FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
LEFT JOIN pg_stat_all_tables s ON s.relid = c.oid
WHERE c.relkind IN ('r', 'p', 'm') AND c.relpersistence <> 't'
  AND n.nspname <> 'information_schema' AND n.nspname !~ '^pg_'
  AND NOT EXISTS (SELECT FROM pg_depend d WHERE d.classid = 'pg_class'::regclass
                  AND d.objid = c.oid AND d.deptype = 'e')"""
_COLUMNS = """
SELECT a.attrelid::bigint, a.attname, format_type(a.atttypid, a.atttypmod),
       a.attnum = ANY (coalesce(i.indkey::smallint[], '{}'))
FROM pg_attribute a LEFT JOIN pg_index i ON i.indrelid = a.attrelid AND i.indisprimary
WHERE a.attrelid::bigint = ANY (%s) AND a.attnum > 0 AND NOT a.attisdropped
ORDER BY a.attrelid, a.attnum"""
_SESSION = """
SELECT extract(epoch FROM clock_timestamp())::float8, a.pid, coalesce(a.query, ''),
       coalesce(extract(epoch FROM a.query_start), 0)::float8,
       CASE WHEN a.state = 'active' THEN 0
            ELSE coalesce(extract(epoch FROM a.state_change), 0) END::float8,
       (SELECT coalesce(array_agg(l.relation::text || ' ' || l.mode), '{}') FROM pg_locks l
        WHERE l.pid = a.pid AND l.locktype = 'relation' AND l.granted)
FROM pg_stat_activity a WHERE a.usename = %s AND a.datname = current_database()"""


async def tables(connection: Connection) -> list[Table]:
    """Return every table of a database, system and extension tables left out."""
    found = await rows(connection, _TABLES)
    columns: dict[int, list[Column]] = {}
    for oid, *rest in await rows(connection, _COLUMNS, [one[0] for one in found]):
        columns.setdefault(oid, []).append(Column(*rest))
    return [
        replace(Table(oid, (schema, name), *rest), columns=tuple(columns.get(oid, ())))
        for oid, schema, name, *rest in found
    ]


async def column_hashes(
    connection: Connection, table: tuple[str, str], columns: list[str], key: list[str]
) -> list[str]:
    """Return one hash for the number of rows and one for each column's content, by the server.

    Each value is hashed with its row's key, so that values which moved to other rows are noticed
    where the table has a key. Values are hashed as the text that a service reads.
    """
    seed: sql.Composable = sql.SQL("0")
    if key:
        seed = sql.SQL("hashtextextended(ROW({})::text, 0)").format(
            sql.SQL(", ").join(sql.Identifier("slipway_row", one) for one in key)
        )
    sums = [
        sql.SQL(
            "coalesce(sum(hashtextextended(coalesce({}::text, E'\\x01'), {})::numeric), 0)::text"
        ).format(sql.Identifier("slipway_row", one), seed)
        for one in columns
    ]
    cursor = await connection.execute(
        sql.SQL("SELECT {} FROM ONLY {} AS slipway_row").format(
            sql.SQL(", ").join([sql.SQL("count(*)::text"), *sums]), sql.Identifier(*table)
        )
    )
    found = await cursor.fetchone()
    return [str(one) for one in found or ()]


@dataclass
class Watcher:
    """Looks at the session of one role, from a session of its own in the same database."""

    connection: Connection
    role: str
    names: dict[int, str]
    """Tables that stood before the migration, by OID; only their locks can hurt anybody."""
    trace: LockTrace = field(default_factory=LockTrace)

    async def look(self) -> None:
        """Take one look."""
        for at, pid, query, began, ended, held in await rows(self.connection, _SESSION, self.role):
            pairs = ((int(oid), mode) for oid, _, mode in (one.partition(" ") for one in held))
            locks = frozenset((self.names[oid], mode) for oid, mode in pairs if oid in self.names)
            self.trace.add(Look(at, pid, query, began, ended, locks))

    async def _keep_looking(self) -> None:
        while True:
            await self.look()
            await asyncio.sleep(EVERY)


@asynccontextmanager
async def watching(watcher: Watcher) -> AsyncIterator[Watcher]:
    """Look every few milliseconds while the block runs, and once more at its end."""
    looking = asyncio.create_task(watcher._keep_looking())
    try:
        yield watcher
        await watcher.look()
    finally:
        looking.cancel()
        results = await asyncio.gather(looking, return_exceptions=True)
    for one in results:
        if isinstance(one, Exception):
            raise one
