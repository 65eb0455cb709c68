"""The migration workspace: its journal and files, pinned by digest, and a copy to run it in."""

import asyncio
import hashlib
import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Protocol

from activities.scratch import scratch
from slipway.errors import MigrationRefused
from slipway.judgements.migration_text import MigrationText, folder_when, folders_sha256, is_folder
from slipway.judgements.migrations import LARGEST_FILE, parse_journal
from slipway.release import MigrationSet

_MOST_FILES = 20_000
_MODULES = "node_modules"
_SKIPPED = {_MODULES, ".git"}


class Workspaces(Protocol):
    """Where folders referred to as `artifact:…` are found."""

    def path(self, reference: str) -> Path:
        """Return the folder, or raise BadInput when there is none inside the artifacts' root."""
        ...


async def read_migrations(root: Path, folder: str, release: MigrationSet) -> list[MigrationText]:
    """Return every migration of a workspace in the journal's order.

    A folder without a journal is one of drizzle 1.x: then in the order of names. Raises
    MigrationRefused when journal or folders are not the ones that the release pins, or when a file
    is missing, too long or no text.
    """
    return await asyncio.to_thread(_read_all, root, folder, release.journal_sha256)


def _read_all(root: Path, folder: str, journal_sha256: str) -> list[MigrationText]:
    migrations = _inside(root, root / folder)
    folders = _folders(migrations)
    if folders and not (migrations / "meta" / "_journal.json").exists():
        return _read_folders(root, migrations, folders, journal_sha256)
    if folders:
        raise MigrationRefused(
            f"{folder} holds a journal and folders such as {folders[0]}: two formats at once.",
            "Run `drizzle-kit up`, and remove meta/ with the journal.",
        )
    content = _read(_inside(migrations, migrations / "meta" / "_journal.json"))
    found = hashlib.sha256(content).hexdigest()
    if found != journal_sha256:
        raise MigrationRefused(
            f"The migration journal has the digest {found[:12]}, the release says "
            f"{journal_sha256[:12]}.",
            "Make the release again from the workspace that was tested in staging.",
        )
    texts = []
    for entry in parse_journal(content).entries:
        sql = _read(_inside(migrations, migrations / f"{entry.tag}.sql"))
        digest = hashlib.sha256(sql).hexdigest()
        texts.append(
            MigrationText(tag=entry.tag, when=entry.when, hash=digest, sql=_text(entry.tag, sql))
        )
    return texts


def _folders(migrations: Path) -> list[str]:
    """Names of the folders that drizzle 1.x would apply, in its order."""
    if not migrations.is_dir():
        return []
    return sorted(
        one.name
        for one in migrations.iterdir()
        if is_folder(one.name) and (one / "migration.sql").exists()
    )


def _read_folders(
    root: Path, migrations: Path, folders: list[str], pinned: str
) -> list[MigrationText]:
    texts = []
    for name in folders:
        sql = _read(_inside(root, migrations / name / "migration.sql"))
        texts.append(
            MigrationText(
                tag=name,
                when=folder_when(name),
                hash=hashlib.sha256(sql).hexdigest(),
                sql=_text(name, sql),
                folder=True,
            )
        )
    found = folders_sha256(texts)
    if found != pinned:
        raise MigrationRefused(
            f"The migration folders have the digest {found[:12]}, the release says {pinned[:12]} "
            "(journal_sha256).",
            "Make the release again from the workspace that was tested in staging: its digest is "
            "what `sha256sum */migration.sql | sha256sum` prints.",
        )
    return texts


def _read(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            content = file.read(LARGEST_FILE + 1)
    except OSError as error:
        raise MigrationRefused(
            f"{path.name} cannot be read: {error.strerror}.",
            "Correct `migrations.folder` in the plan or the workspace of the release.",
        ) from None
    if len(content) > LARGEST_FILE:
        raise MigrationRefused(f"{path.name} is longer than {LARGEST_FILE >> 20} MiB.")
    return content


def _text(tag: str, content: bytes) -> str:
    try:
        return content.decode()
    except UnicodeDecodeError:
        raise MigrationRefused(f"{tag}.sql is not UTF-8 text.") from None


def _inside(root: Path, path: Path) -> Path:
    real = path.resolve()
    if not real.is_relative_to(root.resolve()):
        raise MigrationRefused(
            f"{path.name} leads out of the migration workspace.", "Remove the link."
        )
    return real


@asynccontextmanager
async def copied(root: Path) -> AsyncIterator[Path]:
    """Copy a workspace to a folder of its own and remove it afterwards.

    What is read from the copy and what is run there are the same files, whatever happens to the
    original meanwhile. Installed packages are not copied but linked.
    """
    async with scratch("migrate") as holder:
        yield await asyncio.to_thread(_copy, root, holder / "workspace")


def _copy(root: Path, target: Path) -> Path:
    root = root.resolve()
    count = 0
    folders = [root]
    while folders:
        folder = folders.pop()
        here = target / folder.relative_to(root)
        here.mkdir(parents=True)
        for one in sorted(folder.iterdir()):
            count += 1
            if count > _MOST_FILES:
                raise MigrationRefused(f"The workspace has more than {_MOST_FILES} files.")
            if one.name == _MODULES:
                (here / one.name).symlink_to(one.resolve())
            elif one.is_symlink():
                raise MigrationRefused(
                    f"{one.relative_to(root)} is a link.", "Put the file itself there."
                )
            elif one.is_dir() and one.name not in _SKIPPED:
                folders.append(one)
            elif one.is_file():
                shutil.copyfile(one, here / one.name)
    return target
