"""Reads by key while an ALTER waits behind a long reader: by slipway's lock timeout and retry,
against no lock timeout. Every read of that table queues behind a waiting ALTER."""

import asyncio
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from benchmarks.clients import CLIENTS, Clients
from benchmarks.figures import Figure, quantile, spread
from benchmarks.playbook import Playbook
from benchmarks.world import Bench, World, acknowledged
from slipway.plan import Migrations

RATE = 200.0
BLOCKED = 8.0
"""Seconds that the long reader stays."""
LONGER = 0.5
"""A lock timeout above the plan's default, to show what it decides."""
AFTER = 2.0
_PATIENCE = 60.0
_ALTER = "ALTER TABLE accounts ADD COLUMN nickname text;"


async def measure(bench: Bench) -> tuple[list[Figure], list[dict[str, Any]]]:
    """Alter by each way in turns, each on a fresh copy."""
    raw = []
    for number in range(1, bench.runs + 1):
        bench.say(f"blocked ALTER, run {number}")
        raw.append(
            {
                "slipway": await _run(bench, lambda world: world.case(_ALTER).apply()),
                "longer": await _run(
                    bench, lambda world: world.case(_ALTER, lock_timeout=LONGER).apply()
                ),
                "no_timeout": await _run(
                    bench, lambda world: asyncio.to_thread(Playbook(world).execute, _ALTER)
                ),
            }
        )
    if min(one["no_timeout"]["p99"] for one in raw) < BLOCKED / 2:
        raise RuntimeError("Without a lock timeout nobody was blocked: nothing was compared.")
    return _figures(raw), raw


def _figures(raw: list[dict[str, Any]]) -> list[Figure]:
    standard = f"{Migrations().lock_timeout * 1000:.0f} ms"
    longer = f"{LONGER * 1000:.0f} ms"
    theirs = [one["no_timeout"]["p99"] for one in raw]
    return [
        Figure(
            f"reads' p99 while an ALTER is blocked, lock timeout {standard}, against none",
            spread([one["slipway"]["p99"] / one["no_timeout"]["p99"] for one in raw]),
            "x",
            0.05,
            note="Reads come by a timetable: one that waits behind another counts from when it was "
            f"due. The long reader stays {BLOCKED:.0f} s.",
        ),
        Figure(
            f"the same with a lock timeout of {longer}",
            spread([one["longer"]["p99"] / one["no_timeout"]["p99"] for one in raw]),
            "x",
        ),
        Figure(
            f"reads' p99, lock timeout {standard}",
            spread([one["slipway"]["p99"] * 1000 for one in raw]),
            "ms",
        ),
        Figure(
            f"reads' p99, lock timeout {longer}",
            spread([one["longer"]["p99"] * 1000 for one in raw]),
            "ms",
        ),
        Figure("reads' p99, no lock timeout", spread([one * 1000 for one in theirs]), "ms"),
    ]


async def _run(bench: Bench, alter: Callable[[World], Any]) -> dict[str, float]:
    """Return the reads' p99 from when the ALTER was given until a while after the reader has
    gone."""
    with bench.world() as world, world.clients(RATE, reads=True) as clients:
        await acknowledged(clients, 20)
        with _reader(world) as begin:
            given = time.monotonic()
            await alter(world)
            took = time.monotonic() - given
        end = begin + BLOCKED + AFTER
        await _all_answered(clients, end)
        waited = [one.took for one in clients.done() if given <= one.due <= end]
        if not world.run("SELECT 1 FROM information_schema.columns WHERE column_name = 'nickname'"):
            raise RuntimeError("Nothing was altered.")
    if len(waited) < RATE * BLOCKED / 2:
        raise RuntimeError(f"Only {len(waited)} reads were answered.")
    return {"p99": quantile(waited, 0.99), "reads": len(waited), "alter": took}


async def _all_answered(clients: Clients, end: float) -> None:
    """Wait until each client has come to a read that was due later: slow ones count as well."""
    deadline = time.monotonic() + _PATIENCE
    while len({one.key % CLIENTS for one in clients.done() if one.due > end}) < CLIENTS:
        if time.monotonic() > deadline:
            raise RuntimeError("Reads are not answered.")
        await asyncio.sleep(0.1)


@contextmanager
def _reader(world: World) -> Iterator[float]:
    """A long report: reads the table and keeps its transaction open for so many seconds."""
    ready = threading.Event()

    def read() -> None:
        with world.superuser() as connection, connection.transaction():
            connection.execute("SELECT count(*) FROM accounts")
            ready.set()
            connection.execute("SELECT pg_sleep(%s)", [BLOCKED])

    thread = threading.Thread(target=read)
    thread.start()
    try:
        if not ready.wait(60):
            raise RuntimeError("The long reader does not come.")
        yield time.monotonic()
    finally:
        thread.join()
