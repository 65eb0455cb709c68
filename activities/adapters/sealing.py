"""Encryption of dumps to age recipients, in a child process."""

import asyncio
import hashlib
import os
import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from activities.adapters.processes import Finished, Stopped, in_stoppable_thread, run
from activities.adapters.references import resolve
from slipway.errors import BackupFailed, BackupNotRestorable

_CHILD = Path(__file__).with_name("age_child.py")
_MAGIC = b"age-encryption.org/v1"
_PIECE = 1 << 20


async def encrypt(source: Path, target: Path, recipients: Sequence[str]) -> tuple[str, int]:
    """Encrypt a file and return SHA-256 and size of what came out. Raises BackupFailed."""
    done = await _child("encrypt", source, target, *recipients)
    if done.code:
        raise BackupFailed(
            f"The dump cannot be encrypted: {done.words or f'age ended with {done.code}'}.",
            "Correct `backup.recipients` in the plan, or free disk space where the worker runs.",
        )
    return await in_stoppable_thread(lambda stop: _digest(target, stop))


async def decrypt(source: Path, target: Path, identity: str | None) -> None:
    """Decrypt a file with the identity that a reference leads to. What came out of a file that was
    altered is removed. Raises BackupNotRestorable."""
    if identity is None:
        raise BackupNotRestorable(
            "The dump is encrypted, and the worker has no identity that decrypts it.",
            "Name one in the plan (`backup.identity`), or decrypt it by hand: age --decrypt",
        )
    with _secret(resolve(identity)) as (path, descriptor):
        done = await _child("decrypt", source, target, path, pass_fds=(descriptor,))
    if done.code:
        await asyncio.to_thread(target.unlink, missing_ok=True)
        raise BackupNotRestorable(
            f"The dump cannot be decrypted: {done.words or f'age ended with {done.code}'}.",
            "Check that `backup.identity` belongs to one of its recipients; else it was altered.",
        )


def is_encrypted(file: Path) -> bool:
    """Whether a file says that age encrypted it."""
    with file.open("rb") as content:
        return content.read(len(_MAGIC)) == _MAGIC


async def _child(
    what: str, source: Path, target: Path, *keys: str, pass_fds: Sequence[int] = ()
) -> Finished:
    kept = {name: os.environ[name] for name in ("PATH", "PYTHONPATH") if name in os.environ}
    command = [sys.executable, str(_CHILD), what, str(source), str(target), *keys]
    return await run(command, env={**kept, "LC_ALL": "C"}, pass_fds=pass_fds)


@contextmanager
def _secret(text: str) -> Iterator[tuple[str, int]]:
    """Give a secret as an open file that has no name on any disk."""
    if hasattr(os, "memfd_create"):
        descriptor = os.memfd_create("identity", 0)
        path = f"/proc/self/fd/{descriptor}"
        os.write(descriptor, text.encode())
    else:  # a pipe holds it as well; an identity is far shorter than a pipe is wide
        descriptor, writer = os.pipe()
        path = f"/dev/fd/{descriptor}"
        os.write(writer, text.encode())
        os.close(writer)
    try:
        yield path, descriptor
    finally:
        os.close(descriptor)


def _digest(file: Path, stop: threading.Event) -> tuple[str, int]:
    digest, size = hashlib.sha256(), 0
    with file.open("rb") as content:
        while piece := content.read(_PIECE):
            digest.update(piece)
            size += len(piece)
            if stop.is_set():
                raise Stopped
    return digest.hexdigest(), size
