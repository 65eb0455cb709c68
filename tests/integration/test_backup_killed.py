"""A worker that is killed outright at any stage of a backup: the next attempt replaces what it
left, and what no attempt replaces is dropped by the run's own tidying."""

import asyncio
import json
import os
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest
from temporalio.testing import ActivityEnvironment

from activities.adapters.object_store import ObjectStore
from activities.adapters.postgres import dump as postgres_dump
from activities.backups import Backups
from activities.tidying import Janitor
from devstack.layout import CHECKOUT
from slipway.errors import SlipwayError
from slipway.messages.record import Place
from slipway.messages.shelf import Tidied, TidyRun
from tests.integration.data_world import DataWorld, until
from tests.integration.taking import REACHED, STAGES

pytestmark = pytest.mark.stack


@asynccontextmanager
async def _killed_at(world: DataWorld, folder: Path, stage: str) -> AsyncIterator[None]:
    """Run a backup in another process until a stage, and kill that process outright."""
    stack = folder / "stack.json"
    stack.write_text(json.dumps(asdict(world.stack)))
    child = await asyncio.create_subprocess_exec(
        sys.executable,
        *("-m", "tests.integration.taking", str(stack), world.name, str(folder), stage),
        cwd=CHECKOUT,
        env={**os.environ, "PYTHONPATH": str(CHECKOUT)},
        stdout=asyncio.subprocess.PIPE,
    )
    assert child.stdout is not None
    async with asyncio.timeout(120):
        said = await child.stdout.readline()
    assert said.decode().strip() == REACHED, "it ended before the stage"
    child.send_signal(signal.SIGKILL)
    await child.wait()
    yield


@pytest.mark.parametrize("stage", STAGES)
async def test_worker_killed_at_any_stage_is_replaced_and_tidied(
    world: DataWorld, stage: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    async with _killed_at(world, tmp_path, stage):
        assert not any("manifests/" in one for one in {*world.keys()}), "it counts as a backup"
    taken = await ActivityEnvironment().run(Backups(world.postgres, world.store).take, world.take())
    assert taken.restored_ok
    assert world.databases() == [world.name, taken.side_database]
    assert not [one for one in os.listdir(tmp_path) if one.startswith("slipway-")]
    await until(lambda: not world.sessions())
    orphans = {*world.keys()} - _objects(taken.key, taken.manifest_key)
    assert len(orphans) == (2 if stage in ("uploaded", "locked") else 0)

    done = await _tidy(world)

    assert done.databases == [taken.side_database]
    if stage == "locked":  # proved, locked and never named: it goes when its lock ends
        assert len(done.left) == 2
        return
    assert {*world.keys()} == _objects(taken.key, taken.manifest_key)
    assert len(done.objects) == {"uploaded": 2, "uploading": 1}.get(stage, 0)
    assert (await _tidy(world)) == Tidied()


async def test_attempt_that_was_only_frozen_writes_no_manifest_beside_a_newer_one(
    world: DataWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    frozen, thaw = asyncio.Event(), asyncio.Event()
    proving, prove = asyncio.Event(), asyncio.Event()
    real_read, real_restore = ObjectStore.sha256_of, postgres_dump.restore

    async def freezing(self: Any, bucket: str, key: str, told: Any = None) -> Any:
        found = await real_read(self, bucket, key, told)
        if not thaw.is_set() and key.endswith(".sql"):  # the last before the lock
            frozen.set()
            await thaw.wait()
        return found

    async def waiting(*args: Any) -> None:
        await real_restore(*args)
        if frozen.is_set():
            proving.set()
            await prove.wait()

    monkeypatch.setattr(ObjectStore, "sha256_of", freezing)
    monkeypatch.setattr(postgres_dump, "restore", waiting)
    backups = Backups(world.postgres, world.store)
    old = asyncio.create_task(ActivityEnvironment().run(backups.take, world.take()))
    async with asyncio.timeout(120):
        await frozen.wait()
        new = asyncio.create_task(ActivityEnvironment().run(backups.take, world.take()))
        await proving.wait()
    thaw.set()
    with pytest.raises(SlipwayError):
        await old
    assert {*world.keys()} == set()
    prove.set()
    taken = await new
    assert {*world.keys()} == _objects(taken.key, taken.manifest_key)
    assert world.databases() == [world.name, taken.side_database]


def _objects(dump: str, manifest: str) -> set[str]:
    return {dump, dump.replace(".dump.zst", ".globals.sql"), manifest}


async def _tidy(world: DataWorld) -> Tidied:
    place = Place(
        bucket=world.stack.bucket,
        prefix=world.backup.prefix,
        environment="production",
        deployment=world.deployment,
    )
    request = TidyRun(place=place, database=world.database)
    return await ActivityEnvironment().run(Janitor(world.postgres, world.store).tidy, request)
