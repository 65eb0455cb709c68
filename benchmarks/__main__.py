"""`python -m benchmarks`: measures slipway against the playbook's own commands, on this machine.

    python -m benchmarks                                  everything, each row at its sizes
    python -m benchmarks --only rollback --size 50MB      one row at one size
    python -m benchmarks --json benchmarks/results/x.json keep the figures of each run

Ends with 1 when a target is missed; a comparison that did not do what it claims ends it at once.
"""

import argparse
import asyncio
import os
import platform
import shlex
import sys
import tempfile
from collections.abc import Callable, Coroutine
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from benchmarks import startup
from benchmarks.figures import Figure, Result, from_json, merged, to_json
from benchmarks.rows import (
    backup,
    blocked_alter,
    failed_migration,
    fallback,
    rehearsal,
    rollback,
    services,
)
from benchmarks.seeding import SIZES
from benchmarks.servers import servers
from benchmarks.table import rendered
from benchmarks.world import Bench
from devstack.stack import Stack

Measured = tuple[list[Figure], list[dict[str, Any]]]


@dataclass(frozen=True)
class Row:
    """A benchmark on data, and the sizes at which it counts."""

    measure: Callable[[Bench], Coroutine[Any, Any, Measured]]
    sizes: tuple[str, ...]


STARTUP = "startup"
SERVICES = "services"
ROWS = {
    "backup": Row(backup.measure, ("50MB", "1GB")),
    "rollback": Row(rollback.measure, ("50MB", "1GB")),
    "rollback-settled": Row(rollback.measure_settled, ("1GB",)),
    "failed-migration": Row(failed_migration.measure, ("1GB",)),
    "blocked-alter": Row(blocked_alter.measure, ("50MB",)),
    "fallback": Row(fallback.measure, ("50MB",)),
    "rehearsal": Row(rehearsal.measure, ("50MB",)),
}


def main(arguments: list[str] | None = None) -> int:
    """Measure, print the table and keep the figures; 1 when a target is missed."""
    options = _parser().parse_args(arguments)
    names = options.only or [STARTUP, *ROWS, SERVICES]
    found: list[Result] = []
    with ExitStack() as stack:
        if STARTUP in names:
            found.append(_done(options, STARTUP, "", startup.measure))
        if SERVICES in names:
            found.append(_done(options, SERVICES, "", partial(services.measure, options.runs)))
        if set(names) & set(ROWS):
            running = stack.enter_context(servers(keep=options.keep))
            folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="slipway-bench-")))
            for name in ROWS:
                if name in names:
                    found += _row(options, name, running, folder)
    print(rendered(found))
    return int(any(one.reached is False for result in found for one in result.figures))


def _row(options: argparse.Namespace, name: str, running: Stack, folder: Path) -> list[Result]:
    found = []
    for size in options.size or ROWS[name].sizes:
        bench = Bench(running, folder, size, options.runs, _say)
        found.append(_done(options, name, size, partial(_measured, name, bench)))
    return found


def _measured(name: str, bench: Bench) -> Measured:
    return asyncio.run(ROWS[name].measure(bench))


def _done(
    options: argparse.Namespace, name: str, size: str, work: Callable[[], Measured]
) -> Result:
    _say(f"{name} {size}".strip())
    load = os.getloadavg()[0]
    figures, raw = work()
    command = shlex.join(["python", "-m", "benchmarks", *sys.argv[1:]])
    result = Result(name, size, figures, raw, round(load, 2), command)
    if options.json:
        _keep(options.json, result)
    return result


def _keep(file: Path, result: Result) -> None:
    before = from_json(file.read_text()) if file.exists() else []
    about = {
        "cores": os.cpu_count(),
        "machine": platform.machine(),
        "python": platform.python_version(),
    }
    file.write_text(to_json(merged(before, [result]), about))


def _say(text: str) -> None:
    print(f"… {text}", file=sys.stderr, flush=True)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks", description=__doc__.split("\n")[0]
    )
    parser.add_argument(
        "--only",
        action="append",
        choices=[STARTUP, *ROWS, SERVICES],
        help="one row; may be repeated",
    )
    parser.add_argument(
        "--size", action="append", choices=list(SIZES), help="instead of the row's own sizes"
    )
    parser.add_argument(
        "--runs", type=int, default=3, choices=range(1, 21), metavar="N", help="interleaved runs"
    )
    parser.add_argument(
        "--json", type=Path, metavar="FILE", help="keep figures here; other rows in it stay"
    )
    parser.add_argument(
        "--keep", action="store_true", help="keep the servers' data for the next time"
    )
    return parser


if __name__ == "__main__":
    sys.exit(main())
