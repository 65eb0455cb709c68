"""The file of what the old schema could not take: one JSON document a line, zstandard outside.

Its first part is what the follower refused or altered, with the rows as production wrote them. Its
second part comes from the database that was swapped out: rows of added tables, and values of added
columns, for which the old schema has no place.
"""

import asyncio
import json
from collections.abc import AsyncIterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import zstandard
from psycopg import sql

from activities.adapters.fallback.orphans import orphans
from activities.adapters.fallback.store import SCHEMA, Conflict, conflicts
from activities.adapters.file_digest import sha256_of_file
from activities.adapters.postgres import catalog
from activities.adapters.postgres.sessions import Connection, Sessions, row, rows
from activities.adapters.postgres.url import Target

LARGEST_ASIDE = 1_000_000
"""Rows written of one table's added values; the database that is kept has all of them."""

_CARRIED = """
SELECT oid, (SELECT array_agg((c ->> 'attnum')::int) FROM jsonb_array_elements(
    description -> 'columns') c) FROM slipway_fallback.carried"""

_OLD = """
SELECT oid::int8, (description ->> 'schema_name') || '.' || (description ->> 'table'),
    (SELECT jsonb_object_agg(c ->> 'attnum', c ->> 'name')
     FROM jsonb_array_elements(description -> 'columns') c)
FROM slipway_fallback.carried"""

_NEW = """
SELECT c.oid::int8, n.nspname || '.' || c.relname,
    (SELECT jsonb_object_agg(a.attnum::text, a.attname) FROM pg_attribute a
     WHERE a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped)
FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE c.oid = ANY(%s::int8[]::oid[])"""

_UNFOLLOWED = """
SELECT n.nspname::text, c.relname::text
FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
JOIN pg_class r ON r.oid = coalesce(pg_partition_root(c.oid), c.oid)
JOIN pg_namespace m ON m.oid = r.relnamespace
WHERE c.relkind = 'r' AND NOT EXISTS (SELECT FROM slipway_fallback.carried k
    WHERE k.description ->> 'schema_name' = m.nspname AND k.description ->> 'table' = r.relname)"""

_ADDED = """
SELECT a.attname, a.attnum, pg_get_expr(d.adbin, d.adrelid)
FROM pg_attribute a LEFT JOIN pg_attrdef d ON d.adrelid = a.attrelid AND d.adnum = a.attnum
WHERE a.attrelid = %s::bigint::oid AND a.attnum > 0 AND NOT a.attisdropped AND a.attgenerated = ''
ORDER BY a.attnum"""

_ROOT = """
SELECT coalesce(pg_partition_root(c.oid), c.oid)::bigint, coalesce((
    SELECT array_agg(k.attname ORDER BY k.attnum) FROM pg_index i
    JOIN pg_attribute k ON k.attrelid = c.oid AND k.attnum = ANY(i.indkey)
    WHERE i.indrelid = c.oid AND i.indisprimary), ARRAY[]::name[])
FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE n.nspname = %s AND c.relname = %s"""


@dataclass(frozen=True)
class Written:
    """A file of conflicts, and how many rows stand in it."""

    file: Path
    conflicts: int
    """Refused, altered, invented: what the old schema has a place for but could not take."""
    aside: int
    """Rows with values for which the old schema has no place."""
    sha256: str = ""
    """Of the file."""


async def write_conflicts(
    sessions: Sessions, production: Target, kept: Target, folder: Path
) -> Written:
    """Write what production, which was the side database, could not take. Reads only."""
    file, count, aside = folder / "conflicts.jsonl.zst", 0, 0
    async with (
        sessions.session(production, "conflicts", read_only=True) as new,
        sessions.session(kept, "conflicts", read_only=True) as old,
    ):
        with file.open("wb") as raw, zstandard.ZstdCompressor().stream_writer(raw) as packed:
            renamed = await _renamed(new, old)
            async for one in _conflicts(new):
                packed.write(_line({**asdict(one), **renamed.get(one.oid, {})}))
                count += 1
            for broken in await orphans(new) if await _followed(new) else ():
                packed.write(_line(asdict(broken)))
                count += broken.count
            stay = await unfollowed(new)
            carried = {oid: set(columns or ()) for oid, columns in await _carried(new)}
            there = set(await catalog.table_names(new))
            for schema, name in await catalog.table_names(old):
                if (schema, name) in there and (schema, name) in stay:
                    continue  # compared row by row instead: see `unfollowed`
                async for document in _aside(old, schema, name, carried):
                    packed.write(_line(document))
                    aside += 1
    return Written(file, count, aside, await asyncio.to_thread(sha256_of_file, file))


