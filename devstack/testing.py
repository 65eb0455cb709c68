"""One shared stack for a test session, also under pytest-xdist."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from devstack import up
from devstack.layout import default_root
from devstack.locks import SharedLock
from devstack.stack import Stack

MARK = "started-by-tests"


@contextmanager
def shared_stack(root: Path | None = None) -> Iterator[Stack]:
    """The running stack; started when there is none.

    Every process of a test session holds it; the last one to leave stops it, if a test session
    started it. `python -m devstack up` in between adopts the stack, which then stays.
    """
    root = root or default_root()
    users = SharedLock(root.with_name(f"{root.name}.users"))
    try:
        users.share()
        if not any(up.status(root).values()):
            root.mkdir(parents=True, exist_ok=True)
            (root / MARK).touch()
        yield up.up(root, demo=False, tell=lambda _: None)
    finally:
        if users.alone() and (root / MARK).exists():
            (root / MARK).unlink()
            up.down(root, tell=lambda _: None)
        users.close()


def adopt(root: Path | None = None) -> None:
    """Keep a stack that a test session started."""
    ((root or default_root()) / MARK).unlink(missing_ok=True)
