"""Folders for work on files. Some hold rows of production: one that a killed worker left is removed
by the next worker on the machine that starts or needs a folder."""

import asyncio
import fcntl
import logging
import os
import secrets
import shutil
import stat
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from activities.uninterrupted import uninterrupted

log = logging.getLogger("worker")
_PREFIX = f"slipway-{os.getuid()}-scratch-"
_LOCK = ".lock"
_USUAL = ("/tmp", "/var/tmp")  # noqa: S108 - looked through for what is ours; no work is put there


@dataclass(frozen=True)
class _Held:
    folder: Path
    descriptor: int
    """Of the file beside it that is locked by the process that works there, and free when that is
    dead. It is there before the folder, and as long as the folder."""


@asynccontextmanager
async def scratch(purpose: str) -> AsyncIterator[Path]:
    """A folder of this process's own, that is gone afterwards; `purpose` is in its name."""
    here = await asyncio.to_thread(tempfile.gettempdir)
    await asyncio.to_thread(remove_left, here)
    held = _make(Path(here), purpose)  # at once: a cancellation in between would leave it behind
    try:
        yield held.folder
    finally:
        await uninterrupted(asyncio.to_thread(_remove, held))


def temp_folders() -> list[str]:
    """Return every place where a worker may have had its folders, also a full one."""
    named = (os.environ.get(name) for name in ("TMPDIR", "TEMP", "TMP"))
    return list(dict.fromkeys([*(one for one in named if one), *_USUAL]))


def remove_left(*places: str) -> int:
    """Remove every folder whose process is dead; return how many. What cannot be removed stays for
    the next time: cleaning up does not decide whether a worker works."""
    count = 0
    for place in places:
        for name in _names(place):
            with suppress(OSError, RecursionError):
                count += _removed(Path(place) / name)
    if count:
        log.info("Removed %d folders of work that dead workers had left.", count)
    return count


def _names(place: str) -> set[str]:
    """Folders and locks: either may have been left without the other."""
    with suppress(OSError):
        found = (one for one in os.listdir(place) if one.startswith(_PREFIX))
        return {one.removesuffix(_LOCK) for one in found}
    return set()


def _removed(folder: Path) -> bool:
    if os.path.lexists(folder) and folder.lstat().st_uid != os.getuid():
        return False
    lock = _lock_of(folder)
    descriptor = os.open(lock, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_NONBLOCK, 0o600)
    try:
        ours = _holds(descriptor, lock)
    except OSError:
        ours = False
    if not ours:
        os.close(descriptor)
        return False
    return _remove(_Held(folder, descriptor))


def _make(place: Path, purpose: str) -> _Held:
    while True:
        folder = place / f"{_PREFIX}{purpose}.{secrets.token_hex(8)}"
        lock = _lock_of(folder)
        descriptor = os.open(lock, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600)
        try:
            if _holds(descriptor, lock):
                folder.mkdir(mode=0o700)
                return _Held(folder, descriptor)
        except BaseException:
            os.close(descriptor)
            lock.unlink(missing_ok=True)
            raise
        os.close(descriptor)  # another process took it for left, in this very moment


def _remove(held: _Held) -> bool:
    """Remove a folder; its lock stays as long as something of it does, so that it is found again:
    helpers of a killed worker may still write there."""
    try:
        shutil.rmtree(held.folder, ignore_errors=True)
        gone = not os.path.lexists(held.folder)
        if gone:
            _lock_of(held.folder).unlink(missing_ok=True)
        return gone
    finally:
        os.close(held.descriptor)


def _holds(descriptor: int, lock: Path) -> bool:
    """Lock an open file of ours. False when another process holds it, or has removed it meanwhile.

    Raises OSError where files cannot be locked at all."""
    opened = os.fstat(descriptor)
    if not stat.S_ISREG(opened.st_mode) or opened.st_uid != os.getuid():
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        return opened.st_ino == lock.lstat().st_ino
    except (BlockingIOError, FileNotFoundError):
        return False


def _lock_of(folder: Path) -> Path:
    return folder.with_name(f"{folder.name}{_LOCK}")
