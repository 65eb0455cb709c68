"""Whose a migration is that the ledger holds: this deployment's own, or somebody else's."""

import asyncio
import os
import sys
from pathlib import Path

import pytest
from temporalio.testing import ActivityEnvironment

from activities.adapters.postgres import control as postgres_control
from activities.adapters.postgres.marks import Mark
from activities.backups import Backups
from activities.database import DatabaseRollback
from slipway.errors import Fenced, ForeignChange, MigrationFailed
from tests.integration.data_world import DataWorld, digest, until
from tests.integration.migration_case import HARMLESS, Case

pytestmark = pytest.mark.stack


@pytest.mark.parametrize("epochs", [(4, 4), (4, 8)], ids=["retried", "resumed"])
async def test_applied_by_somebody_else_is_never_claimed(
    world: DataWorld, tmp_path: Path, epochs: tuple[int, int]
) -> None:
    case = Case(world, tmp_path, [HARMLESS])
    case.applied_by_hand()
    for fence in epochs:
        with pytest.raises(ForeignChange, match="this deployment has not applied them"):
            await case.apply(fence)


async def test_somebody_else_s_after_our_own_attempt_had_no_effect_is_not_claimed(
    world: DataWorld, tmp_path: Path
) -> None:
    case = Case(world, tmp_path, [HARMLESS])
    case.plan = case.plan.model_copy(update={"command": ["false"]})
    with pytest.raises(MigrationFailed):
        await case.apply()
    case.applied_by_hand()
    with pytest.raises(ForeignChange):
        await case.apply()


COMMITS_THEN_HANGS = """
import pathlib, runpy, time
runpy.run_path("migrate.py")
pathlib.Path({mark!r}).touch()
time.sleep(600)
"""


def _hanging(case: Case, tmp_path: Path) -> Path:
    """Make the command commit, touch the returned file, and never come back."""
    mark = tmp_path / "committed"
    text = COMMITS_THEN_HANGS.format(mark=str(mark))
    (tmp_path / "workspace" / "hanging.py").write_text(text)
    case.plan = case.plan.model_copy(update={"command": [sys.executable, "hanging.py"]})
    return mark


async def test_an_abort_whose_migration_had_committed_resumes_on_it(
    world: DataWorld, tmp_path: Path
) -> None:
    case = Case(world, tmp_path, [HARMLESS])
    committed = _hanging(case, tmp_path)
    applying = asyncio.create_task(case.apply())
    await until(committed.exists)
    applying.cancel()
    with pytest.raises(asyncio.CancelledError):
        await applying
    await case.fence(5, "stop:migrate")
    with pytest.raises(Fenced):
        await case.apply(4)

    resumed = await case.apply(8)
    assert resumed.attempts == 0
    assert resumed.state.ledger[0].hash == digest(HARMLESS)


async def test_the_work_of_a_killed_worker_is_recognised(world: DataWorld, tmp_path: Path) -> None:
    case = Case(world, tmp_path, [HARMLESS])
    async with world.postgres.migrating(case.request()) as work:
        attempt = await work._open(5.0, 60, 60)
    url = world.postgres.target(world.database.url).url_by(
        world.stack.pg_host, world.stack.pg_port, attempt.role, attempt.password
    )
    command = [sys.executable, "migrate.py"]
    environment = {**os.environ, "DATABASE_URL": url}
    done = await asyncio.create_subprocess_exec(
        *command, cwd=tmp_path / "workspace", env=environment
    )
    assert await done.wait() == 0
    assert (await case.apply()).attempts == 0
    assert case.roles() == []


@pytest.mark.parametrize("swapped", [True, False], ids=["swapped", "proved unchanged"])
async def test_after_a_rollback_what_others_apply_is_not_ours(
    world: DataWorld, tmp_path: Path, swapped: bool
) -> None:
    case = Case(world, tmp_path, [HARMLESS])
    taken = await ActivityEnvironment().run(Backups(world.postgres, world.store).take, world.take())
    if swapped:
        await case.apply()
    else:  # a killed worker's, whose command did nothing
        async with world.postgres.migrating(case.request()) as work:
            await work._open(0.3, 60, 60)
    undo = DatabaseRollback(world.postgres, world.store)
    rolled = await ActivityEnvironment().run(undo.roll_back, world.roll_back(taken))
    assert rolled.changed is swapped
    case.applied_by_hand()
    for fence in (8, 8):
        with pytest.raises(ForeignChange):
            await case.apply(fence)


async def test_an_older_slipway_s_tables_are_completed(world: DataWorld, tmp_path: Path) -> None:
    case = Case(world, tmp_path, [HARMLESS])
    await case.fence(2, "before")
    nobody_s = Mark(world.name, world.deployment, "0" * 64)
    control = world.postgres.target(world.database.admin_url)
    async with world.postgres.session(control) as admin, admin.transaction(force_rollback=True):
        await admin.execute("DROP TABLE slipway.migration_start, slipway.pooler_pause")
        await postgres_control.prepare(admin)
        assert not await nobody_s.stands(admin)
