"""Sessions with PostgreSQL by psycopg, and its own tools as child processes."""

import os
import shutil
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any

import psycopg
from psycopg.rows import TupleRow

from activities.adapters.postgres.text_form import TEXT_FORM
from activities.adapters.postgres.url import Target, resolve_target
from activities.adapters.processes import Finished, run
from slipway.errors import SlipwayError, Unreachable
from slipway.judgements.database_ready import judge_tools
from slipway.pg_commands import major_of, version
from slipway.verdicts import Reason

Connection = psycopg.AsyncConnection[TupleRow]

_TOOL_CONNECT_TIMEOUT = 10
_VERSION_DEADLINE = 10.0
_SETTINGS = {
    "statement_timeout": "0",
    "lock_timeout": "10s",
    "idle_in_transaction_session_timeout": "0",
    "idle_session_timeout": "0",
    "client_connection_check_interval": "1s",
    "row_security": "off",
    **TEXT_FORM,
}
"""A database may carry defaults of its own (statement_timeout): not for us. `row_security=off`
makes a hidden row an error."""


class Sessions:
    """Opens sessions and runs tools. Holds no connection of its own."""

    def __init__(self, programs: Path | None = None) -> None:
        """`programs`: folder of pg_dump and pg_restore; else `SLIPWAY_PG_BIN`, else `PATH`."""
        given = os.environ.get("SLIPWAY_PG_BIN", "")
        self._programs = programs or (Path(given) if given else None)

    def target(self, reference: str) -> Target:
        """Return the database that a plan's reference leads to."""
        return resolve_target(reference)

    @asynccontextmanager
    async def session(
        self,
        target: Target,
        purpose: str = "reader",
        *,
        read_only: bool = False,
        statement_timeout: float = 0,
    ) -> AsyncIterator[Connection]:
        """Open a session in autocommit mode, named `slipway <purpose>` in pg_stat_activity.

        `statement_timeout` in seconds, 0 for none. Errors of the server, also those of the
        caller's block, become SlipwayErrors; a cancelled caller stops the running statement.
        """
        with _explained(target):
            connection = await psycopg.AsyncConnection.connect(
                **target.arguments(),
                autocommit=True,
                application_name=f"slipway {purpose}"[:63],
                keepalives_idle=10,
                keepalives_interval=5,
                keepalives_count=3,
                tcp_user_timeout=30_000,
            )
            async with connection:
                await _settle(connection, read_only, statement_timeout)
                yield connection

    def tool(self, name: str) -> str:
        """Return the path of one of PostgreSQL's tools. Raises SlipwayError when it is missing."""
        folder = str(self._programs) if self._programs else None
        found = shutil.which(name, path=folder)
        if found is None:
            raise SlipwayError(
                f"{name} is not found in {folder or 'PATH'}.",
                "Install the PostgreSQL client tools of the server's major version, or set "
                "SLIPWAY_PG_BIN to their folder.",
                reason=Reason.ENVIRONMENT_NOT_READY,
            )
        return found

    async def run_tool(
        self,
        command: Sequence[str],
        target: Target,
        *,
        stdin: int | None = None,
        stdout: int | None = None,
        keep: int = 16_384,
        options: str = "",
    ) -> Finished:
        """Run one of PostgreSQL's tools as the target's role. The password is in no argument.

        `stdin`, `stdout`: file descriptors instead of nothing and of what is kept. `options`:
        settings of its sessions, as `PGOPTIONS` has them.
        """
        base = {"PATH": os.environ.get("PATH", ""), "LC_ALL": "C", **target.environment()}
        base |= {"PGAPPNAME": "slipway tool", "PGCONNECT_TIMEOUT": str(_TOOL_CONNECT_TIMEOUT)}
        if options:
            base["PGOPTIONS"] = options
        with _passfile(target) as (variables, descriptors):
            return await run(
                command,
                env={**base, **variables},
                stdin=stdin,
                stdout=stdout,
                pass_fds=descriptors,
                secrets=[target.password],
                keep=keep,
            )

    async def tool_majors(self) -> dict[str, int]:
        """Return the major version of pg_dump and of pg_restore, such as 18."""
        return {name: await self._major(name) for name in ("pg_dump", "pg_restore")}

    async def _major(self, name: str) -> int:
        done = await run(version(self.tool(name)), env={"LC_ALL": "C"}, deadline=_VERSION_DEADLINE)
        try:
            return major_of(done.stdout)
        except ValueError:
            raise SlipwayError(
                f"{name} does not say its version: {done.words or 'nothing'}",
                "Install the PostgreSQL client tools anew where the worker runs.",
                reason=Reason.ENVIRONMENT_NOT_READY,
            ) from None

    async def check_tools(self, connection: Connection) -> None:
        """Refuse client tools of another major version than the server's: their dumps may not
        restore there."""
        wrong = judge_tools(connection.info.server_version // 10_000, await self.tool_majors())
        if wrong:
            raise SlipwayError(wrong[0].what, wrong[0].remedy, reason=Reason.ENVIRONMENT_NOT_READY)


async def _settle(connection: Connection, read_only: bool, statement_timeout: float) -> None:
    settings = dict(_SETTINGS)
    if connection.info.server_version >= 170000:
        settings["transaction_timeout"] = "0"
    if statement_timeout:
        settings["statement_timeout"] = f"{statement_timeout * 1000:.0f}ms"
    settings["default_transaction_read_only"] = "on" if read_only else "off"
    await connection.execute(
        "SELECT set_config(name, value, false)"
        " FROM unnest(%s::text[], %s::text[]) AS given(name, value)",
        [list(settings), list(settings.values())],
    )


async def rows(connection: Connection, query: str, *values: Any) -> list[TupleRow]:
    """Run a query written in this program and return all its rows."""
    cursor = await connection.execute(query.encode(), values or None)
    return await cursor.fetchall()


async def row(connection: Connection, query: str, *values: Any) -> TupleRow | None:
    """Run a query written in this program and return its first row."""
    found = await rows(connection, query, *values)
    return found[0] if found else None


@contextmanager
def _passfile(target: Target) -> Iterator[tuple[dict[str, str], list[int]]]:
    """Give the password as a passfile that is on no disk, in no argument and no environment."""
    if not hasattr(os, "memfd_create"):  # not Linux: the environment is readable by its owner only
        yield {"PGPASSWORD": target.password}, []
        return
    descriptor = os.memfd_create("passfile", 0)
    try:
        escaped = target.password.replace("\\", "\\\\").replace(":", "\\:")
        os.fchmod(descriptor, 0o600)
        os.write(descriptor, f"*:*:*:*:{escaped}\n".encode())
        yield {"PGPASSFILE": f"/proc/self/fd/{descriptor}"}, [descriptor]
    finally:
        os.close(descriptor)


@contextmanager
def _explained(target: Target) -> Iterator[None]:
    try:
        yield
    except psycopg.errors.InsufficientPrivilege as error:
        raise SlipwayError(
            f"Role {target.user} lacks a right in {target.name}: {_said(error)}.",
            "Grant it what the deployment guide lists, then retry.",
            reason=Reason.ENVIRONMENT_NOT_READY,
        ) from error
    except psycopg.Error as error:
        raise Unreachable(
            f"PostgreSQL ({target.name}) failed: {_said(error)}.",
            "Check that the server runs and that the role may log in, then retry.",
        ) from error


def _said(error: psycopg.Error) -> str:
    """The server's own words on one line. Details are left out: they may hold rows of people."""
    code = f"SQLSTATE {error.sqlstate}: " if error.sqlstate else ""
    text = error.diag.message_primary or str(error)
    return (code + " ".join(text.split()))[:400].rstrip(".")
