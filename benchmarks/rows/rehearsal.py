"""What it costs to rehearse a migration on a copy of the restored backup, before anybody approves:
forward, back, forward again, with everything that is compared."""

from typing import Any
from uuid import uuid4

from benchmarks.figures import Figure, spread
from benchmarks.rows.rollback import MIGRATION
from benchmarks.world import Bench, World, timed
from tests.integration.rehearsal_world import Rehearsed


async def measure(bench: Bench) -> tuple[list[Figure], list[dict[str, Any]]]:
    """Back up, rehearse and migrate, each on a fresh copy."""
    raw = []
    for number in range(1, bench.runs + 1):
        bench.say(f"rehearsal, run {number}")
        with bench.world() as world:
            raw.append(await _run(world))
    return [
        Figure(
            "rehearsal against the whole backup: time",
            spread([one["rehearsal"] / one["backup"] for one in raw]),
            "x",
            note="It rewrites the table of events; the copies are made of the restored backup.",
        ),
        Figure("rehearsal", spread([one["rehearsal"] for one in raw]), "s"),
        Figure("the rehearsed migration on production", spread([one["real"] for one in raw]), "s"),
    ], raw


async def _run(world: World) -> dict[str, float]:
    folder = world.folder / f"rehearsal-{uuid4().hex[:6]}"
    folder.mkdir()
    rehearsed = Rehearsed(world, folder, [MIGRATION])
    took = timed()
    await rehearsed.take()
    backup = took()
    took = timed()
    seen = await rehearsed.rehearse()
    rehearsal = took()
    if seen.error or not any(one.rewritten for one in seen.tables):
        raise RuntimeError(f"Nothing was rehearsed: {seen.error or seen.tables}")
    took = timed()
    await world.case(MIGRATION).apply()
    return {"backup": backup, "rehearsal": rehearsal, "real": took()}
