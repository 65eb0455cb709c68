"""The control database: fences, attempts at migrating, and who may work on what just now.

It is another database of the same server (`database.admin_url`), so that it can be reached while
production is closed. slipway keeps its own schema there and nothing in production.
"""

import asyncio
import secrets
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import psycopg
from psycopg import sql

from activities.adapters import pooler_pause
from activities.adapters.postgres import marks
from activities.adapters.postgres.sessions import Connection, Sessions, row, rows
from activities.adapters.postgres.url import Target
from slipway.errors import Fenced, SlipwayError, Unreachable
from slipway.judgements.backup import short_id
from slipway.verdicts import Reason

_CLASS = 0x51A9
"""First half of every advisory lock of slipway."""
_PATIENCE = 20.0
"""Seconds in which ended sessions must be gone."""

_MADE = """
SELECT pg_advisory_xact_lock(20905, 0);
CREATE SCHEMA IF NOT EXISTS slipway;
CREATE TABLE IF NOT EXISTS slipway.fence (
    database name PRIMARY KEY, fence bigint NOT NULL, op_id text NOT NULL);
CREATE TABLE IF NOT EXISTS slipway.attempt (
    role name PRIMARY KEY, database name NOT NULL, deployment text NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now());
CREATE TABLE IF NOT EXISTS slipway.database_swap (
    database name, deployment text, op_id text, phase text NOT NULL, kept name NOT NULL DEFAULT '',
    outage double precision NOT NULL DEFAULT 0, result jsonb,
    at timestamptz NOT NULL DEFAULT now(), PRIMARY KEY (database, deployment, op_id));
"""


@dataclass(frozen=True)
class Attempt:
    """A role made for one attempt at migrating."""

    role: str
    password: str = field(repr=False)


@asynccontextmanager
async def exclusive(postgres: Sessions, target: Target, what: str) -> AsyncIterator[Connection]:
    """Open a session that holds an advisory lock on `what`. The newest attempt wins: a session
    that holds it is ended, since its owner was given up (frozen or cut off) and could otherwise
    wake and clean up what now belongs to this one. So: clean up by this session only."""
    async with postgres.session(target, what) as connection:
        async with _patience(f"the lock on {what}"):
            while not await try_lock(connection, what):
                await _end_holders(connection, what)
                await asyncio.sleep(0.05)
        yield connection


async def try_lock(connection: Connection, what: str) -> bool:
    """Take the advisory lock on `what` if nobody holds it; return whether it was taken."""
    found = await row(connection, "SELECT pg_try_advisory_lock(%s, hashtext(%s))", _CLASS, what)
    return bool(found and found[0])


async def _end_holders(connection: Connection, what: str) -> None:
    await rows(
        connection,
        "SELECT pg_terminate_backend(pid) FROM pg_locks"
        " WHERE locktype = 'advisory' AND granted AND pid <> pg_backend_pid()"
        " AND database = (SELECT oid FROM pg_database WHERE datname = current_database())"
        " AND classid = %s AND objid::bigint = (hashtext(%s)::bigint & 4294967295)",
        _CLASS,
        what,
    )


async def prepare(admin: Connection) -> None:
    """Make slipway's tables in the control database when they are not there."""
    # the youngest table: where it is, all of them are
    there = await row(admin, "SELECT to_regclass('slipway.pooler_pause') IS NOT NULL")
    if there and there[0]:
        return
    async with admin.transaction():
        for statement in [*_MADE.split(";\n"), marks.TABLE, pooler_pause.TABLE]:
            if statement.strip():
                await admin.execute(statement.encode())


async def claim(admin: Connection, database: str, fence: int, op_id: str, *, undo: bool) -> None:
    """Write a fence. Call it inside a transaction: the row stays locked until it ends.

    Raises Fenced when a higher fence stands, or, going forward, an equal one by another operation.
    An undo is stopped only by a higher one: its fence already is above all it undoes.
    """
    await admin.execute(
        "INSERT INTO slipway.fence VALUES (%s, %s, %s) ON CONFLICT DO NOTHING",
        [database, fence, op_id],
    )
    await check(admin, database, fence, op_id, undo=undo)
    await admin.execute(
        "UPDATE slipway.fence SET fence = %s, op_id = %s WHERE database = %s",
        [fence, op_id, database],
    )


async def check(admin: Connection, database: str, fence: int, op_id: str, *, undo: bool) -> None:
    """Raise Fenced unless this operation may still write. Locks the fence's row."""
    found = await row(
        admin, "SELECT fence, op_id FROM slipway.fence WHERE database = %s FOR UPDATE", database
    )
    stands, by = (int(found[0]), str(found[1])) if found else (0, op_id)
    if stands > fence or (stands == fence and by != op_id and not undo):
        raise Fenced(
            f"Database {database} is fenced at {stands} by {by}; this write carries {fence}.",
            "A later decision came first. Look at its deployment; do not repeat this step.",
        )


