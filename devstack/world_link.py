"""The stack's only knowledge of the simulated TEEI world: how to start it.

Imported late, so that the servers alone can be brought up by code that needs no world.
"""

from __future__ import annotations

import importlib
import importlib.util
import sys
from collections.abc import Callable
from pathlib import Path

from devstack import ports
from devstack.layout import CHECKOUT, Layout
from devstack.process import Spec
from devstack.servers.server import Server
from devstack.stack import FILE, Stack

NAME = "world"


def exists() -> bool:
    """Whether this checkout has the world (the servers work without it)."""
    return importlib.util.find_spec("devstack.world") is not None


def history_writer() -> Callable[[Path], None] | None:
    """Writes the metrics of the hours before the start; None where there is no world."""
    if not exists():
        return None
    history = importlib.import_module("devstack.world.history")
    writer: Callable[[Path], None] = history.write_pool
    return writer


def create_demo(stack: Stack) -> None:
    """Have the environment `demo`, complete and serving."""
    if exists():
        importlib.import_module("devstack.world.environment").create(stack, "demo")


def server(stack: Stack, layout: Layout) -> Server:
    """The process that gives the pods their life."""
    document = Path(stack.run_dir) / FILE
    argv = (sys.executable, "-m", "devstack.world.services", "--stack", str(document))
    waiting = "its control endpoint does not answer"
    return Server(
        name=NAME,
        port=layout.ports["world"],
        prepare=lambda: Spec(NAME, argv, cwd=CHECKOUT),
        missing=lambda: None if ports.answers(layout.ports["world"]) else waiting,
    )
