"""One shared stack for a test session, also under pytest-xdist."""

from __future__ import annotations

import atexit
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from devstack import up
from devstack.layout import default_root
from devstack.locks import SharedLock
from devstack.stack import Stack

MARK = "started-by-tests"
_held: dict[Path, SharedLock] = {}


@contextmanager
def shared_stack(root: Path | None = None) -> Iterator[Stack]:
    """`running_stack` as a block, for fixtures; the stack stays up after it."""
    yield running_stack(root)


def running_stack(root: Path | None = None) -> Stack:
    """The running stack; started when there is none.

    This process holds it until `release`, so modules that follow each other share one start.
    `python -m devstack up` in between adopts the stack, which then stays when the session ends.
    """
    root = root or default_root()
    if root not in _held:
        users = SharedLock(root.with_name(f"{root.name}.users"))
        users.share()
        _held[root] = users
    if not any(up.status(root).values()):
        root.mkdir(parents=True, exist_ok=True)
        (root / MARK).touch()
    return up.up(root, demo=False, tell=lambda _: None)


def release() -> None:
    """Let go of every stack; the last process to do so stops one that tests have started."""
    while _held:
        root, users = _held.popitem()
        if users.alone() and (root / MARK).exists():
            (root / MARK).unlink()
            up.down(root, tell=lambda _: None)
        users.close()


def adopt(root: Path | None = None) -> None:
    """Keep a stack that a test session started."""
    ((root or default_root()) / MARK).unlink(missing_ok=True)


# For sessions whose conftest does not call it; a second call does nothing.
atexit.register(release)
