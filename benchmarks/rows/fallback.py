"""The warm fallback: how far it lags, how fast it catches up, what it costs production."""

import asyncio
import time
from typing import Any

import psycopg

from benchmarks.figures import Figure, quantile, spread
from benchmarks.world import Bench, World, acknowledged
from devstack.world.database import access
from slipway.messages.record import BackupTaken

RATE = 200.0
"""Writes a second while the lag is measured, each of two rows."""
SAMPLES = 200
BACKLOG = 12_000
"""Writes that the fallback has to catch up with."""
SECONDS = 8.0
"""How long production is measured with and without it."""
_WRITE = "INSERT INTO gauge (id) VALUES (%s)"
_SEEN = "SELECT max(id) FROM gauge"
_PATIENCE = 300.0
_WAL = (
    "SELECT pg_wal_lsn_diff(pg_current_wal_lsn(), restart_lsn) FROM pg_replication_slots"
    " WHERE slot_name = '{}'"
)


async def measure(bench: Bench) -> tuple[list[Figure], list[dict[str, Any]]]:
    """Measure production alone, then with a fallback, in turns, each on a fresh copy."""
    raw = []
    for number in range(1, bench.runs + 1):
        bench.say(f"fallback, run {number}")
        with bench.world() as world:
            world.as_owner("CREATE TABLE gauge (id bigint PRIMARY KEY)")
            raw.append(await _run(world))
    return _figures(raw), raw


async def _run(world: World) -> dict[str, Any]:
    alone = {"saturated": await _load(world, 0.0), "steady": await _load(world, RATE)}
    taken = await world.back_up(follow=True)
    assert taken.fallback is not None
    side = taken.side_database
    caught_up = await _catch_up(world, taken)
    async with world.following(taken):
        with world.clients(RATE) as clients:
            await acknowledged(clients, 20)
            lag = await asyncio.to_thread(_lag, world, side)
        followed = {"saturated": await _load(world, 0.0), "steady": await _load(world, RATE)}
        await asyncio.to_thread(_arrived, world, side)
        kept = int(world.run(_WAL.format(taken.fallback.slot))[0][0])
    await world.end_fallback(taken)
    return {"alone": alone, "followed": followed, "lag": lag, "wal_kept": kept, **caught_up}


async def _load(world: World, rate: float) -> dict[str, float]:
    """Write for a while; return writes a second and their p50 and p99 in seconds."""
    with world.clients(rate) as clients:
        await acknowledged(clients, 20)
        begin = time.monotonic()
        await asyncio.sleep(SECONDS)
        await acknowledged(clients, clients.count() + 1)
        end = time.monotonic()
        took = [one.took for one in clients.done() if begin <= one.end <= end]
    return {
        "rate": len(took) / (end - begin),
        "p50": quantile(took, 0.5),
        "p99": quantile(took, 0.99),
    }


async def _catch_up(world: World, taken: BackupTaken) -> dict[str, float]:
    """Write while nobody follows, then follow; return rows a second until the last has arrived."""
    with world.clients(0.0) as clients:
        await acknowledged(clients, BACKLOG)
    rows = 2 * clients.count()
    begin = time.monotonic()
    async with world.following(taken):
        await asyncio.to_thread(_arrived, world, taken.side_database)
        took = time.monotonic() - begin
    return {"backlog": rows, "caught_up": took, "replayed": rows / took}


def _arrived(world: World, side: str) -> None:
    """Wait until a row written now has arrived in the copy, and so all before it."""
    with world.superuser() as production, _opened(world, side) as copy:
        _probe(production, copy)


def _lag(world: World, side: str) -> dict[str, float]:
    """Return p50 and p99 from a commit's acknowledgement to its row in the copy, in seconds."""
    lags = []
    with world.superuser() as production, _opened(world, side) as copy:
        for _ in range(SAMPLES):
            lags.append(_probe(production, copy))
            time.sleep(0.01)  # not in step with the follower
    return {"p50": quantile(lags, 0.5), "p99": quantile(lags, 0.99), "highest": max(lags)}


def _probe(production: psycopg.Connection, copy: psycopg.Connection) -> float:
    """Write a row and return the seconds from its acknowledgement until the copy has it."""
    key = time.monotonic_ns()
    production.execute(_WRITE, [key])
    done = time.monotonic()
    while (copy.execute(_SEEN).fetchone() or [None])[0] != key:
        if time.monotonic() - done > _PATIENCE:
            raise RuntimeError("The fallback does not catch up.")
        time.sleep(0.0005)  # the resolution of what is measured; the copy tells nobody
    return time.monotonic() - done


def _opened(world: World, side: str) -> psycopg.Connection:
    """The copy is opened only when somebody begins to follow."""
    deadline = time.monotonic() + 60
    while True:
        try:
            return access.superuser(world.stack, side)
        except psycopg.OperationalError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.01)  # refused until then; the deadline above ends it


def _figures(raw: list[dict[str, Any]]) -> list[Figure]:
    return [
        Figure(
            "fallback's lag from commit to copy, p50",
            spread([one["lag"]["p50"] * 1000 for one in raw]),
            "ms",
            note=f"At {RATE:.0f} writes/s of two rows; the copy is asked every 0.5 ms.",
        ),
        Figure(
            "fallback's lag from commit to copy, p99",
            spread([one["lag"]["p99"] * 1000 for one in raw]),
            "ms",
        ),
        Figure(
            "fallback catching up with a backlog: row changes",
            spread([one["replayed"] for one in raw]),
            "/s",
        ),
        _cost(raw, "clients as fast as they can: writes with a fallback", "saturated", "rate"),
        _cost(raw, "clients as fast as they can: p99 with a fallback", "saturated", "p99"),
        _cost(raw, f"clients at {RATE:.0f}/s: writes with a fallback", "steady", "rate"),
        _cost(raw, f"clients at {RATE:.0f}/s: p99 with a fallback", "steady", "p99"),
        Figure("WAL kept for the fallback", spread([one["wal_kept"] / 1e6 for one in raw]), "MB"),
    ]


def _cost(raw: list[dict[str, Any]], what: str, load: str, measure_: str) -> Figure:
    pairs = [(one["followed"][load][measure_], one["alone"][load][measure_]) for one in raw]
    note = "Against the same without one; production, copy, follower and clients share the cores."
    return Figure(what, spread([ours / alone for ours, alone in pairs]), "x", note=note)
