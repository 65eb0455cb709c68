"""Rows logged whole while a copy follows: of the tables whose old values a migration changes.

An UPDATE is sent with all columns of the new row. What the migration had changed in it would reach
the old data with the first thing that a service writes into that row, unless the old row is sent as
well and only what differs from it is applied. REPLICA IDENTITY FULL sends it. What a table had
before is noted first, in the control database, and put back when the slot goes.
"""

import asyncio
from dataclasses import dataclass

import psycopg
from psycopg import sql

from activities.adapters.postgres import vacuum
from activities.adapters.postgres.sessions import Connection, Sessions, row, rows
from activities.adapters.postgres.url import Target
from slipway.errors import Unreachable

_TRIES = 20
_PAUSE = 0.2
_LOCK_TIMEOUT = 0.3
"""Seconds for the lock that keeps readers out: it is held for a moment only."""

_MADE = """
CREATE SCHEMA IF NOT EXISTS slipway;
CREATE TABLE IF NOT EXISTS slipway.replica_identity (
    slot name, database oid, relation oid, identity text NOT NULL, index_name name,
    PRIMARY KEY (slot, relation))"""

_TABLES = """
SELECT DISTINCT c.oid::int8, c.relreplident::text, (SELECT i.relname FROM pg_index x
    JOIN pg_class i ON i.oid = x.indexrelid WHERE x.indrelid = c.oid AND x.indisreplident)
FROM pg_class r JOIN pg_namespace n ON n.oid = r.relnamespace
CROSS JOIN LATERAL (SELECT r.oid UNION SELECT t.relid
    FROM pg_partition_tree(coalesce(pg_partition_root(r.oid), r.oid)) t) t (oid)
JOIN pg_class c ON c.oid = t.oid
WHERE n.nspname || '.' || r.relname = ANY(%s) AND c.relreplident <> 'f' ORDER BY 1"""
"""Tables by name, a partition with its whole tree (changes are sent as the root's), whose rows are
not logged whole already."""

_NAME = """
SELECT n.nspname, c.relname, c.relreplident::text FROM pg_class c
JOIN pg_namespace n ON n.oid = c.relnamespace WHERE c.oid = %s::int8::oid"""
_HERE = "SELECT oid::int8 FROM pg_database WHERE datname = current_database()"


@dataclass(frozen=True)
class _Note:
    relation: int
    identity: str
    index: str | None

    @property
    def before(self) -> sql.Composable:
        """What the table had, as the statement says it."""
        if self.identity == "i" and self.index:
            return sql.SQL("USING INDEX {}").format(sql.Identifier(self.index))
        return sql.SQL("NOTHING" if self.identity == "n" else "DEFAULT")


async def log_whole(
    sessions: Sessions, target: Target, admin: Connection, slot: str, tables: list[str]
) -> None:
    """Have the rows of tables (`schema.table`) logged whole until `put_back`.

    Raises Unreachable when other sessions hold a table too long.
    """
    if not tables:
        return
    async with sessions.session(target, "identity") as session:
        found = [_Note(*one) for one in await rows(session, _TABLES, tables)]
        if not found:
            return
        (here,) = (await rows(session, _HERE))[0]
        async with admin.transaction():
            await admin.execute("SELECT pg_advisory_xact_lock(20905, 0)")
            for statement in _MADE.split(";\n"):
                await admin.execute(statement.encode())
            for one in found:
                await admin.execute(
                    "INSERT INTO slipway.replica_identity VALUES (%s, %s, %s, %s, %s)"
                    " ON CONFLICT DO NOTHING",
                    [slot, here, one.relation, one.identity, one.index],
                )
        for one in found:
            await _change(session, one.relation, sql.SQL("FULL"))


async def put_back(sessions: Sessions, target: Target, admin: Connection, slot: str) -> int:
    """Give tables back what identified their rows before `log_whole`; return how many there were.
    In a database that was swapped out since, nothing is changed.

    Raises Unreachable when other sessions hold a table too long.
    """
    there = await row(admin, "SELECT to_regclass('slipway.replica_identity') IS NOT NULL")
    if not (there and there[0]):
        return 0
    noted = await rows(
        admin,
        "SELECT database::int8, relation::int8, identity, index_name"
        " FROM slipway.replica_identity WHERE slot = %s",
        slot,
    )
    if not noted:
        return 0
    async with sessions.session(target, "identity") as session:
        (here,) = (await rows(session, _HERE))[0]
        for database, *rest in noted:
            note = _Note(*rest)
            if database == here:
                await _undo(session, note)
            await admin.execute(
                "DELETE FROM slipway.replica_identity WHERE slot = %s AND relation = %s",
                [slot, note.relation],
            )
    return len(noted)


async def _undo(session: Connection, note: _Note) -> None:
    stands = await row(session, _NAME, note.relation)
    if stands is None or stands[2] != "f":
        return  # dropped, or somebody has decided otherwise since
    try:
        await _change(session, note.relation, note.before)
    except psycopg.errors.UndefinedObject:  # a migration has dropped that index
        await _change(session, note.relation, sql.SQL("DEFAULT"))


async def _change(session: Connection, relation: int, words: sql.Composable) -> None:
    """Change a table's replica identity without queueing readers behind the lock for long."""
    called, patience = "", _LOCK_TIMEOUT
    for _ in range(_TRIES):
        await session.execute(f"SET lock_timeout = '{patience * 1000:.0f}ms'")
        stands = await row(session, _NAME, relation)
        if stands is None:
            return
        called, name = f"{stands[0]}.{stands[1]}", sql.Identifier(stands[0], stands[1])
        try:
            await session.execute(sql.SQL("ALTER TABLE {} REPLICA IDENTITY {}").format(name, words))
            return
        except psycopg.errors.LockNotAvailable:
            await asyncio.sleep(_PAUSE)
            patience = await vacuum.patience(session, [called], _LOCK_TIMEOUT)
    raise Unreachable(
        f"{called} is held by other sessions: what identifies its rows in the log "
        "could not be changed.",
        "Find the long transaction in pg_stat_activity; it is tried again.",
    )
