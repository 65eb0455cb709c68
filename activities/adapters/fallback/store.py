"""What the side database remembers of its following: position, epoch, old tables, conflicts.

All of it lies in the schema `slipway_fallback` of the side database, and what a transaction of
production changed there is committed together with the position behind it.
"""

import json
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from psycopg import sql

from activities.adapters.fallback.catalog import Carried
from activities.adapters.fallback.mapping import first_epoch
from activities.adapters.postgres.sessions import Connection, row
from slipway.errors import FallbackLost

SCHEMA = "slipway_fallback"
DRAIN = "slipway.drain"
"""Prefix of a message that marks a place in production's log."""
MIGRATION = "slipway.migration"
"""Prefix of a message that makes its transaction part of the migration: it is not applied."""

_TABLES = """
CREATE SCHEMA slipway_fallback;
CREATE TABLE slipway_fallback.position (
    one boolean PRIMARY KEY DEFAULT true CHECK (one),
    lsn pg_lsn NOT NULL,
    epoch integer NOT NULL DEFAULT 0,
    ledger text NOT NULL,
    transactions bigint NOT NULL DEFAULT 0,
    changes bigint NOT NULL DEFAULT 0,
    at timestamptz NOT NULL DEFAULT now());
CREATE TABLE slipway_fallback.carried (oid bigint PRIMARY KEY, description jsonb NOT NULL);
CREATE TABLE slipway_fallback.epoch (
    number integer PRIMARY KEY, lsn pg_lsn NOT NULL, tables jsonb NOT NULL,
    at timestamptz NOT NULL DEFAULT now());
CREATE TABLE slipway_fallback.conflict (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    kind text NOT NULL, commit_lsn pg_lsn NOT NULL, xid bigint NOT NULL,
    oid bigint NOT NULL, "table" text NOT NULL, operation text NOT NULL,
    old_row jsonb, new_row jsonb, unknown_row jsonb,
    sqlstate text NOT NULL DEFAULT '', "constraint" text NOT NULL DEFAULT '',
    message text NOT NULL DEFAULT '', key text, settled_lsn pg_lsn,
    at timestamptz NOT NULL DEFAULT clock_timestamp());
CREATE INDEX ON slipway_fallback.conflict (oid, key) WHERE settled_lsn IS NULL;
"""
YOUNGER = """
CREATE TABLE IF NOT EXISTS slipway_fallback.skipped (
    xid bigint PRIMARY KEY, gone jsonb NOT NULL, at timestamptz NOT NULL DEFAULT now());
CREATE TABLE IF NOT EXISTS slipway_fallback.comparison (
    epoch integer PRIMARY KEY, found jsonb NOT NULL, at timestamptz NOT NULL DEFAULT now());
"""
"""What a copy that an older slipway has prepared gets when it is followed on."""

_CONFLICTS = """
SELECT id, kind, commit_lsn::text, xid, "table", operation, old_row, new_row, unknown_row,
    sqlstate, "constraint", message, at, coalesce(settled_lsn::text, ''), oid
FROM slipway_fallback.conflict WHERE id > %s ORDER BY id LIMIT %s"""
_PAGE = 500


@dataclass(frozen=True)
class Conflict:
    """A change of production that the old schema could not take as it was."""

    id: int
    kind: str
    """`refused`: not applied. `altered`: a value was rounded or written otherwise. `invented`: a
    column that production dropped got its default."""
    commit_lsn: str
    xid: int
    table: str
    """As production called it when it was written."""
    operation: str
    """insert, update, delete, truncate."""
    old_row: dict[str, Any] | None
    """What production sent of the row before, by the old names of columns: its key, or all."""
    new_row: dict[str, Any] | None
    """The row that production wrote, by the old names of columns, values as text."""
    unknown_row: dict[str, Any] | None
    """What it wrote into columns that the old schema lacks, by production's names."""
    sqlstate: str
    constraint: str
    """The constraint that refused it, or the columns concerned."""
    message: str
    at: datetime
    settled: str = ""
    """Where a later change has made the row good: it was deleted or written again as a whole."""
    oid: int = 0
    """Of the table, in production as it was then."""


async def prepare(side: Connection, carried: Sequence[Carried], position: str, ledger: str) -> None:
    """Make the side database remember where it stands: at the slot's first position, with the
    tables that it holds. `ledger`: the migration ledger as `schema.table`; it must be carried.

    Raises FallbackLost when it is not: a migration could not be told from the application's writes.
    """
    if ledger not in {one.name for one in carried}:
        raise FallbackLost(
            f"The migration ledger {ledger} cannot be followed, so a migration could not be told "
            "from what the application writes.",
            "Give it a primary key, then take the backup again.",
        )
    async with side.transaction():
        await side.execute((_TABLES + YOUNGER).encode())
        await side.execute(
            "INSERT INTO slipway_fallback.position (lsn, ledger) VALUES (%s, %s)",
            [position, ledger],
        )
        async with side.cursor() as cursor:
            await cursor.executemany(
                "INSERT INTO slipway_fallback.carried VALUES (%s, %s)",
                [(one.oid, one.model_dump_json()) for one in carried],
            )
        await side.execute(
            "INSERT INTO slipway_fallback.epoch (number, lsn, tables) VALUES (0, %s, %s)",
            [position, first_epoch(carried).model_dump_json()],
        )


async def forget(side: Connection) -> None:
    """Drop what `prepare` made, conflicts included."""
    await side.execute(sql.SQL("DROP SCHEMA IF EXISTS {} CASCADE").format(sql.Identifier(SCHEMA)))


async def position(side: Connection) -> str:
    """Return how far the side database has followed, as a position in production's WAL."""
    found = await row(side, "SELECT lsn::text FROM slipway_fallback.position")
    if found is None:
        raise FallbackLost("The side database does not know its position.")
    return str(found[0])


async def is_beyond(side: Connection, marker: str) -> bool:
    """Whether the side database has all that was committed before a marker; see `mark`."""
    found = await row(side, "SELECT lsn > %s::pg_lsn FROM slipway_fallback.position", marker)
    return bool(found and found[0])


async def mark(production: Connection) -> str:
    """Write a drain marker into production's log and return its position there. The side database
    has all that was committed before once its position is beyond it."""
    async with production.transaction():
        await production.execute("SET LOCAL synchronous_commit = 'on'")  # a lazy one waits unsent
        found = await row(production, "SELECT pg_logical_emit_message(true, %s, '')::text", DRAIN)
    assert found is not None
    return str(found[0])


async def conflicts(side: Connection, after: int = 0) -> AsyncIterator[Conflict]:
    """Yield the conflicts with larger ids than `after`, in order, read in pages."""
    while True:
        cursor = await side.execute(_CONFLICTS, [after, _PAGE])
        found = await cursor.fetchall()
        for one in found:
            yield Conflict(*one)
        if len(found) < _PAGE:
            return
        after = found[-1][0]


def as_json(values: dict[str, str | None] | None) -> bytes | None:
    """Write a row of a conflict record."""
    return (
        None if values is None else json.dumps(values, ensure_ascii=False).encode(errors="replace")
    )
