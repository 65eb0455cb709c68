"""A fallback's beginning and end: publication, and slot with the snapshot that it exports.

The slot's snapshot is the backup's: what was committed before is in the dump, what is committed
after comes through the slot, nothing twice and nothing never.
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

import psycopg
from psycopg import pq, sql
from psycopg.conninfo import make_conninfo
from psycopg.pq import abc

from activities.adapters.fallback.catalog import Carried, NotCarried, carriable, publication_sql
from activities.adapters.fallback.identity import put_back
from activities.adapters.postgres import side
from activities.adapters.postgres.sessions import Connection, Sessions, row
from activities.adapters.postgres.url import Target
from activities.uninterrupted import uninterrupted
from slipway.errors import SlipwayError, Unreachable
from slipway.verdicts import Reason

_PATIENCE = 60.0
"""Seconds for transactions that were open before to end; a slot cannot begin before they do."""


_TRIES = 200
"""Looks, 0.05 s apart, until the process that reads a slot has ended."""


class NoFallback(SlipwayError):
    """A fallback that cannot be made here. The backup is good without it."""

    reason = Reason.ENVIRONMENT_NOT_READY


@dataclass(frozen=True)
class Tap:
    """A slot and its snapshot, which lives as long as `tapping`'s block."""

    slot: str
    snapshot: str
    position: str
    carried: list[Carried]
    not_carried: list[NotCarried]


@asynccontextmanager
async def tapping(
    sessions: Sessions, target: Target, admin: Target, slot: str, ledger: str
) -> AsyncIterator[Tap]:
    """Make publication and slot, both named `slot`; what an earlier attempt left goes first.

    Raises NoFallback when this database cannot be followed, and says what it would need. When the
    block fails, slot and publication are dropped; else they stay.
    """
    await remove(sessions, target, admin, slot)
    try:
        async with _replication(target) as wire:
            tap = await _begin(sessions, target, slot, ledger, wire)
            yield tap
    except BaseException:
        with contextlib.suppress(Exception):  # the first error is the one to tell
            await uninterrupted(remove(sessions, target, admin, slot))
        raise


async def _begin(
    sessions: Sessions, target: Target, slot: str, ledger: str, wire: abc.PGconn
) -> Tap:
    try:
        async with sessions.session(target, "fallback") as session:
            wanted, _ = await carriable(session)
            if ledger not in {one.name for one in wanted}:
                raise NoFallback(
                    f"The ledger {ledger} cannot be followed, so that a migration could not be "
                    "told from what the services write.",
                    "After the first migration it is there; it needs a primary key.",
                )
            await session.execute(publication_sql(slot, wanted, session.info.server_version))
        position, snapshot = await _create_slot(wire, slot)
        async with sessions.session(target, "fallback") as session:
            await session.execute("BEGIN ISOLATION LEVEL REPEATABLE READ, READ ONLY")
            await session.execute(
                sql.SQL("SET TRANSACTION SNAPSHOT {}").format(sql.Literal(snapshot))
            )
            carried, not_carried = await carriable(session)
            await session.execute("COMMIT")
    except Unreachable as error:
        cause = error.__cause__
        if isinstance(cause, psycopg.Error) and cause.sqlstate in _CANNOT:
            raise NoFallback(error.what, _CANNOT[cause.sqlstate]) from None
        raise
    except SlipwayError as error:
        if error.reason is Reason.ENVIRONMENT_NOT_READY:  # a right is missing
            raise NoFallback(error.what, error.remedy) from None
        raise
    if {one.oid for one in wanted} != {one.oid for one in carried}:
        raise Unreachable(
            f"The tables of {target.name} changed while its fallback was made.", "Retry."
        )
    return Tap(slot, snapshot, position, carried, not_carried)


_CANNOT = {
    "55000": "Set wal_level = logical on the server (it needs a restart).",
    "53400": "Raise max_replication_slots, or drop slots nobody needs (pg_replication_slots).",
    "42501": "ALTER ROLE … REPLICATION for slipway's role, as docs/howto/real-cluster.md lists.",
}
"""What the server says when there can be no slot, and the remedy."""


