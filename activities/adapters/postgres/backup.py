"""One backup at work: dump, proof in a side database, clean-up of everything half-made."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import (
    AbstractAsyncContextManager,
    AsyncExitStack,
    asynccontextmanager,
)
from dataclasses import replace
from datetime import datetime
from pathlib import Path

from activities.adapters import sealing
from activities.adapters.fallback.control import register
from activities.adapters.fallback.setup import NoFallback, Tap, remove, tapping
from activities.adapters.fallback.store import prepare
from activities.adapters.postgres import catalog, control, side
from activities.adapters.postgres import dump as dumps
from activities.adapters.postgres import extent as extents
from activities.adapters.postgres.dump import Dumped, Packed
from activities.adapters.postgres.extent import Extent
from activities.adapters.postgres.progress import Say, silent, telling
from activities.adapters.postgres.ready import rooms
from activities.adapters.postgres.roles import roles_sql
from activities.adapters.postgres.sessions import Connection, Sessions
from activities.adapters.postgres.source import Source
from activities.adapters.postgres.url import Target
from activities.adapters.processes import afresh
from activities.scratch import scratch
from slipway.errors import BackupFailed, BackupNotRestorable
from slipway.judgements.backup import behind, differences, not_covered, schema_digests
from slipway.judgements.database_ready import judge_room
from slipway.messages.record import BackupTaken, Fallback, TableFingerprint


class Copying:
    """A dump and the side database made of it. Made by `copying`."""

    def __init__(
        self, sessions: Sessions, admin: Connection, source: Source, name: str, folder: Path
    ) -> None:
        """`admin`: a session of the server on which the copy is made, in a database of its own;
        `name`: the side database; `folder`: for files."""
        self._sessions = sessions
        self._admin = admin
        self._source = source
        self._target = source.target
        self.name = name
        self.folder = folder
        self._slot = ""
        self.fallback: Fallback | None = None
        self.no_fallback = ""
        """Why there is none, although one was wanted."""
        self.say: Say = silent
        """Told how far the work has come."""

    @property
    def side(self) -> Target:
        """The side database."""
        return self._source.copies.on(self.name)

    def _at_source(self) -> AbstractAsyncContextManager[Connection]:
        return self._source.beside(self._sessions, self._admin)

    async def check_room(self) -> None:
        """Refuse when a disk that can be known has no room. Raises BackupFailed."""
        size = await self.database_size()
        found = judge_room(await rooms(self._admin, self._source, self.folder, size))
        lacking = [one for one in found if one.severity == "block"]
        if lacking:
            raise BackupFailed(lacking[0].what, f"{lacking[0].remedy} Then retry.")

    async def database_size(self) -> int:
        """Return the size of the database to copy, in bytes."""
        async with self._at_source() as session:
            return await dumps.size_of(session, self._target.database)

    async def dump(
        self, *, snapshot: str | None = None, taken_at: datetime | None = None
    ) -> Dumped:
        """Dump and fingerprint the database in one snapshot: a new one, or one that another
        session exported after `taken_at` and still holds."""
        return await dumps.dump(
            self._sessions,
            self._target,
            self.folder,
            snapshot=snapshot,
            taken_at=taken_at,
            say=self.say,
        )

    @asynccontextmanager
    async def tapped(self, slot: str, ledger: str) -> AsyncIterator[Tap | None]:
        """Make a fallback's slot for this copy, with the snapshot to dump; None where this
        database cannot be followed. No slot is wanted when the name is empty."""
        self._slot = slot
        async with AsyncExitStack() as stack:
            tap = None
            if slot:
                made = tapping(self._sessions, self._target, self._source.admin, slot, ledger)
                try:
                    tap = await stack.enter_async_context(made)
                except NoFallback as error:
                    self.no_fallback = str(error)
            yield tap

    async def follow_from(self, tap: Tap, deployment: str, ledger: str) -> None:
        """Let the restored side database follow production from the snapshot on."""
        await side.allow(self._admin, self.name, True)
        async with self._sessions.session(self.side, "fallback") as session:
            await prepare(session, tap.carried, tap.position, ledger)
        await side.allow(self._admin, self.name, False)
        async with self._at_source() as session:
            await register(session, tap.slot, self._target.database, deployment, self.name)
        self.fallback = Fallback(
            slot=tap.slot,
            publication=tap.slot,
            position=tap.position,
            tables=len(tap.carried),
            not_carried=[f"{one.table}: {one.why}" for one in tap.not_carried],
        )

    async def encrypt(self, packed: Packed, recipients: Sequence[str]) -> Packed:
        """Encrypt a proved dump to age recipients; the digest of the plain dump stays."""
        file = packed.file.with_suffix(".age")
        self.say("encrypting")
        digest, size = await sealing.encrypt(packed.file, file, recipients)
        return replace(packed, file=file, sha256=digest, size=size)

    async def expand(self, packed: Path, identity: str | None = None) -> tuple[Path, str]:
        """Decompress a dump and let pg_restore read all of it; return file and SHA-256.

        `identity`: reference to what decrypts it, where it is encrypted.
        """
        if await asyncio.to_thread(sealing.is_encrypted, packed):
            clear = packed.with_suffix(".clear")
            await sealing.decrypt(packed, clear, identity)
            packed = clear
        plain = self.folder / "plain.dump"
        digest, _ = await expand(self._sessions, packed, plain)
        return plain, digest

    async def read_back(self, packed: Packed) -> Path:
        """Read every byte of a fresh dump back and return the decompressed file.

        Raises BackupNotRestorable when it is not what pg_dump wrote.
        """
        plain, digest = await self.expand(packed.file)
        if digest != packed.plain_sha256:
            raise BackupNotRestorable(
                "The dump read back is not what pg_dump wrote.",
                "Check the worker's disk, then take the backup again.",
            )
        return plain

    async def restore(
        self, plain: Path, owner: str, tables: list[TableFingerprint], schema_sha256: str
    ) -> None:
        """Restore into the side database, compare it with the source's fingerprints, give it
        settings and grants, and close it. Raises BackupNotRestorable on any difference."""
        await self.restore_only(plain, owner)
        _refuse(await self.unlike(tables, schema_sha256))
        await self.adorn()

    async def prove(self, plain: Path, owner: str, dumped: Dumped) -> list[str]:
        """Restore into the side database and compare everything that was noted with the dump, as
        `restore` does, and sequences; return what the proof does not speak for."""
        await self.restore_only(plain, owner)
        self.say(f"comparing {self.name} with its source")
        noted = [(f"{one.schema}.{one.name}", one.last, one.step) for one in dumped.sequences]
        stale = await self._equal(dumped.tables, dumped.schema_sha256, noted, dumped.extent)
        await self.adorn()
        return [*dumped.extent.not_covered, *stale]

    async def _equal(
        self,
        tables: list[TableFingerprint],
        schema_sha256: str,
        sequences: list[tuple[str, int, int]],
        extent: Extent,
    ) -> list[str]:
        """Refuse a copy that differs; return the materialized views that the restore refreshed to
        other content than the source's."""
        found = await self.unlike(tables, schema_sha256)
        async with self._sessions.session(self.side, "compare", read_only=True) as session:
            here = [
                (f"{one.schema}.{one.name}", one.last) for one in await catalog.sequences(session)
            ]
            views = await extents.views(session)
        _refuse(found + behind(sequences, here))
        have = {one.table: one for one in views}
        stale = [one.table for one in extent.views if have.get(one.table) != one]
        return not_covered([("materialized view", name) for name in stale])

    async def restore_only(self, plain: Path, owner: str) -> None:
        """Restore a dump into a new database and compare nothing."""
        async with self._at_source() as session:
            kind = await side.kind_of(session, self._target.database)
        await side.create(self._admin, self.name, kind, owner)
        total = await self.database_size()
        what = f"restoring into {self.name}"
        async with telling(self._sessions, self.side, self.say, what, total):
            await dumps.restore(self._sessions, self.side, plain)

    async def adorn(self) -> None:
        """Give the side database production's settings and grants, and close it."""
        async with self._at_source() as session:
            await side.copy_settings(self._admin, self._target.database, self.name, session)
        await side.allow(self._admin, self.name, False)

    async def prove_as(
        self,
        plain: Path,
        owner: str,
        taken: BackupTaken,
        sequences: list[tuple[str, int, int]],
    ) -> None:
        """Restore a dump from the bucket and compare it with what its manifest names.
        `sequences`: name, last number, step. Raises BackupNotRestorable on any difference."""
        await self.restore_only(plain, owner)
        self.say(f"comparing {self.name} with the manifest")
        await self._equal(taken.tables, taken.schema_sha256, sequences, Extent())
        await self.adorn()

    async def taken_name(self, name: str) -> str | None:
        """Return the comment of a database (maybe empty), None when there is none of that name."""
        return await side.comment_of(self._admin, name)

    async def hand_over(self, name: str, owner: str, comment: str) -> None:
        """Give the side database a name of its own, open to its owner only. In one transaction:
        either it is there with its comment, or it is a side database still."""
        await side.close_to_others(self._admin, self.name, owner)
        await side.hand_over(self._admin, self.name, name, comment)

    async def hold(self) -> None:
        """Raise Unreachable unless this still is the newest work on the side database: a newer one
        ends the session that holds the lock."""
        await self._admin.execute("SELECT 1")

    async def roles(self) -> bytes:
        """Return roles without passwords, settings and grants as SQL: they are in no dump."""
        async with self._at_source() as session:
            return await roles_sql(self._sessions, session, self._target)

    async def unlike(self, tables: list[TableFingerprint], schema_sha256: str) -> list[str]:
        """Say how the side database differs from a backup; an empty list means equal."""
        return await differing(self._sessions, self.side, tables, schema_sha256)

    async def forget(self) -> None:
        """Drop the side database, so that nothing half-made is left."""
        await side.drop(self._admin, self.name)
        if self._slot:
            await remove(self._sessions, self._target, self._source.admin, self._slot)


