"""One migration at work: its fence, a role of its own for each attempt, the project's command."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from activities.adapters import postgres_catalog as catalog
from activities.adapters import postgres_control as control
from activities.adapters.postgres_control import Attempt
from activities.adapters.postgres_relay import Relay, ServerError
from activities.adapters.postgres_sessions import Connection, Sessions
from activities.adapters.postgres_url import Target
from activities.adapters.processes import uninterrupted
from activities.adapters.project import Project
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
class Ran:
    """How one attempt of the command ended."""

    code: int
    error: ServerError | None
    """The last error the server reported to it."""
    words: str
    """The last of the command's own output."""


class Migrating:
    """The right to migrate a database. Made by `migrating`."""

    def __init__(
        self, sessions: Sessions, admin: Connection, target: Target, order: Order, known: bool
    ) -> None:
        """`known`: this operation had written its fence before (an earlier attempt of ours)."""
        self._sessions = sessions
        self._admin = admin
        self._target = target
        self._order = order
        self.known = known

    async def state(self, ledger: str) -> DatabaseState:
        """Return ledger and schema fingerprint."""
        return await state_of(self._sessions, self._target, ledger)

    async def ledger(self, table: str) -> list[AppliedMigration]:
        """Return the ledger, newest first."""
        async with self._sessions.session(self._target, "ledger", read_only=True) as session:
            return await catalog.ledger(session, table)

    async def check_fence(self) -> None:
        """Raise Fenced when a later decision came first."""
        order = self._order
        async with self._admin.transaction():
            await control.check(self._admin, order.database, order.fence, order.op_id, undo=False)

    async def attempt(
        self, command: list[str], workspace: Path, *, lock_timeout: float, deadline: float
    ) -> Ran:
        """Run the migration command once, in `workspace`, as a role made for this attempt alone.

        The role and its sessions are gone when this returns, however it ends. Lengths in seconds.
        Raises Fenced before anything is run when a later decision came first.
        """
        attempt = await self._open(lock_timeout, deadline)
        try:
            return await self._run(attempt, command, workspace, deadline)
        finally:
            await uninterrupted(self._close([attempt.role]))

    async def _open(self, lock_timeout: float, deadline: float) -> Attempt:
        order, admin = self._order, self._admin
        milliseconds = f"{deadline * 1000:.0f}ms"
        settings = {
            "lock_timeout": f"{lock_timeout * 1000:.0f}ms",
            "statement_timeout": milliseconds,
            "idle_in_transaction_session_timeout": milliseconds,
            # a statement whose command was killed would otherwise run to its end
            "client_connection_check_interval": "1s",
        }
        async with admin.transaction():
            await control.claim(admin, order.database, order.fence, order.op_id, undo=False)
            return await control.open_attempt(
                admin, order.database, order.deployment, order.owner, settings
            )

    async def _run(
        self, attempt: Attempt, command: list[str], workspace: Path, deadline: float
    ) -> Ran:
        async with Relay(self._target) as relay:
            url = self._target.url_by(relay.host, relay.port, attempt.role, attempt.password)
            done = await Project().run(
                command,
                workspace,
                deadline=deadline,
                given={
                    "DATABASE_URL": url,
                    "PGAPPNAME": f"slipway migrate {self._order.deployment}"[:63],
                },
                secrets=[url, attempt.password],
            )
            return Ran(done.code, relay.error, done.words)

    async def _close(self, roles: list[str]) -> None:
        await control.forbid_login(self._admin, roles)
        await control.retire(self._admin, roles)

    async def close_leftovers(self) -> None:
        """End what earlier attempts of this operation left: their command may still be running."""
        await self._close(await control.attempts(self._admin, self._order.database))


@asynccontextmanager
async def migrating(
    sessions: Sessions, target: Target, admin: Target, order: Order
) -> AsyncIterator[Migrating]:
    """Take the right to migrate a database, or raise Fenced.

    The fence comes before the lock: an attempt that lost its right must not end the session of
    the one that has it.
    """
    async with sessions.session(admin, "fence") as connection:
        await control.prepare(connection)
        async with connection.transaction():
            before = await control.fence_of(connection, order.database)
            await control.claim(connection, order.database, order.fence, order.op_id, undo=False)
    async with control.exclusive(sessions, admin, f"change {order.database}") as connection:
        known = before == (order.fence, order.op_id)
        work = Migrating(sessions, connection, target, order, known)
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
