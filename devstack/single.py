"""Ends and brings back single servers of a running stack, for those who want to see it."""

import signal
import time
from pathlib import Path

from devstack import build, up
from devstack.errors import StackError
from devstack.layout import Layout
from devstack.locks import exclusive
from devstack.process import Processes
from devstack.servers.server import Server, bring_up
from devstack.stack import Stack

_PATIENCE = 240.0
"""Seconds for a server to serve again. The sessions of a PostgreSQL whose first process was killed
keep its memory until they notice; a new one cannot start before."""


def end(stack: Stack, name: str, *, kill: bool = False) -> None:
    """Stop a server, or kill it (SIGKILL, so that it can put nothing in order)."""
    processes = Processes(Path(stack.run_dir))
    if kill:
        processes.send(name, signal.SIGKILL)
    else:
        processes.stop(name)


def back(stack: Stack, name: str) -> None:
    """Have a server serving again. Raises StackError when it does not in time."""
    root = Path(stack.run_dir)
    processes, server = Processes(root), _server(root, name)
    deadline = time.monotonic() + _PATIENCE
    while True:
        try:
            with exclusive(root.with_name(f"{root.name}.lock")):
                bring_up(server, processes, up.wait_for_port)
        except StackError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.5)
            continue
        return


def _server(root: Path, name: str) -> Server:
    lanes = up.lanes(Layout.open(root, running=True), build.ensure())
    return next(one for lane in lanes for group in lane for one in group if one.name == name)
