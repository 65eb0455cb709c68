"""Dumps: taken from one snapshot together with fingerprints, compressed, read back, restored."""

import asyncio
import hashlib
import os
import threading
from collections.abc import Coroutine
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, BinaryIO

import zstandard

from activities.adapters import postgres_catalog as catalog
from activities.adapters.postgres_sessions import Connection, Sessions, row
from activities.adapters.postgres_url import Target
from activities.adapters.processes import Stopped, in_stoppable_thread, together, uninterrupted
from slipway import pg_commands
from slipway.errors import BackupFailed, BackupNotRestorable
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


async def size_of(connection: Connection, database: str) -> int:
    """Return a database's size in bytes."""
    found = await row(connection, "SELECT pg_database_size(%s)", database)
    return int(found[0]) if found else 0


async def dump(postgres: Sessions, target: Target, folder: Path) -> Dumped:
    """Dump a database into `folder`, and fingerprint it in the same snapshot.

    Raises BackupFailed when pg_dump fails or the disk is full.
    """
    async with postgres.session(target, "backup") as session:
        await postgres.check_tools(session)
        taken_at = datetime.now(UTC)  # before the snapshot: the backup never looks too young
        await session.execute("BEGIN ISOLATION LEVEL REPEATABLE READ, READ ONLY")
        found = await row(session, "SELECT pg_export_snapshot(), current_setting('server_version')")
        snapshot, server_version = found or ("", "")
        used = await catalog.sequences(session)
        packed, schema, tables = await together(
            _dump_packed(postgres, target, snapshot, folder / "dump.zst"),
            catalog.schema_fingerprint(postgres, target, snapshot),
            catalog.fingerprints(session),
        )
        await session.execute("COMMIT")
    return Dumped(packed, taken_at, server_version, schema, tables, used)


async def _dump_packed(postgres: Sessions, target: Target, snapshot: str, file: Path) -> Packed:
    reader, writer = os.pipe()
    packing = asyncio.create_task(asyncio.to_thread(_pack, reader, file))
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
    if done.code:
        raise BackupFailed(
            f"pg_dump of {target.name} failed: {done.words}",
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


def _pack(reader: int, file: Path) -> Packed:
    compressor = zstandard.ZstdCompressor(level=_LEVEL, threads=-1, write_checksum=True)
    with open(reader, "rb", buffering=0) as pipe, file.open("xb") as raw:
        stored, plain = _Hashing(raw), hashlib.sha256()
        size = 0
        with compressor.stream_writer(stored, closefd=False) as packing:  # type: ignore[arg-type]  # only write() is used
            while piece := pipe.read(_PIECE):
                plain.update(piece)
                size += len(piece)
                packing.write(piece)
        os.fsync(raw.fileno())
    return Packed(file, stored.digest.hexdigest(), stored.size, plain.hexdigest(), size)


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
    done = await work
    if done.code:
        raise BackupNotRestorable(
            f"{what}: {done.words}",
            "Correct what it names (such as a function that needs a search_path), then retry.",
        )


_NOWHERE = Target(host="", port=0, user="", database="")