async def unfollowed(side: Connection) -> set[tuple[str, str]]:
    """Return the tables that the side database holds as they were at the snapshot."""
    return set(await rows(side, _UNFOLLOWED)) if await _followed(side) else set()


def _line(document: dict[str, Any]) -> bytes:
    return json.dumps(document, ensure_ascii=False, default=str).encode() + b"\n"


async def _conflicts(new: Connection) -> AsyncIterator[Conflict]:
    if await _followed(new):
        async for one in conflicts(new):
            if not one.settled:  # a later change has made the row good
                yield one


async def _renamed(new: Connection, old: Connection) -> dict[int, dict[str, Any]]:
    """Return what the tables and columns of conflicts are called in the two schemas, by the table's
    OID in the database that was swapped out, where that differs."""
    if not await _followed(new):
        return {}
    before = {oid: rest for oid, *rest in await rows(new, _OLD)}
    found: dict[int, dict[str, Any]] = {}
    for oid, table, columns in await rows(old, _NEW, list(before)):
        was, names = before[oid]
        pairs = ((name, columns.get(attnum)) for attnum, name in (names or {}).items())
        moved = {name: now for name, now in pairs if now not in (None, name)}
        if moved or table != was:
            found[oid] = {"old_table": was, "new_table": table, "names": moved}
    return found


async def _followed(new: Connection) -> bool:
    found = await row(new, "SELECT to_regnamespace(%s) IS NOT NULL", SCHEMA)
    return bool(found and found[0])


async def _carried(new: Connection) -> list[Any]:
    return await rows(new, _CARRIED) if await _followed(new) else []


async def _aside(
    old: Connection, schema: str, name: str, carried: dict[int, set[int]]
) -> AsyncIterator[dict[str, Any]]:
    """Yield the rows of a table of the swapped-out database that have values without a place."""
    found = await row(old, _ROOT, schema, name)
    if found is None:
        return
    root, key = found
    columns = await rows(old, _ADDED, root)
    known = carried.get(root)
    added = [one for one in columns if known is None or one[1] not in known]
    if not added:
        return
    shown = [one[0] for one in added] if known is not None else [one[0] for one in columns]
    query = sql.SQL("SELECT {} FROM ONLY {} {} LIMIT {}").format(
        catalog.as_texts(list(dict.fromkeys([*key, *shown]))),
        sql.Identifier(schema, name),
        _written(added) if known is not None else sql.SQL(""),
        sql.Literal(LARGEST_ASIDE),
    )
    kind = "added-columns" if known is not None else "added-table"
    async with old.transaction(), old.cursor(name="slipway_aside") as cursor:
        await cursor.execute(query)
        async for (document,) in cursor:
            yield {"kind": kind, "table": f"{schema}.{name}", "key": key, "row": document}


def _written(added: list[Any]) -> sql.Composable:
    """Only rows in which somebody wrote something else than the column's default."""
    tests = [
        sql.SQL("{} IS DISTINCT FROM ({})").format(
            sql.Identifier(name), sql.SQL(default if _is_plain(default) else "NULL")
        )
        for name, _, default in added
    ]
    return sql.SQL("WHERE {}").format(sql.SQL(" OR ").join(tests))


def _is_plain(default: str | None) -> bool:
    """A default that may be computed again: a sequence's would use up numbers."""
    return default is not None and "nextval" not in default