@asynccontextmanager
async def _replication(target: Target) -> AsyncIterator[abc.PGconn]:
    words = make_conninfo(
        **{name: value for name, value in target.arguments().items() if value is not None},
        replication="database",
        application_name="slipway slot",
    )
    wire = await asyncio.to_thread(pq.PGconn.connect, words.encode())
    try:
        if wire.status != pq.ConnStatus.OK:
            text = wire.get_error_message()
            if "replication" in text or "permission denied" in text:
                raise NoFallback(
                    f"Role {target.user} may not replicate from {target.name}: "
                    f"{' '.join(text.split())[-200:]}.",
                    f"ALTER ROLE {target.user} REPLICATION; and let pg_hba.conf admit it.",
                )
            raise Unreachable(
                f"PostgreSQL ({target.name}) gave no replication connection: "
                f"{' '.join(text.split())[-200:]}.",
                "Check that the server runs, then retry.",
            )
        yield wire
    finally:
        wire.finish()


async def _create_slot(wire: abc.PGconn, slot: str) -> tuple[str, str]:
    """Return the position and the name of the exported snapshot."""
    command = f"CREATE_REPLICATION_SLOT \"{slot}\" LOGICAL pgoutput (SNAPSHOT 'export')".encode()
    work = asyncio.create_task(asyncio.to_thread(wire.exec_, command))
    done, _ = await asyncio.wait({work}, timeout=_PATIENCE)
    if not done:
        await asyncio.to_thread(wire.get_cancel().cancel)
        await asyncio.wait({work})
        raise NoFallback(
            f"A transaction has been open for over {_PATIENCE:.0f} s; no slot can begin before "
            "it ends.",
            "End it (pg_stat_activity, xact_start), then take the backup again.",
        )
    result = work.result()
    if result.status != pq.ExecStatus.TUPLES_OK:
        state = (result.error_field(pq.DiagnosticField.SQLSTATE) or b"").decode()
        said = (result.error_field(pq.DiagnosticField.MESSAGE_PRIMARY) or b"").decode()
        kind = NoFallback if state in _CANNOT else Unreachable
        raise kind(
            f"The server made no slot (SQLSTATE {state}: {said}).",
            _CANNOT.get(state, "Look at its log, then retry."),
        )
    return _text(result, 1), _text(result, 2)


def _text(result: abc.PGresult, column: int) -> str:
    return (result.get_value(0, column) or b"").decode()


async def remove(sessions: Sessions, target: Target, admin: Target, slot: str) -> list[str]:
    """Drop a fallback's slot and publication and return what was there; rows are logged again as
    they were before it.

    `target`: production; `admin`: another database of its server. The slot is found by its name,
    whatever the database that it belongs to is called now.
    """
    dropped = []
    async with sessions.session(admin, "slot") as control:
        where = await row(
            control, "SELECT database FROM pg_replication_slots WHERE slot_name = %s", slot
        )
        if where is not None:
            await _drop_slot(sessions, control, target.on(where[0]), slot)
            dropped.append("slot")
        await put_back(sessions, target, control, slot)
    async with sessions.session(target, "publication") as session:
        if await row(session, "SELECT 1 FROM pg_publication WHERE pubname = %s", slot):
            await session.execute(sql.SQL("DROP PUBLICATION {}").format(sql.Identifier(slot)))
            dropped.append("publication")
    return dropped


async def _drop_slot(sessions: Sessions, control: Connection, target: Target, slot: str) -> None:
    """A logical slot is dropped from inside its own database, when nobody streams from it."""
    closed = not await side.is_open(control, target.database)
    if closed:
        await side.allow(control, target.database, True)
    try:
        async with sessions.session(target, "slot") as session:
            for _ in range(_TRIES):
                if await _dropped(session, slot):
                    return
                await asyncio.sleep(0.05)
            raise Unreachable(f"Slot {slot} is in use.", "It is tried again.")
    finally:
        if closed:
            await uninterrupted(side.allow(control, target.database, False))


async def _dropped(session: Connection, slot: str) -> bool:
    await row(
        session,
        "SELECT pg_terminate_backend(active_pid) FROM pg_replication_slots"
        " WHERE slot_name = %s AND active_pid IS NOT NULL",
        slot,
    )
    try:
        await row(
            session,
            "SELECT pg_drop_replication_slot(slot_name) FROM pg_replication_slots"
            " WHERE slot_name = %s",
            slot,
        )
    except psycopg.errors.ObjectInUse:
        return False
    return True
