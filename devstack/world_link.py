"""The stack's only knowledge of the simulated TEEI world: how to start it.

Imported late, so that the servers alone can be brought up by code that needs no world.
"""

from __future__ import annotations

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


def history_writer() -> Callable[[Path], None] | None:
    """Writes the metrics of the days before; None where there is no world."""
    return None


def start(stack: Stack, layout: Layout, bring_up: Callable[[Server], None]) -> None:
    """Start the TEEI services; nothing where there is no world."""
    if importlib.util.find_spec("devstack.world.services") is None:
        return
    bring_up(server(stack, layout))


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
