"""The backup against `pg_dump -Fc`: time and bytes of the dump; time of the whole proof."""

from typing import Any

from benchmarks.figures import Figure, spread
from benchmarks.playbook import Playbook
from benchmarks.world import Bench, World, timed


async def measure(bench: Bench) -> tuple[list[Figure], list[dict[str, Any]]]:
    """Dump by both, and take a whole backup, in turns on one database."""
    with bench.world() as world:
        raw = [await _run(bench, world, number) for number in range(1, bench.runs + 1)]
    pairs = [(one, one["pg_dump_fc"]) for one in raw]
    return [
        Figure(
            "backup's dump against `pg_dump -Fc`: time",
            spread([ours["dump"] / theirs for ours, theirs in pairs]),
            "x",
            0.4,
            note="The backup's dump includes the fingerprints of schema and of every table.",
        ),
        Figure(
            "backup's dump against `pg_dump -Fc`: bytes",
            spread([ours["dump_bytes"] / ours["pg_dump_fc_bytes"] for ours in raw]),
            "x",
            1.0,
            worst=True,
        ),
        Figure(
            "whole backup against `pg_dump -Fc` alone: time",
            spread([ours["take"] / theirs for ours, theirs in pairs]),
            "x",
            note="Whole backup: dumped, read back, restored, compared row by row, uploaded, "
            "downloaded and hashed, locked, manifest written.",
        ),
        Figure("`pg_dump -Fc`", spread([theirs for _, theirs in pairs]), "s"),
        Figure("whole backup", spread([one["take"] for one in raw]), "s"),
    ], raw


async def _run(bench: Bench, world: World, number: int) -> dict[str, Any]:
    bench.say(f"backup, run {number}")
    file = world.folder / f"{number}.dump"
    theirs = Playbook(world).dump_custom(file)
    size = file.stat().st_size
    file.unlink()
    async with world.postgres.copying(world.database, f"{world.name}_dump") as work:
        took = timed()
        dumped = await work.dump()
        ours = took()
    took = timed()
    taken = await world.back_up(str(number))
    whole = took()
    world.run(f'DROP DATABASE "{taken.side_database}"', "postgres")
    if not taken.restored_ok or sum(one.rows for one in taken.tables) < 1000:
        raise RuntimeError("The backup proved nothing.")
    return {
        "pg_dump_fc": theirs,
        "pg_dump_fc_bytes": size,
        "dump": ours,
        "dump_bytes": dumped.packed.size,
        "take": whole,
    }
