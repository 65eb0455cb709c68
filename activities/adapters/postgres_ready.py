"""What the preflight wants to know of a database: versions, rights, obstacles, room. Reads only."""

import asyncio
import os
import shutil
from contextlib import AbstractAsyncContextManager
from pathlib import Path

import psycopg

from activities.adapters.postgres_dump import size_of
from activities.adapters.postgres_sessions import Connection, Sessions, row, rows
from activities.adapters.postgres_url import Target
from slipway.errors import BadInput
from slipway.judgements.database_obstacles import OBSTACLES, Obstacle
from slipway.judgements.database_ready import Met, Room, Standing
from slipway.judgements.database_rights import BEFORE_OPTIONS, RIGHTS, DatabaseRight, Login
from slipway.plan import CorruptionProbe
from slipway.verdicts import Reason

_TIMEOUT = 15.0
"""Seconds one question may take."""
_MOST = 1000
_SPARE = 64 * 1024 * 1024
_WORKER_ROOM, _SERVER_ROOM = 1.5, 1.2
"""Room needed in sizes of the database: the dump and its compressed twin; the side database."""

_STANDING = """
SELECT current_database(), quote_ident(current_user), pg_postmaster_start_time()::text,
       current_setting('server_version'), current_setting('server_version_num')::int / 10000,
       pg_database_size(current_database()),
       coalesce(current_setting('slipway.local_stack', true), ''), pg_backend_pid()"""
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


async def rooms(connection: Connection, target: Target, folder: Path) -> list[Room]:
    """Return free and needed room for a backup of a database, with files in `folder`."""
    size = await size_of(connection, target.database)
    here = (await asyncio.to_thread(shutil.disk_usage, folder)).free
    there = await _free_on_server(connection, target)
    for_files, for_side = int(size * _WORKER_ROOM) + _SPARE, int(size * _SERVER_ROOM) + _SPARE
    return [
        Room("worker", "where the worker keeps its files", here, for_files),
        Room("database", "on the database server", there, for_side),
    ]


async def _free_on_server(connection: Connection, target: Target) -> int | None:
    """The server has no function for it: known only where its folder is on this machine."""
    found = await row(
        connection,
        "SELECT setting FROM pg_settings WHERE name = 'data_directory'"
        " AND pg_has_role('pg_read_all_settings', 'USAGE')",
    )
    local = target.host in ("127.0.0.1", "localhost", "::1") or target.host.startswith("/")
    if not found or not local or not os.access(found[0], os.X_OK):
        return None
    return (await asyncio.to_thread(shutil.disk_usage, found[0])).free


async def _lacking(
    connection: Connection, login: Login, names: dict[str, str], major: int
) -> tuple[DatabaseRight, ...]:
    wanted = [one for one in RIGHTS if one.login is login]
    if not wanted:
        return ()
    query = "SELECT " + ", ".join(f"({one.check})" for one in wanted)
    cursor = await connection.execute(_for(query, major).encode(), names)
    given = await cursor.fetchone() or (False,) * len(wanted)
    return tuple(one for one, may in zip(wanted, given, strict=True) if not may)


async def _met(connection: Connection, login: Login, major: int, *, whole: bool) -> tuple[Met, ...]:
    monitor = bool((await row(connection, _MONITOR) or (False,))[0])
    found = []
    for one in OBSTACLES:
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
