"""Dumps: taken from one snapshot together with fingerprints, compressed, read back, restored."""

import asyncio
import hashlib
import os
import threading
from collections.abc import Coroutine
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, BinaryIO

import zstandard
from psycopg import sql

from activities.adapters.postgres import catalog
from activities.adapters.postgres.extent import Extent, contents
from activities.adapters.postgres.progress import Say, silent, telling
from activities.adapters.postgres.sessions import Connection, Sessions, row
from activities.adapters.postgres.url import Target
from activities.adapters.processes import Finished, Stopped, in_stoppable_thread, together
from activities.uninterrupted import uninterrupted
from slipway import pg_commands
from slipway.errors import BackupFailed, BackupNotRestorable, Unreachable
from slipway.messages.record import TableFingerprint

_PIECE = 1 << 20
_LEVEL = 3


@dataclass(frozen=True)
class Packed:
    """A compressed dump on disk. Digests are SHA-256, sizes bytes."""

    file: Path
    sha256: str
    size: int
    plain_sha256: str
    plain_size: int


@dataclass(frozen=True)
class Dumped:
    """A dump and what the database held at its snapshot."""

    packed: Packed
    taken_at: datetime
    server_version: str
    schema_sha256: str
    tables: list[TableFingerprint]
    sequences: list[catalog.Sequence]
    extent: Extent = field(default_factory=Extent)


@dataclass
class Counter:
    """Bytes so far."""

    size: int = 0


async def size_of(connection: Connection, database: str) -> int:
    """Return a database's size in bytes."""
    found = await row(connection, "SELECT pg_database_size(%s)", database)
    return int(found[0]) if found else 0


async def dump(
    postgres: Sessions,
    target: Target,
    folder: Path,
    *,
    snapshot: str | None = None,
    taken_at: datetime | None = None,
    say: Say = silent,
) -> Dumped:
    """Dump a database into `folder`, and fingerprint it in the same snapshot.

    `snapshot`: one that another session exported and still holds, such as a replication slot's;
    `taken_at`: an instant before it was exported. Left out, a snapshot is taken here, now.
    `say` is told how far it has come.
    Raises BackupFailed when pg_dump fails or the disk is full.
    """
    async with postgres.session(target, "backup") as session:
        await postgres.check_tools(session)
        # before the snapshot: the backup never looks too young
        taken_at = taken_at or datetime.now(UTC)
        snapshot = await _in_snapshot(session, snapshot)
        found = await row(session, "SELECT current_setting('server_version')")
        server_version = found[0] if found else ""
        used = await catalog.sequences(session)
        size, counter = await size_of(session, target.database), Counter()
        async with telling(postgres, target, say, "dumping", size, lambda: counter.size):
            packed, schema, (tables, extent) = await together(
                _dump_packed(postgres, target, snapshot, folder / "dump.zst", counter),
                catalog.schema_fingerprint(postgres, target, snapshot),
                contents(session),
            )
        used = catalog.earlier(used, await catalog.sequences(session))
        await session.execute("COMMIT")
    return Dumped(packed, taken_at, server_version, schema, tables, used, extent)


async def _in_snapshot(session: Connection, exported: str | None) -> str:
    """Begin a transaction that sees an exported snapshot, or its own, and return its name."""
    await session.execute("BEGIN ISOLATION LEVEL REPEATABLE READ, READ ONLY")
    if exported is not None:
        words = sql.SQL("SET TRANSACTION SNAPSHOT {}").format(sql.Literal(exported))
        await session.execute(words)
        return exported
    found = await row(session, "SELECT pg_export_snapshot()")
    return str(found[0]) if found else ""


async def _dump_packed(
    postgres: Sessions, target: Target, snapshot: str, file: Path, counter: Counter
) -> Packed:
    reader, writer = os.pipe()
    packing = asyncio.create_task(asyncio.to_thread(_pack, reader, file, counter))
    try:
        command = pg_commands.dump(postgres.tool("pg_dump"), target.where, snapshot)
        done = await postgres.run_tool(command, target, stdout=writer)
    finally:
        os.close(writer)  # the child has ended: now the thread sees the end of the pipe
        await uninterrupted(_settled(packing))
    if (error := packing.exception()) is not None:
        raise BackupFailed(
            f"The dump cannot be written to {file.parent}: {error}.",
            "Free disk space where the worker runs, or point TMPDIR elsewhere.",
        ) from error
    _refuse_cut_off("pg_dump", done)
    if done.code:
        raise BackupFailed(
            f"pg_dump of {target.name} failed: {done.words or f'it ended with {done.code}'}.",
            "Correct what it names, then retry.",
        )
    return packing.result()


