"""PostgreSQL and the object store alone, for benchmarks: nothing else takes part of the machine."""

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from devstack import build, up
from devstack.layout import CHECKOUT, Layout
from devstack.locks import exclusive
from devstack.process import Processes
from devstack.servers import postgres, versitygw
from devstack.servers.server import bring_up
from devstack.stack import Stack

ROOT = CHECKOUT / ".devstack-bench"


@contextmanager
def servers(root: Path = ROOT, *, keep: bool = False) -> Iterator[Stack]:
    """Run both; stopped at the end. `keep`: their data stays, with the seeded databases in it."""
    root = Path(os.path.abspath(root))
    root.mkdir(parents=True, exist_ok=True)
    with exclusive(root.with_name(f"{root.name}.bench.lock"), waiting=_wait):
        yield from _running(root, keep)


def _wait() -> None:
    print("… another benchmark runs, waiting", file=sys.stderr, flush=True)


def _running(root: Path, keep: bool) -> Iterator[Stack]:
    programs = build.ensure()
    processes = Processes(root)
    running = any(processes.pid(name) is not None for name in processes.names())
    layout = Layout.open(root, running=running)
    wanted = [postgres.server(layout), versitygw.server(layout, programs["versitygw"])]
    try:
        for one in wanted:
            bring_up(one, processes, up.wait_for_port)
        yield up.describe(layout, programs)
    finally:
        if keep:
            for one in reversed(wanted):
                processes.stop(one.name)
        else:
            up.down(root, everything=True, tell=lambda _: None)
