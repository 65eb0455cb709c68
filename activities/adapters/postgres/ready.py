"""What the preflight wants to know of a database: versions, rights, obstacles, room. Reads only."""

import asyncio
import os
import shutil
from contextlib import AbstractAsyncContextManager
from dataclasses import replace
from pathlib import Path

import psycopg

from activities.adapters.pgbouncer import PgBouncer
from activities.adapters.postgres.dump import size_of
from activities.adapters.postgres.sessions import Connection, Sessions, row, rows
from activities.adapters.postgres.source import Source
from activities.adapters.postgres.url import Target
from slipway.errors import BadInput
from slipway.judgements.database_obstacles import OBSTACLES, RESTORE_OBSTACLES, Obstacle
from slipway.judgements.database_ready import Met, Room, Standing, Wal, slot_room
from slipway.judgements.database_rights import (
    BEFORE_OPTIONS,
    RESTORE_RIGHTS,
    RIGHTS,
    DatabaseRight,
    Login,
)
from slipway.judgements.poolers import PoolerStanding
from slipway.judgements.restore_server import Lacking
from slipway.plan import CorruptionProbe
from slipway.verdicts import Reason

_TIMEOUT = 15.0
"""Seconds one question may take."""
_MOST = 1000
_SERVER = "the database server"
_SPARE = 64 * 1024 * 1024
_WORKER_ROOM, _SERVER_ROOM = 1.5, 1.2
"""Room needed in sizes of the database: the dump and its compressed twin; the side database."""

_STANDING = """
SELECT current_database(), quote_ident(current_user), pg_postmaster_start_time()::text,
       current_setting('server_version'), current_setting('server_version_num')::int / 10000,
       pg_database_size(current_database()),
       coalesce(current_setting('slipway.local_stack', true), ''), pg_backend_pid()"""
_WAL = """
SELECT pg_size_bytes(current_setting('max_wal_size')),
       current_setting('archive_mode') <> 'off' OR EXISTS (SELECT FROM pg_replication_slots)"""
_SLOTS = """
SELECT slot_name, safe_wal_size FROM pg_replication_slots
WHERE safe_wal_size IS NOT NULL AND wal_status <> 'lost' ORDER BY 1"""
_AMONG = "SELECT 1 FROM pg_stat_activity WHERE datname = %s AND pid = ANY(%s) LIMIT 1"
_LOOKS = 3
_NAMED_ROLES = """
SELECT r.rolname FROM pg_roles r JOIN pg_shdepend s ON s.refobjid = r.oid
JOIN pg_database d ON d.datname = current_database()
WHERE s.refclassid = 'pg_authid'::regclass
  AND (s.dbid = d.oid OR s.classid = 'pg_database'::regclass AND s.objid = d.oid)
UNION
SELECT r.rolname FROM pg_db_role_setting s JOIN pg_roles r ON r.oid = s.setrole
JOIN pg_database d ON d.oid = s.setdatabase WHERE d.datname = current_database()"""
"""Who owns something in the database, may use it, or has a setting there."""
_NO_ROLE = """
SELECT quote_ident(name) FROM unnest(%s::text[]) AS given(name)
WHERE NOT EXISTS (SELECT FROM pg_roles WHERE rolname = name) ORDER BY 1"""
_NO_EXTENSION = """
SELECT name FROM unnest(%s::text[]) AS given(name)
WHERE NOT EXISTS (SELECT FROM pg_available_extensions e WHERE e.name = given.name) ORDER BY 1"""
_LOCALE = """
SELECT datlocprovider::text, datcollate FROM pg_database WHERE datname = current_database()"""
_KNOWN_LOCALE = """
SELECT 1 FROM pg_collation WHERE collprovider = 'c'
  AND lower(replace(collcollate, '-', '')) = lower(replace(%s, '-', ''))
UNION SELECT 1 FROM pg_database WHERE datcollate = %s"""
_MONITOR = "SELECT pg_has_role('pg_monitor', 'USAGE')"


async def standing(
    sessions: Sessions, reference: str, login: Login, names: dict[str, str]
) -> Standing:
    """Look at a database by one of a plan's logins. `names`: owner and ledger of the plan.

    Raises SlipwayErrors when it cannot be opened.
    """
    async with session(sessions, sessions.target(reference)) as connection:
        found = await row(connection, _STANDING)
        if found is None:
            raise BadInput(
                f"{reference} opens nothing.", "Retry.", reason=Reason.ENVIRONMENT_NOT_READY
            )
        # a pooler gives its clients process numbers of its own
        pooled = found[7] != connection.info.backend_pid
        lacking = await _lacking(connection, login, names, found[4])
        met = await _met(connection, login, found[4], whole=not any(one.blocks for one in lacking))
    return Standing(
        login=login,
        database=found[0],
        role=found[1],
        server=found[2],
        server_version=found[3],
        server_major=found[4],
        size=found[5],
        local_setting=found[6],
        pooled=pooled,
        lacking=lacking,
        met=met,
    )


async def lacking(here: Connection, there: Connection) -> Lacking:
    """Return what production, `here`, has and the server of its copies, `there`, has not."""
    roles = [str(one[0]) for one in await rows(here, _NAMED_ROLES)]
    extensions = [str(one[0]) for one in await rows(here, "SELECT extname FROM pg_extension")]
    kind = await row(here, _LOCALE)
    known = kind is None or kind[0] != "c" or await row(there, _KNOWN_LOCALE, kind[1], kind[1])
    return Lacking(
        roles=tuple(str(one[0]) for one in await rows(there, _NO_ROLE, roles)),
        extensions=tuple(str(one[0]) for one in await rows(there, _NO_EXTENSION, extensions)),
        locale="" if known or kind is None else str(kind[1]),
    )