def _refuse(found: list[str]) -> None:
    if found:
        raise BackupNotRestorable(
            f"The restored copy differs from its source: {'; '.join(found)}.",
            "Look at what a dump cannot carry (pg_dump's manual names it), then retry.",
        )


async def expand(sessions: Sessions, packed: Path, plain: Path) -> tuple[str, int]:
    """Decompress a dump to `plain` and let pg_restore read all of it; return SHA-256 and bytes.

    Raises BackupNotRestorable when it is damaged, BackupFailed when the disk is full.
    """
    try:
        found = await dumps.unpack(packed, plain)
    except OSError as error:
        raise BackupFailed(
            f"The dump cannot be unpacked in {plain.parent}: {error.strerror}.",
            "Free disk space where the worker runs, or point TMPDIR elsewhere.",
        ) from error
    await dumps.read_through(sessions, plain)
    return found


async def differing(
    sessions: Sessions, target: Target, tables: list[TableFingerprint], schema_sha256: str
) -> list[str]:
    """Say how a database differs from a backup's tables and schema."""
    async with sessions.session(target, "compare", read_only=True) as session:
        found = differences(tables, await extents.like(session, tables))
    if schema_sha256 not in schema_digests(await catalog.schema_text(sessions, target)):
        found.insert(0, "the schema is another one")
    return found


@asynccontextmanager
async def copying(sessions: Sessions, source: Source, name: str) -> AsyncIterator[Copying]:
    """Work on one side database, alone. What an earlier attempt left is dropped first; when this
    one fails or is cancelled, the side database and all files go."""
    async with (
        control.exclusive(sessions, source.copies, f"copy {name}") as connection,
        scratch("backup") as folder,
    ):
        work = Copying(sessions, connection, source, name, folder)
        async with afresh(work.forget):
            yield work
