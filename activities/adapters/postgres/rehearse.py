"""One rehearsal at work: a copy of the restored backup, a role that reaches nothing else, and the
project's own command. Production is never opened by the rehearsal's role."""

from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import psycopg
from psycopg import sql

from activities.adapters.postgres import catalog, control, looks, side
from activities.adapters.postgres.control import Attempt
from activities.adapters.postgres.looks import Watcher
from activities.adapters.postgres.migrate import Ran, Way, run_command
from activities.adapters.postgres.ready import room_for_copy
from activities.adapters.postgres.rehearse_role import close_roles, open_role
from activities.adapters.postgres.relay import Relay
from activities.adapters.postgres.sessions import Connection, Sessions, row
from activities.adapters.postgres.source import Source
from activities.adapters.postgres.url import Target
from activities.adapters.processes import DeadlinePassed, afresh
from activities.uninterrupted import uninterrupted
from slipway.errors import SlipwayError
from slipway.judgements.corruption import ProbeResult
from slipway.judgements.database_ready import judge_room
from slipway.judgements.lock_trace import LockTrace
from slipway.judgements.table_changes import Table
from slipway.messages.migration import AppliedMigration
from slipway.plan import CorruptionProbe
from slipway.verdicts import Reason

_TRIES = 5
_CHECK_TIMEOUT = 30.0
"""Seconds one read check may take on the copy."""


@dataclass(frozen=True)
class Stage:
    """What is copied, and for whom."""

    production: str
    """Name of the production database: its settings are copied, nothing else of it is touched."""
    side: str
    """Name of the restored backup."""
    copy: str
    """Name of the copy to rehearse on."""
    owner: str
    deployment: str


@dataclass(frozen=True)
class Performed:
    """One run of the command on a copy."""

    ran: Ran
    trace: LockTrace


