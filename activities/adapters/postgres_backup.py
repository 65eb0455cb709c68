"""One backup at work: dump, proof in a side database, clean-up of everything half-made."""

import asyncio
import os
import shutil
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path

from activities.adapters import postgres_catalog as catalog
from activities.adapters import postgres_control as control
from activities.adapters import postgres_dump as dumps
from activities.adapters import postgres_side as side
from activities.adapters.postgres_dump import Dumped, Packed
from activities.adapters.postgres_ready import rooms
from activities.adapters.postgres_sessions import Connection, Sessions
from activities.adapters.postgres_url import Target
from activities.adapters.processes import uninterrupted
from slipway.errors import BackupFailed, BackupNotRestorable
from slipway.judgements.backup import differences
from slipway.judgements.database_ready import judge_room
from slipway.messages.record import TableFingerprint


class Copying:
    """A dump and the side database made of it. Made by `copying`."""

    def __init__(
        self, sessions: Sessions, admin: Connection, target: Target, name: str, folder: Path
    ) -> None:
        """`target`: the database to copy; `name`: the side database; `folder`: for files."""
        self._sessions = sessions
        self._admin = admin
        self._target = target
        self.name = name
        self.folder = folder

    @property
    def side(self) -> Target:
        """The side database."""
        return self._target.on(self.name)

    async def check_room(self) -> None:
        """Refuse when a disk that can be known has no room. Raises BackupFailed."""
        found = judge_room(await rooms(self._admin, self._target, self.folder))
        lacking = [one for one in found if one.severity == "block"]
        if lacking:
            raise BackupFailed(lacking[0].what, f"{lacking[0].remedy} Then retry.")

    async def database_size(self) -> int:
        """Return the size of the database to copy, in bytes."""
        return await dumps.size_of(self._admin, self._target.database)

    async def dump(self) -> Dumped:
        """Dump and fingerprint the database in one snapshot."""
        return await dumps.dump(self._sessions, self._target, self.folder)

    async def expand(self, packed: Path) -> tuple[Path, str]:
        """Decompress a dump and let pg_restore read all of it; return file and SHA-256."""
        plain = self.folder / "plain.dump"
        digest, _ = await dumps.unpack(packed, plain)
        await dumps.read_through(self._sessions, plain)
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
        await side.create(self._admin, self.name, self._target.database, owner)
        await dumps.restore(self._sessions, self.side, plain)
        found = await self.unlike(tables, schema_sha256)
        if found:
            raise BackupNotRestorable(
                f"The restored copy differs from its source: {'; '.join(found)}.",
                "Look at what a dump cannot carry (pg_dump's manual names it), then retry.",
            )
        await side.copy_settings(self._admin, self._target.database, self.name)
        await side.allow(self._admin, self.name, False)

    async def unlike(self, tables: list[TableFingerprint], schema_sha256: str) -> list[str]:
        """Say how the side database differs from a backup; an empty list means equal."""
        return await differing(self._sessions, self.side, tables, schema_sha256)

    async def forget(self) -> None:
        """Drop the side database, so that nothing half-made is left."""
        await side.drop(self._admin, self.name)


async def differing(
    sessions: Sessions, target: Target, tables: list[TableFingerprint], schema_sha256: str
) -> list[str]:
    """Say how a database differs from a backup's tables and schema."""
    async with sessions.session(target, "compare", read_only=True) as session:
        found = differences(tables, await catalog.fingerprints(session))
    if await catalog.schema_fingerprint(sessions, target) != schema_sha256:
        found.insert(0, "the schema is another one")
    return found


@asynccontextmanager
async def copying(
    sessions: Sessions, target: Target, admin: Target, name: str
) -> AsyncIterator[Copying]:
    """Work on one side database, alone. What an earlier attempt left is dropped first; when this
    one fails or is cancelled, the side database and all files go."""
    async with control.exclusive(sessions, admin, f"copy {name}") as connection:
        folder = await asyncio.to_thread(_fresh_folder, name)
        work = Copying(sessions, connection, target, name, folder)
        try:
            await work.forget()
            yield work
        except BaseException:
            with suppress(Exception):  # the first error is the one to tell
                await uninterrupted(work.forget())
            raise
        finally:
            await uninterrupted(asyncio.to_thread(shutil.rmtree, folder, ignore_errors=True))


def _fresh_folder(name: str) -> Path:
    folder = Path(tempfile.gettempdir()) / f"slipway-{os.getuid()}-{name}"
    if folder.exists():
        shutil.rmtree(folder)  # refuses a link, so nobody can point it elsewhere
    folder.mkdir(mode=0o700)
    return folder
