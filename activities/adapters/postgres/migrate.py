"""One migration at work: its fence, a role of its own for each attempt, the project's command."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import psycopg

from activities.adapters.fallback.identity import log_whole
from activities.adapters.postgres import catalog, control, vacuum
from activities.adapters.postgres.control import Attempt
from activities.adapters.postgres.marks import Mark
from activities.adapters.postgres.relay import Relay, ServerError
from activities.adapters.postgres.sessions import Connection, Sessions
from activities.adapters.postgres.url import Target
from activities.adapters.project import Project
from activities.uninterrupted import uninterrupted
from slipway.digest import sha256_of
from slipway.errors import SlipwayError
from slipway.messages.migration import AppliedMigration, DatabaseState


@dataclass(frozen=True)
class Order:
    """Which operation writes to which database, and as whom."""

    database: str
    owner: str
    deployment: str
    fence: int
    op_id: str


@dataclass(frozen=True)
class Wanted:
    """What is to be brought into the ledger: migrations by hash and `when`, in order."""

    ledger: str
    migrations: tuple[tuple[str, int], ...]

    @property
    def digest(self) -> str:
        """What the mark names."""
        return sha256_of(self.migrations)


@dataclass(frozen=True)
class Ran:
    """How one attempt of the command ended."""

    code: int
    error: ServerError | None
    """The last error the server reported to it."""
    words: str
    """The last of the command's own output."""


@dataclass(frozen=True)
class Way:
    """How the project's command reaches a database: by a relay, as the role of one attempt."""

    target: Target
    relay: Relay
    attempt: Attempt
    name: str
    """Its application_name."""


async def run_command(way: Way, command: list[str], workspace: Path, deadline: float) -> Ran:
    """Run the project's command in `workspace`. Raises DeadlinePassed after so many seconds."""
    relay, attempt = way.relay, way.attempt
    url = way.target.url_by(relay.host, relay.port, attempt.role, attempt.password)
    done = await Project().run(
        command,
        workspace,
        deadline=deadline,
        given={"DATABASE_URL": url, "PGAPPNAME": way.name[:63]},
        secrets=[url, attempt.password],
    )
    return Ran(done.code, relay.error, done.words)


