"""Fetches a fallback that lives on another server to production's, where it can be swapped in.

Names cannot be swapped across servers, and the address that the services know is not slipway's to
change. So the copy is streamed back while production stays open: dump and restore in one go, of one
snapshot that holds its position in production's log too. From there it follows through the same
slot, as the copy on the other server did, which from that moment on follows no more.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import BinaryIO

from activities.adapters.fallback import control as states
from activities.adapters.fallback.following import wanted
from activities.adapters.fallback.orphans import orphans
from activities.adapters.fallback.store import position
from activities.adapters.postgres import catalog, control, side
from activities.adapters.postgres.backup import differing
from activities.adapters.postgres.dump import size_of
from activities.adapters.postgres.extent import contents
from activities.adapters.postgres.progress import Say, telling
from activities.adapters.postgres.ready import room_on_server
from activities.adapters.postgres.sessions import Connection, Sessions, row
from activities.adapters.postgres.source import Source
from activities.adapters.postgres.url import Target
from activities.adapters.processes import together
from activities.uninterrupted import uninterrupted
from slipway import pg_commands
from slipway.errors import SlipwayError, Unreachable
from slipway.judgements.backup import home_name
from slipway.judgements.database_ready import judge_room
from slipway.messages.record import BackupTaken, TableFingerprint
from slipway.pg_commands import Part
from slipway.verdicts import Reason

_END_READER = """
SELECT pg_terminate_backend(active_pid) FROM pg_replication_slots
WHERE slot_name = %s AND active_pid IS NOT NULL"""
_REPLICA = "-c session_replication_role=replica"


@dataclass(frozen=True)
class _Held:
    """What the copy holds in the snapshot that is fetched."""

    snapshot: str
    position: str | None
    """In production's log; None for a copy that does not follow."""
    tables: list[TableFingerprint]
    schema_sha256: str
    broken: bool
    """Whether it has rows that its own constraints forbid: what follows skips foreign keys."""


async def at_home(
    sessions: Sessions, admin: Connection, source: Source, owner: str, backup: BackupTaken, say: Say
) -> str:
    """Return the name of a fallback's database on production's server; one that is on another
    server is fetched first. Nobody else may have the fallback meanwhile.

    `admin`: a session in the control database. Raises Unreachable where another attempt may help,
    SlipwayError when there is no room.
    """
    slot = wanted(backup).slot
    name = await states.side_of(admin, slot)
    if source.place is None or name != backup.side_database:
        return name
    await row(admin, _END_READER, slot)
    home = await fetch(sessions, source, owner, name, say)
    await states.rehome(admin, slot, home)  # from now on this is the fallback
    return home


async def fetch(sessions: Sessions, source: Source, owner: str, name: str, say: Say) -> str:
    """Bring the copy `name` to production's server, closed to everybody but its owner, and prove
    that it is the same; return its name there. What an earlier attempt left is dropped first."""
    home = home_name(name)
    async with (
        control.exclusive(sessions, source.admin, f"copy {home}") as here,
        sessions.session(source.copies, "fetch") as there,
    ):
        await _quiet(there, name, owner)
        try:
            await side.drop(here, home)
            total = await size_of(there, name)
            await _check_room(here, source.admin, total)
            await side.create(here, home, await side.kind_of(here, source.target.database), owner)
            await side.close_to_others(here, home, owner)
            away, back = source.copies.on(name), source.admin.on(home)
            async with telling(sessions, back, say, f"fetching {name}", total):
                await _fetch(sessions, away, back)
        except BaseException:
            with suppress(Exception):  # the first error is the one to tell
                await uninterrupted(side.drop(here, home))
            raise
    return home


async def _quiet(there: Connection, name: str, owner: str) -> None:
    """Open the copy, and end whoever still follows into it."""
    await side.open_for_owner(there, name, owner)
    await control.end_sessions(there, databases=[name])


async def _check_room(here: Connection, admin: Target, size: int) -> None:
    for one in judge_room(await room_on_server(here, admin, size)):
        if one.severity == "block":
            raise SlipwayError(
                f"The old schema's copy cannot be fetched: {one.what}",
                f"{one.remedy} Then retry.",
                reason=Reason.ENVIRONMENT_NOT_READY,
            )


async def _fetch(sessions: Sessions, away: Target, back: Target) -> None:
    async with sessions.session(away, "fetch") as session:
        await session.execute("BEGIN ISOLATION LEVEL REPEATABLE READ, READ ONLY")
        held = await _hold(sessions, session, away)
        await _carry(sessions, away, back, held)
        await session.execute("COMMIT")
        if held.position is not None and await position(session) != held.position:
            raise Unreachable(
                f"{away.database} was followed into while it was fetched.", "It is tried again."
            )
    async with sessions.session(back, "analyze") as session:
        await session.execute("ANALYZE")
    unlike = await differing(sessions, back, held.tables, held.schema_sha256)
    if unlike:
        raise Unreachable(
            f"{back.database} is not what was fetched: {'; '.join(unlike)}.", "It is tried again."
        )


async def _hold(sessions: Sessions, session: Connection, away: Target) -> _Held:
    snapshot = str((await row(session, "SELECT pg_export_snapshot()") or ("",))[0])
    follows = await row(session, "SELECT to_regclass('slipway_fallback.position') IS NOT NULL")
    return _Held(
        snapshot=snapshot,
        position=await position(session) if follows and follows[0] else None,
        tables=(await contents(session))[0],
        schema_sha256=await catalog.schema_fingerprint(sessions, away, snapshot),
        broken=bool(await orphans(session)),
    )


async def _carry(sessions: Sessions, away: Target, back: Target, held: _Held) -> None:
    """Rows that break a constraint would not be taken once it is there: then it comes first, into
    empty tables, and the rows as a follower writes them."""
    if not held.broken:
        await _stream(sessions, away, back, held.snapshot, Part.ALL)
        return
    await _stream(sessions, away, back, held.snapshot, Part.SCHEMA)
    await _stream(sessions, away, back, held.snapshot, Part.DATA, _REPLICA)


@contextmanager
def _pipe() -> Iterator[tuple[BinaryIO, BinaryIO]]:
    """Both ends of a pipe, as files that may be closed earlier and again."""
    ends = os.pipe()
    with open(ends[0], "rb", buffering=0) as reader, open(ends[1], "wb", buffering=0) as writer:
        yield reader, writer


async def _stream(
    sessions: Sessions, away: Target, back: Target, snapshot: str, part: Part, options: str = ""
) -> None:
    """Let one tool read what the other writes; nothing is kept in between."""
    with _pipe() as (reader, writer):

        async def dump() -> str:
            command = pg_commands.carry_out(sessions.tool("pg_dump"), away.where, snapshot, part)
            with writer:  # the other tool sees the end when nobody can write any more
                done = await sessions.run_tool(command, away, stdout=writer.fileno())
            return f"pg_dump: {done.words or done.code}" if done.code else ""

        async def restore() -> str:
            command = pg_commands.carry_in(sessions.tool("pg_restore"), back.where)
            with reader:
                done = await sessions.run_tool(
                    command, back, stdin=reader.fileno(), options=options
                )
            return f"pg_restore: {done.words or done.code}" if done.code else ""

        said = [one for one in await together(dump(), restore()) if one]
    if said:
        raise Unreachable(
            f"{away.database} was not fetched to {back.name}: {'; '.join(said)}.",
            "Correct what it names; it is tried again.",
        )