class Rehearsing:
    """A place to rehearse in. Made by `rehearsing`."""

    def __init__(self, sessions: Sessions, admin: Connection, source: Source, stage: Stage) -> None:
        """`admin`: a session of the server that holds the restored backup; `source`: production
        by slipway's own role, and where that is."""
        self._sessions = sessions
        self._admin = admin
        self._source = source
        self._target = source.target
        self._stage = stage

    @property
    def _copy(self) -> Target:
        return self._source.copies.on(self._stage.copy)

    async def copy(self) -> None:
        """Make the copy anew from the restored backup, closed to everybody but its owner.

        Raises SlipwayError when the restored backup is gone or the server has no room.
        """
        stage, admin = self._stage, self._admin
        await side.drop(admin, stage.copy)
        if not await side.exists(admin, stage.side):
            raise SlipwayError(
                f"The restored backup {stage.side} is gone.",
                "Find out who dropped it, then start again: a new backup is needed.",
                reason=Reason.BACKUP_FAILED,
            )
        await self._check_room()
        await self._create()
        async with self._at_production() as production:
            await side.copy_settings(admin, stage.production, stage.copy, production)
        await side.close_to_others(admin, stage.copy, stage.owner)
        await side.allow(admin, stage.copy, True)

    async def _create(self) -> None:
        """Copy the restored backup, in which nobody may be meanwhile. After a reset it may follow
        production already: the follower is cut off, waits for the copy, and goes on."""
        stage = self._stage
        statement = sql.SQL("CREATE DATABASE {} OWNER {} TEMPLATE {} ALLOW_CONNECTIONS false")
        for left in reversed(range(_TRIES)):
            await control.end_sessions(self._admin, databases=[stage.side])
            try:
                await self._admin.execute(
                    statement.format(*map(sql.Identifier, (stage.copy, stage.owner, stage.side)))
                )
                return
            except psycopg.errors.ObjectInUse:
                if not left:
                    raise

    async def _check_room(self) -> None:
        rooms = await room_for_copy(self._admin, self._source.copies, self._stage.side)
        for one in judge_room(rooms):
            if one.severity == "block":
                raise SlipwayError(
                    one.what, f"{one.remedy} Then retry.", reason=Reason.ENVIRONMENT_NOT_READY
                )

    async def tables(self) -> list[Table]:
        """Return the copy's tables as they stand."""
        async with self._session("look") as session:
            return await looks.tables(session)

    async def column_hashes(
        self, table: tuple[str, str], columns: list[str], key: list[str]
    ) -> list[str]:
        """Return hashes of a table's rows and columns in the copy."""
        async with self._session("hash") as session:
            return await looks.column_hashes(session, table, columns, key)

    async def schema(self) -> str:
        """Return the copy's schema as SQL."""
        return await catalog.schema_text(self._sessions, self._copy)

    async def ledger(self, table: str) -> list[AppliedMigration]:
        """Return the copy's ledger."""
        async with self._session("ledger") as session:
            return await catalog.ledger(session, table)

    def _session(self, purpose: str, timeout: float = 0) -> AbstractAsyncContextManager[Connection]:
        return self._sessions.session(
            self._copy, purpose, read_only=True, statement_timeout=timeout
        )

    async def checked(self, checks: list[CorruptionProbe], *, boolean: bool) -> list[ProbeResult]:
        """Run SQL of the plan on the copy as its owner, reading only; one that fails does not keep
        the others from running. `boolean`: each must return one row with one boolean, true."""
        return [await self._check(one, boolean) for one in checks]

    async def _check(self, check: CorruptionProbe, boolean: bool) -> ProbeResult:
        try:
            async with self._session("check", _CHECK_TIMEOUT) as session:
                await session.execute(
                    sql.SQL("SET ROLE {}").format(sql.Identifier(self._stage.owner))
                )
                await session.execute("RESET search_path")  # as the services see the tables
                async with session.transaction():
                    await session.execute("SET TRANSACTION READ ONLY")
                    # `prepare` takes exactly one statement, so it cannot end the transaction
                    cursor = await session.execute(check.sql.encode(), prepare=True)
                    found = await cursor.fetchmany(2) if cursor.description else []
        except SlipwayError as error:
            return ProbeResult(check.name, None, error.what.rstrip("."))
        if not boolean:
            return ProbeResult(check.name, True)
        sound = found[0][0] if len(found) == 1 and len(found[0]) == 1 else None
        if not isinstance(sound, bool):
            return ProbeResult(check.name, None, "it does not return one row with one boolean")
        return ProbeResult(check.name, sound, "" if sound else "it says false")

    async def perform(
        self, command: list[str], workspace: Path, *, deadline: float, names: dict[int, str]
    ) -> Performed:
        """Run the migration command on the copy and look at its locks meanwhile.

        The role and its sessions are gone when this returns, however it ends. `names`: tables
        whose locks are of interest, by OID. Raises DeadlinePassed.
        """
        attempt = await self._open(deadline)
        try:
            async with self._sessions.session(self._copy, "watch") as session:
                watcher = Watcher(session, attempt.role, names)
                async with looks.watching(watcher):
                    ran = await self._run(attempt, command, workspace, deadline, watcher)
            return Performed(ran, watcher.trace)
        finally:
            await uninterrupted(self._close([attempt.role]))

    async def _run(
        self,
        attempt: Attempt,
        command: list[str],
        workspace: Path,
        deadline: float,
        watcher: Watcher,
    ) -> Ran:
        async with Relay(self._copy, only=True, answered=watcher.look) as relay:
            name = f"slipway rehearse {self._stage.deployment}"
            way = Way(self._copy, relay, attempt, name)
            try:
                return await run_command(way, command, workspace, deadline)
            except DeadlinePassed as error:
                return Ran(1, None, error.what.rstrip("."))

    async def _open(self, deadline: float) -> Attempt:
        stage = self._stage
        return await open_role(self._admin, stage.copy, stage.owner, stage.deployment, deadline)

    async def everybody_may_connect(self) -> bool:
        """Whether production lets every role of the server in, the rehearsal's too. It has none
        on production's server where the restored backup is on another one."""
        if self._source.place is not None:
            return False
        found = await row(
            self._admin,
            "SELECT bool_or(a.grantee = 0) FROM pg_database d"
            " CROSS JOIN aclexplode(coalesce(d.datacl, acldefault('d', d.datdba))) a"
            " WHERE d.datname = %s AND a.privilege_type = 'CONNECT'",
            self._stage.production,
        )
        return bool(found and found[0])

    async def production_now(self, ledger: str) -> tuple[object, ...]:
        """Return what a migration could reach of production from outside: its ledger, and what
        the server keeps about the database itself."""
        async with self._sessions.session(self._target, "ledger", read_only=True) as session:
            found = await catalog.ledger(session, ledger)
        async with self._at_production() as session:
            return found, *await side.kept_about(session, self._stage.production)

    def _at_production(self) -> AbstractAsyncContextManager[Connection]:
        return self._source.beside(self._sessions, self._admin)

    async def _close(self, roles: list[str]) -> None:
        await close_roles(self._admin, self._stage.copy, roles)

    async def forget(self) -> None:
        """Drop the copy and every role that was made for it."""
        roles = await control.attempts(self._admin, self._stage.copy)
        await control.forbid_login(self._admin, roles)
        await side.drop(self._admin, self._stage.copy)
        await control.retire(self._admin, roles)


@asynccontextmanager
async def rehearsing(sessions: Sessions, source: Source, stage: Stage) -> AsyncIterator[Rehearsing]:
    """Rehearse, alone. What an earlier attempt left is dropped first; copy and roles are gone
    afterwards, however it ends."""
    async with control.exclusive(sessions, source.copies, f"copy {stage.copy}") as connection:
        await control.prepare(connection)
        work = Rehearsing(sessions, connection, source, stage)
        async with afresh(work.forget):
            yield work
        await uninterrupted(work.forget())