async def open_attempt(
    admin: Connection, database: str, deployment: str, owner: str, settings: dict[str, str]
) -> Attempt:
    """Make a role for one attempt at migrating, acting as the owner. Inside the claim's
    transaction, so that no role exists that an undo would not find.

    `settings` are the role's own, so that they hold whatever driver the command uses.
    """
    attempt = Attempt(
        f"slipway_mig_{short_id(deployment)}_{secrets.token_hex(4)}", secrets.token_urlsafe(32)
    )
    role = sql.Identifier(attempt.role)
    hashed = admin.pgconn.encrypt_password(
        attempt.password.encode(), attempt.role.encode(), b"scram-sha-256"
    ).decode()
    await admin.execute(
        sql.SQL("CREATE ROLE {} LOGIN PASSWORD {} IN ROLE {}").format(
            role, sql.Literal(hashed), sql.Identifier(owner)
        )
    )
    for name, value in {**settings, "role": owner}.items():
        await admin.execute(
            sql.SQL("ALTER ROLE {} SET {} = {}").format(
                role, sql.Identifier(name), sql.Literal(value)
            )
        )
    await admin.execute(
        "INSERT INTO slipway.attempt (role, database, deployment) VALUES (%s, %s, %s)",
        [attempt.role, database, deployment],
    )
    return attempt


async def attempts(admin: Connection, database: str) -> list[str]:
    """Return the roles of all attempts at migrating a database that were not closed yet."""
    found = await rows(admin, "SELECT role FROM slipway.attempt WHERE database = %s", database)
    return [str(one[0]) for one in found]


async def forbid_login(admin: Connection, roles: list[str]) -> int:
    """Set roles NOLOGIN; return how many could log in before. Those that are gone are skipped."""
    able = await rows(
        admin, "SELECT rolname FROM pg_roles WHERE rolname = ANY(%s) AND rolcanlogin", roles
    )
    for (role,) in able:
        await admin.execute(sql.SQL("ALTER ROLE {} NOLOGIN").format(sql.Identifier(role)))
    return len(able)


async def retire(admin: Connection, roles: list[str]) -> int:
    """End the sessions of closed roles, then drop the roles; return how many sessions ended."""
    ended = await end_sessions(admin, roles=roles)
    for role in roles:
        try:
            await admin.execute(sql.SQL("DROP ROLE IF EXISTS {}").format(sql.Identifier(role)))
        except psycopg.errors.DependentObjectsStillExist:
            continue  # it made something under its own name: it stays, unable to log in
        await admin.execute("DELETE FROM slipway.attempt WHERE role = %s", [role])
    return ended


_SESSIONS = """
SELECT pid, usename FROM pg_stat_activity
WHERE (datname = ANY(%s) OR usename = ANY(%s)) AND pid <> pg_backend_pid() AND pid <> ALL(%s)
  AND coalesce(backend_type, 'client backend') IN ('client backend', 'walsender')"""


async def end_sessions(
    admin: Connection,
    *,
    databases: Sequence[str] = (),
    roles: Sequence[str] = (),
    spare: Sequence[int] = (),
) -> int:
    """End all sessions in these databases or of these roles until none is left, but for the
    process ids in `spare`; return how many were ended.

    Two looks in a row must find none: a session that was just logging in shows up in the second.
    """
    ended: set[int] = set()
    quiet = 0
    async with _patience(f"{', '.join([*databases, *roles]) or 'nothing'} (its sessions)"):
        while quiet < 2:
            found = await rows(admin, _SESSIONS, list(databases), list(roles), list(spare))
            quiet = 0 if found else quiet + 1
            for pid, user in found:
                await _end(admin, pid, user)
                ended.add(pid)
            if quiet < 2:
                await asyncio.sleep(0.01)
    return len(ended)


async def _end(admin: Connection, pid: int, user: str | None) -> None:
    try:
        await admin.execute("SELECT pg_terminate_backend(%s)", [pid])
    except psycopg.errors.InsufficientPrivilege:
        raise SlipwayError(
            f"Session {pid} of role {user or 'unknown'} cannot be ended by slipway's role.",
            "Close it by hand (it may be a superuser's), then retry.",
            reason=Reason.FOREIGN_CHANGE,
        ) from None


@asynccontextmanager
async def _patience(what: str) -> AsyncIterator[None]:
    try:
        async with asyncio.timeout(_PATIENCE):
            yield
    except TimeoutError:
        raise Unreachable(
            f"After {_PATIENCE:.0f} s {what} did not become free.",
            "Look at pg_stat_activity for who holds on, then retry.",
        ) from None
