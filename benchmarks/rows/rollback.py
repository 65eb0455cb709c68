"""A committed migration taken back while clients write, against drop + create + psql.

Judged by the log of the clients' own: how long nobody was acknowledged, and which acknowledged
writes are gone.
"""

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from benchmarks.clients import Clients, Done
from benchmarks.figures import Figure, spread
from benchmarks.playbook import Playbook
from benchmarks.world import Bench, World, acknowledged

RATE = 600.0
"""Writes a second, of four clients."""
WRITES = 5000
"""At least so many are acknowledged between backup and decision."""
SETTLED = 40.0
"""Seconds: the first service is replaced and watched for longer than that."""
_AFTERWARDS = 50
MIGRATION = """
ALTER TABLE events ALTER COLUMN code TYPE bigint;
ALTER TABLE customers ADD COLUMN nickname text NOT NULL DEFAULT '';
CREATE TABLE gifts (id int PRIMARY KEY, what text NOT NULL);
ALTER TABLE accounts DROP COLUMN comment, ALTER COLUMN touched TYPE bigint;
"""
"""Rewrites the largest table of short rows, and changes what the clients write to."""
_OLD_SCHEMA = """
SELECT count(*) FROM information_schema.columns WHERE table_schema = 'public'
AND ((table_name, column_name, data_type) IN (('events', 'code', 'integer'),
     ('accounts', 'touched', 'integer'), ('accounts', 'comment', 'text'))
     OR column_name = 'nickname')"""


@dataclass(frozen=True)
class Back:
    """One rollback as the clients saw it. Lengths in seconds."""

    outage: float
    """From the last acknowledgement before to the first after."""
    serving: float
    """From the decision to the first acknowledgement by the old schema's database."""
    acknowledged: int
    lost: int


async def measure(bench: Bench) -> tuple[list[Figure], list[dict[str, Any]]]:
    """Take back by both ways, in turns, each on a fresh copy of the database."""
    raw: list[dict[str, Any]] = []
    for number in range(1, bench.runs + 1):
        bench.say(f"rollback, run {number}: slipway")
        ours = await _by_slipway(bench)
        bench.say(f"rollback, run {number}: drop + create + psql")
        theirs = await _by_playbook(bench)
        _check(ours, theirs)
        raw.append({"slipway": vars(ours), "playbook": vars(theirs)})
    return _figures(raw), raw


def _figures(raw: list[dict[str, Any]]) -> list[Figure]:
    ours, theirs = [one["slipway"] for one in raw], [one["playbook"] for one in raw]
    pairs = list(zip(ours, theirs, strict=True))
    return [
        Figure(
            "rollback of the database: write outage against drop + psql",
            spread([mine["outage"] / yours["outage"] for mine, yours in pairs]),
            "x",
            1 / 20,
        ),
        Figure(
            "rollback: acknowledged writes lost",
            spread([one["lost"] for one in ours]),
            target=0,
            worst=True,
        ),
        Figure("the same by drop + psql: lost", spread([one["lost"] for one in theirs])),
        Figure(
            "decision until the old database serves",
            spread([one["serving"] for one in ours]),
            "s",
            2.0,
            note="To the first write that the old schema's database acknowledged to a client "
            f"which tries again every 10 ms; four clients write {RATE:.0f} rows/s in all.",
        ),
        Figure("rollback: write outage", spread([one["outage"] for one in ours]), "s", 1.0),
        Figure(
            "the same by drop + psql: write outage", spread([one["outage"] for one in theirs]), "s"
        ),
    ]


async def measure_settled(bench: Bench) -> tuple[list[Figure], list[dict[str, Any]]]:
    """Take back what was migrated a while ago, as most rollbacks do; by slipway only."""
    raw = []
    for number in range(1, bench.runs + 1):
        bench.say(f"rollback of an older migration, run {number}")
        raw.append(vars(await _by_slipway(bench, settle=SETTLED)))
    when = f"decided {SETTLED:.0f} s after the migration"
    return [
        Figure(
            f"{when}: until the old database serves",
            spread([one["serving"] for one in raw]),
            "s",
            2.0,
        ),
        Figure(f"{when}: write outage", spread([one["outage"] for one in raw]), "s", 1.0),
        Figure(
            f"{when}: acknowledged writes lost",
            spread([one["lost"] for one in raw]),
            target=0,
            worst=True,
        ),
    ], raw


def _check(ours: Back, theirs: Back) -> None:
    for one in (ours, theirs):
        if one.acknowledged < WRITES:
            raise RuntimeError(f"Only {one.acknowledged} writes were acknowledged.")
    if theirs.lost < WRITES:
        raise RuntimeError(f"The comparison lost {theirs.lost} writes: it did not go back.")


async def _by_slipway(bench: Bench, settle: float = 0.0) -> Back:
    with bench.world() as world, world.clients(RATE) as clients:
        await acknowledged(clients, _AFTERWARDS)
        taken = await world.back_up(follow=True)
        async with world.following(taken):
            await world.case(MIGRATION).apply()
            await acknowledged(clients, clients.count() + WRITES)
            await asyncio.sleep(settle)
            done = await _decided(world, clients, lambda: world.take_back(taken, lossless=True))
        if not any(one.endswith("_kept") for one in world.databases()):
            raise RuntimeError("Nothing was swapped.")
    return done


async def _by_playbook(bench: Bench) -> Back:
    with bench.world() as world, world.clients(RATE) as clients:
        await acknowledged(clients, _AFTERWARDS)
        playbook, file = Playbook(world), world.folder / "prod-backup.sql"
        playbook.dump(file)
        await world.case(MIGRATION).apply()
        await acknowledged(clients, clients.count() + WRITES)
        return await _decided(world, clients, lambda: asyncio.to_thread(playbook.restore, file))


async def _decided(world: World, clients: Clients, act: Callable[[], Any]) -> Back:
    """Take back now, wait until the clients are served, and judge by their log."""
    before = clients.done()[-1].database
    decided = time.monotonic()
    await act()
    async with asyncio.timeout(120):
        while sum(one.database != before for one in clients.done()) < _AFTERWARDS:  # noqa: ASYNC110 - another process sets no event
            await asyncio.sleep(0.05)
    if world.run(_OLD_SCHEMA) != [(3,)]:
        raise RuntimeError("The database does not have its old schema.")
    if world.torn():
        raise RuntimeError(f"{world.torn()} writes are there by half.")
    return judged(clients.done(), world.written(), before, decided)


def judged(log: list[Done], kept: set[int], before: int, decided: float) -> Back:
    """Compare a log with what the database holds. `before`: the database's OID until the decision.

    `kept` is read before the log's end is: what is acknowledged later is not in question.
    """
    last = max(one.end for one in log if one.database == before)
    after = [one for one in log if one.database != before]
    first = min(one.end for one in after)
    asked = [one for one in log if one.database == before]
    return Back(
        outage=first - last,
        serving=first - decided,
        acknowledged=len(asked),
        lost=sum(one.key not in kept for one in asked),
    )