async def pooler(sessions: Sessions, target: Target, reference: str) -> PoolerStanding:
    """Return how a pooler stands in front of `target`; whether its connections are sessions there
    is looked at a few times, since they come and go. Raises Unreachable."""
    console = PgBouncer(reference)
    async with session(sessions, target) as connection:
        for _ in range(_LOOKS):
            standing, pids = await console.look(target.database)
            if await row(connection, _AMONG, target.database, list(pids)):
                return replace(standing, here=True)
    return replace(standing, here=False if pids else None)


async def refused_probes(
    sessions: Sessions, reference: str, probes: list[CorruptionProbe]
) -> list[tuple[str, str]]:
    """Return name and error of every probe that its role could not run; nothing is run."""
    found = []
    async with session(sessions, sessions.target(reference)) as connection:
        await connection.execute("RESET search_path")  # as the services see the tables
        for one in probes:
            error = await _explained(connection, one.sql)
            if error:
                found.append((one.name, error))
    return found


async def rooms(connection: Connection, source: Source, folder: Path, size: int) -> list[Room]:
    """Return free and needed room for a backup of `size` bytes, with files in `folder` and the copy
    where the source's copies are: `connection` is a session there."""
    here = (await asyncio.to_thread(shutil.disk_usage, folder)).free
    for_files = int(size * _WORKER_ROOM) + _SPARE
    return [
        Room("worker", "where the worker keeps its files", here, for_files),
        *await room_on_server(connection, source.copies, size, source.called),
    ]


async def room_for_copy(connection: Connection, target: Target, source: str) -> list[Room]:
    """Return free and needed room for one more copy of a database of target's server."""
    return await room_on_server(connection, target, await size_of(connection, source))


async def room_on_server(
    connection: Connection, target: Target, size: int, server: str = _SERVER
) -> list[Room]:
    """Return free and needed room for a database of `size` bytes on the connection's server. A
    restore writes the database and as much write-ahead log."""
    most, held = await row(connection, _WAL) or (0, True)
    wal = Wal(int(most), bool(held)).of(size)
    slots = await rows(connection, _SLOTS)
    found = [slot_room(str(slot), int(left), size) for slot, left in slots if left < size]
    for_side = int(size * _SERVER_ROOM) + _SPARE
    data = await _folder_of(connection, target)
    if data is None:
        return [Room("database", f"on {server}", None, for_side + wal), *found]
    free, log = await asyncio.to_thread(_disks, data)
    if log is None:
        return [Room("database", f"on {server}", free, for_side + wal), *found]
    return [
        Room("database", f"on {server}", free, for_side),
        Room("database", f"where {server} keeps its write-ahead log", log, wal),
        *found,
    ]


def _disks(data: Path) -> tuple[int, int | None]:
    """Return what is free for data and, where it lies on another disk, for write-ahead log."""
    free, wal = shutil.disk_usage(data).free, data / "pg_wal"
    try:
        apart = wal.stat().st_dev != data.stat().st_dev
    except OSError:
        return free, None
    return free, shutil.disk_usage(wal).free if apart else None


async def _folder_of(connection: Connection, target: Target) -> Path | None:
    """The server has no function for free disk: known only where its folder is on this machine."""
    found = await row(
        connection,
        "SELECT setting FROM pg_settings WHERE name = 'data_directory'"
        " AND pg_has_role('pg_read_all_settings', 'USAGE')",
    )
    local = target.host in ("127.0.0.1", "localhost", "::1") or target.host.startswith("/")
    if not found or not local or not os.access(found[0], os.X_OK):
        return None
    return Path(found[0])


async def _lacking(
    connection: Connection, login: Login, names: dict[str, str], major: int
) -> tuple[DatabaseRight, ...]:
    wanted = [one for one in (*RIGHTS, *RESTORE_RIGHTS) if one.login is login]
    if not wanted:
        return ()
    query = "SELECT " + ", ".join(f"({one.check})" for one in wanted)
    cursor = await connection.execute(_for(query, major).encode(), names)
    given = await cursor.fetchone() or (False,) * len(wanted)
    return tuple(one for one, may in zip(wanted, given, strict=True) if not may)


async def _met(connection: Connection, login: Login, major: int, *, whole: bool) -> tuple[Met, ...]:
    monitor = bool((await row(connection, _MONITOR) or (False,))[0])
    found = []
    for one in (*OBSTACLES, *RESTORE_OBSTACLES):
        if one.login is not login or (one.after_rights and not whole):
            continue
        if one.needs_monitor and not monitor:
            continue
        cases = await _cases(connection, one, major)
        if cases:
            found.append(Met(one, cases))
    return tuple(found)


async def _cases(
    connection: Connection, obstacle: Obstacle, major: int
) -> tuple[tuple[str, str], ...]:
    found = await rows(connection, f"{_for(obstacle.query, major)} LIMIT {_MOST}")
    return tuple((str(name), str(remedy)) for name, remedy in found)


def session(sessions: Sessions, target: Target) -> AbstractAsyncContextManager[Connection]:
    """Open a session that writes nothing, and in which no question takes long."""
    return sessions.session(target, "preflight", read_only=True, statement_timeout=_TIMEOUT)


async def _explained(connection: Connection, query: str) -> str:
    """Plan a query, which checks names and rights, and return the server's error."""
    try:
        # `prepare` takes exactly one statement: what follows a semicolon would be run
        await connection.execute(f"EXPLAIN {query}".encode(), prepare=True)
    except psycopg.Error as error:
        return f"SQLSTATE {error.sqlstate}: {error.diag.message_primary or error}"
    return ""


def _for(query: str, major: int) -> str:
    """A query as a server of that major version knows it."""
    return query.replace("{set}", "SET" if major > BEFORE_OPTIONS else "MEMBER")