async def _settled(task: asyncio.Task[Any]) -> None:
    await asyncio.gather(task, return_exceptions=True)


class _Hashing:
    """A file that hashes and counts what is written to it."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self.digest = hashlib.sha256()
        self.size = 0

    def write(self, content: bytes) -> int:
        self.digest.update(content)
        self.size += len(content)
        return self._file.write(content)

    def flush(self) -> None:
        self._file.flush()


def _pack(reader: int, file: Path, counter: Counter) -> Packed:
    compressor = zstandard.ZstdCompressor(level=_LEVEL, threads=-1, write_checksum=True)
    with open(reader, "rb", buffering=0) as pipe, file.open("xb") as raw:
        stored, plain = _Hashing(raw), hashlib.sha256()
        with compressor.stream_writer(stored, closefd=False) as packing:  # type: ignore[arg-type]  # only write() is used
            while piece := pipe.read(_PIECE):
                plain.update(piece)
                counter.size += len(piece)
                packing.write(piece)
        os.fsync(raw.fileno())
    return Packed(file, stored.digest.hexdigest(), stored.size, plain.hexdigest(), counter.size)


async def unpack(packed: Path, plain: Path) -> tuple[str, int]:
    """Decompress a whole dump to a file and return its SHA-256 and size.

    Raises BackupNotRestorable when it is cut or altered.
    """
    return await in_stoppable_thread(lambda stop: _unpack(packed, plain, stop))


def _unpack(packed: Path, plain: Path, stop: threading.Event) -> tuple[str, int]:
    stream = zstandard.ZstdDecompressor().decompressobj()
    with packed.open("rb") as source, plain.open("wb") as raw:
        target = _Hashing(raw)
        try:
            while piece := source.read(_PIECE // 4):
                target.write(stream.decompress(piece))
                if stop.is_set():
                    raise Stopped
        except zstandard.ZstdError as error:
            raise BackupNotRestorable(
                f"The compressed dump is damaged: {error}.", "Take the backup again."
            ) from error
    if not stream.eof or stream.unused_data:
        raise BackupNotRestorable(
            "The compressed dump is cut short or has more at its end.", "Take the backup again."
        )
    return target.digest.hexdigest(), target.size


async def read_through(postgres: Sessions, plain: Path) -> None:
    """Let pg_restore read every byte of a dump. Raises BackupNotRestorable."""
    command = pg_commands.read_through(postgres.tool("pg_restore"), str(plain))
    await _restoring(postgres.run_tool(command, _NOWHERE), "The dump cannot be read")


async def restore(postgres: Sessions, side: Target, plain: Path) -> None:
    """Restore a dump into an empty database and gather statistics, without which the first
    queries after a swap would crawl. Raises BackupNotRestorable."""
    command = pg_commands.restore(postgres.tool("pg_restore"), side.where, str(plain))
    await _restoring(
        postgres.run_tool(command, side), f"The dump cannot be restored to {side.name}"
    )
    async with postgres.session(side, "analyze") as session:
        await session.execute("ANALYZE")


async def _restoring(work: Coroutine[Any, Any, Any], what: str) -> None:
    done: Finished = await work
    _refuse_cut_off("pg_restore", done)
    if done.code:
        raise BackupNotRestorable(
            f"{what}: {done.words or f'pg_restore ended with {done.code}'}.",
            "Correct what it names (such as a function that needs a search_path), then retry.",
        )


_CUT_OFF = (
    "server closed the connection",
    "terminating connection",
    "connection to server",
    "could not receive data from server",
    "could not send data to server",
    "no connection to the server",
    "the database system is",
)
"""What the tools say when the server went away, which proves nothing about a dump."""


def _refuse_cut_off(tool: str, done: Finished) -> None:
    """Raise Unreachable when a tool was killed, or lost its server: another attempt may help."""
    if done.code < 0:
        raise Unreachable(f"{tool} was ended by signal {-done.code}.", "It is tried again.")
    if done.code and any(words in done.stderr for words in _CUT_OFF):
        raise Unreachable(f"{tool} lost its server: {done.words}", "It is tried again.")


_NOWHERE = Target(host="", port=0, user="", database="")
