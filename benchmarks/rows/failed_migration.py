"""A migration that failed in its transaction: the proof that nothing is to be restored, against
the restore that the playbook orders."""

from typing import Any

from benchmarks.figures import Figure, spread
from benchmarks.playbook import Playbook
from benchmarks.world import Bench, timed
from slipway.errors import MigrationFailed

BROKEN = """
ALTER TABLE accounts ADD COLUMN nickname text;
CREATE TABLE gifts (id int PRIMARY KEY);
ALTER TABLE accounts ADD CHECK (id > 5);
"""
"""Its last statement fails, so that PostgreSQL takes the others back."""


async def measure(bench: Bench) -> tuple[list[Figure], list[dict[str, Any]]]:
    """Let a migration fail; then prove and restore, in turns."""
    raw = []
    with bench.world() as world:
        playbook, file = Playbook(world), world.folder / "prod-backup.sql"
        bench.say("failed migration: backup")
        taken = await world.back_up()
        playbook.dump(file)
        try:
            await world.case(BROKEN).apply()
        except MigrationFailed:
            pass
        else:
            raise RuntimeError("The migration did not fail.")
        for number in range(1, bench.runs + 1):
            bench.say(f"failed migration, run {number}")
            took = timed()
            done = await world.take_back(taken, op_id=f"undo{number}", only_if_changed=True)
            ours = took()
            if done.changed or not done.schema_equal:
                raise RuntimeError(f"There was nothing to restore, yet: {done.because}")
            raw.append({"proof": ours, "restore": playbook.restore(file)})
    return [
        Figure(
            "failed migration: proof that no restore is needed, against drop + psql",
            spread([one["proof"] / one["restore"] for one in raw]),
            "x",
            0.02,
        ),
        Figure("the proof", spread([one["proof"] for one in raw]), "s"),
        Figure("the restore by drop + psql", spread([one["restore"] for one in raw]), "s"),
    ], raw