class Migrating:
    """The right to migrate a database. Made by `migrating`."""

    def __init__(
        self, sessions: Sessions, admin: Connection, target: Target, order: Order, wanted: Wanted
    ) -> None:
        """`admin` holds the lock."""
        self._sessions = sessions
        self._admin = admin
        self._target = target
        self._order = order
        self._wanted = wanted
        self._mark = Mark(order.database, order.deployment, wanted.digest)

    async def ours(self) -> bool:
        """Whether what is wanted, found in the ledger, is this deployment's work: by an earlier
        attempt, in whatever epoch. False: somebody else applied it."""
        return await self._mark.stands(self._admin)

    async def state(self, ledger: str) -> DatabaseState:
        """Return ledger and schema fingerprint."""
        return await state_of(self._sessions, self._target, ledger)

    async def ledger(self, table: str) -> list[AppliedMigration]:
        """Return the ledger, newest first."""
        async with self._sessions.session(self._target, "ledger", read_only=True) as session:
            return await catalog.ledger(session, table)

    async def patience(self, tables: list[str], usual: float) -> float:
        """Return the lock timeout of the next attempt, in seconds: longer than usual where an
        autovacuum holds one of the tables, which gives way to nobody else."""
        async with self._sessions.session(self._target, "locks", read_only=True) as session:
            return await vacuum.patience(session, tables, usual)

    async def check_fence(self) -> None:
        """Raise Fenced when a later decision came first."""
        order = self._order
        async with self._admin.transaction():
            await control.check(self._admin, order.database, order.fence, order.op_id, undo=False)

    async def log_whole(self, slot: str, tables: list[str]) -> None:
        """Have the rows of tables logged whole for the copy that follows by this slot."""
        await log_whole(self._sessions, self._target, self._admin, slot, tables)

    async def attempt(
        self,
        command: list[str],
        workspace: Path,
        *,
        lock_timeout: float,
        deadline: float,
        statement: float,
    ) -> Ran:
        """Run the migration command once, in `workspace`, as a role made for this attempt alone.

        The role and its sessions are gone when this returns, however it ends; the mark that the
        command was started stays unless it had no effect. Lengths in seconds; `statement`: how
        long one statement may run.
        Raises Fenced before anything is run when a later decision came first.
        """
        attempt = await self._open(lock_timeout, deadline, statement)
        try:
            return await self._run(attempt, command, workspace, deadline)
        finally:
            await uninterrupted(self._end(attempt.role))

    async def _open(self, lock_timeout: float, deadline: float, statement: float) -> Attempt:
        order, admin = self._order, self._admin
        settings = {
            "lock_timeout": f"{lock_timeout * 1000:.0f}ms",
            "statement_timeout": f"{min(statement, deadline) * 1000:.0f}ms",
            "idle_in_transaction_session_timeout": f"{deadline * 1000:.0f}ms",
            # a statement whose command was killed would otherwise run to its end
            "client_connection_check_interval": "1s",
        }
        async with admin.transaction():
            await control.claim(admin, order.database, order.fence, order.op_id, undo=False)
            await self._mark.write(admin, order.fence, order.op_id)
            return await control.open_attempt(
                admin, order.database, order.deployment, order.owner, settings
            )

    async def _run(
        self, attempt: Attempt, command: list[str], workspace: Path, deadline: float
    ) -> Ran:
        async with Relay(self._target) as relay:
            name = f"slipway migrate {self._order.deployment}"
            way = Way(self._target, relay, attempt, name)
            return await run_command(way, command, workspace, deadline)

    async def _end(self, role: str) -> None:
        await self._close([role])
        with suppress(SlipwayError, psycopg.Error):  # what cannot be disproved stands
            applied = {(one.hash, one.created_at) for one in await self.ledger(self._wanted.ledger)}
            if not applied.intersection(self._wanted.migrations):
                await self._mark.withdraw(self._admin)

    async def _close(self, roles: list[str]) -> None:
        await control.forbid_login(self._admin, roles)
        await control.retire(self._admin, roles)

    async def close_leftovers(self) -> None:
        """End what earlier attempts of this operation left: their command may still be running."""
        await self._close(await control.attempts(self._admin, self._order.database))


@asynccontextmanager
async def migrating(
    sessions: Sessions, target: Target, admin: Target, order: Order, wanted: Wanted
) -> AsyncIterator[Migrating]:
    """Take the right to migrate a database, or raise Fenced.

    The fence comes before the lock: an attempt that lost its right must not end the session of
    the one that has it.
    """
    async with sessions.session(admin, "fence") as connection:
        await control.prepare(connection)
        async with connection.transaction():
            await control.claim(connection, order.database, order.fence, order.op_id, undo=False)
    async with control.exclusive(sessions, admin, f"change {order.database}") as connection:
        work = Migrating(sessions, connection, target, order, wanted)
        await work.close_leftovers()
        yield work


async def fence_off(
    sessions: Sessions, admin: Target, database: str, fence: int, op_id: str
) -> tuple[int, int]:
    """Write an undo's fence and end every attempt at migrating; return sessions ended, roles
    closed. After this no attempt can log in, also one that was frozen before it connected."""
    async with sessions.session(admin, "fence") as connection:
        await control.prepare(connection)
        async with connection.transaction():
            await control.claim(connection, database, fence, op_id, undo=True)
            roles = await control.attempts(connection, database)
            closed = await control.forbid_login(connection, roles)
        ended = await control.retire(connection, roles)
    return ended, closed


async def state_of(sessions: Sessions, target: Target, ledger: str) -> DatabaseState:
    """Return a database's ledger and schema fingerprint."""
    async with sessions.session(target, "inspect", read_only=True) as session:
        found = await catalog.ledger(session, ledger)
    schema = await catalog.schema_fingerprint(sessions, target)
    return DatabaseState(ledger=found, schema_sha256=schema)
