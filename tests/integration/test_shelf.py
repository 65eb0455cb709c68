"""Backups in the bucket: listed, verified, restored elsewhere; leftovers of a run dropped."""

import asyncio
from typing import Any

import pytest
from temporalio.testing import ActivityEnvironment

from activities.adapters.postgres import dump as postgres_dump
from activities.backups import Backups
from activities.record import Records
from activities.shelf import Shelf
from activities.tidying import Janitor
from slipway.errors import BadInput
from slipway.messages.record import Append, BackupTaken, Entry, Place, RestoreDatabase
from slipway.messages.shelf import (
    FindBackup,
    ListBackups,
    RestoreBackup,
    RestoredBackup,
    Tidied,
    TidyRun,
)
from tests.integration.data_world import DataWorld

pytestmark = pytest.mark.stack


def _place(world: DataWorld) -> Place:
    return Place(
        bucket=world.stack.bucket,
        prefix=world.backup.prefix,
        environment="production",
        deployment=world.deployment,
    )


async def _take(world: DataWorld, tag: str = "1") -> BackupTaken:
    backups = Backups(world.postgres, world.store)
    return await ActivityEnvironment().run(backups.take, world.take(tag))


async def _restore(world: DataWorld, name: str) -> RestoredBackup:
    shelf = Shelf(world.postgres, world.store)
    wanted = FindBackup(place=_place(world), database=world.database)
    request = RestoreBackup(wanted=wanted, database=world.database, name=name)
    return await ActivityEnvironment().run(shelf.restore_to, request)


async def _tidy(world: DataWorld) -> Tidied:
    janitor = Janitor(world.postgres, world.store)
    request = TidyRun(place=_place(world), database=world.database)
    return await ActivityEnvironment().run(janitor.tidy, request)


async def test_backups_are_listed_newest_first_with_what_is_no_manifest(world: DataWorld) -> None:
    first, second = await _take(world), await _take(world, "2")
    foreign = f"{world.backup.prefix}manifests/garbage.json"
    world.s3.put_object(Bucket=world.stack.bucket, Key=foreign, Body=b"{}")
    shelf = Shelf(world.postgres, world.store)
    found = await ActivityEnvironment().run(shelf.listing, ListBackups(place=_place(world)))
    by_key = {one.manifest_key: one for one in found.backups}
    assert by_key[first.manifest_key].faults == []
    assert by_key[second.manifest_key].rows == second.rows
    assert by_key[second.manifest_key].attempt_tag == "2"
    assert "is no manifest of a backup" in by_key[foreign].faults[0]
    assert len(found.backups) == 3


async def test_good_backup_is_read_to_its_last_byte_and_found_good(world: DataWorld) -> None:
    taken = await _take(world)
    shelf = Shelf(world.postgres, world.store)
    wanted = FindBackup(place=_place(world), database=world.database, recorded=taken)
    found = await ActivityEnvironment().run(shelf.verify, wanted)
    assert (found.sound, found.faults, found.notes) == (True, [], [])
    other = wanted.model_copy(update={"attempt_tag": "7"})
    with pytest.raises(BadInput, match="There is no backup"):
        await ActivityEnvironment().run(shelf.verify, other)


async def test_backup_is_restored_beside_production_for_its_owner_only(world: DataWorld) -> None:
    taken = await _take(world)
    world.run("DELETE FROM keyless")
    drill = f"{world.name}_drill"
    done = await _restore(world, drill)
    assert (done.rows, done.tables) == (taken.rows, len(taken.tables))
    assert world.databases() == [world.name, drill, taken.side_database]
    assert world.run("SELECT count(*) FROM keyless", drill) == [(50,)]
    query = f"SELECT datacl::text FROM pg_database WHERE datname = '{drill}'"  # noqa: S608 - ours
    grants = str(world.run(query, "postgres")[0][0])
    assert "teei_app" not in grants
    assert "{=" not in grants
    again = await _restore(world, drill)  # its reply was lost: the same again is a success
    assert again.name == drill
    assert world.run("SELECT count(*) FROM keyless") == [(0,)]


async def test_existing_and_reserved_databases_are_never_touched(world: DataWorld) -> None:
    await _take(world)
    world.run(f"CREATE DATABASE {world.name}_there", "postgres")
    world.run("CREATE TABLE mine AS SELECT 1 AS n", f"{world.name}_there")
    before = world.databases()
    for name in (f"{world.name}_there", world.name, "postgres", f"{world.name}_slipway_x_1"):
        with pytest.raises(BadInput, match="Choose another name"):
            await _restore(world, name)
    assert world.databases() == before
    assert world.run("SELECT n FROM mine", f"{world.name}_there") == [(1,)]


async def test_cancelled_restore_leaves_nothing(
    world: DataWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    taken = await _take(world)
    reached = asyncio.Event()

    async def hanging(*_: Any) -> None:
        reached.set()
        await asyncio.Event().wait()

    monkeypatch.setattr(postgres_dump, "restore", hanging)
    task = asyncio.create_task(_restore(world, f"{world.name}_drill"))
    async with asyncio.timeout(120):
        await reached.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert world.databases() == [world.name, taken.side_database]


async def test_tidying_drops_this_runs_leftovers_and_nothing_else(world: DataWorld) -> None:
    taken = await _take(world)
    short = world.name[-6:]
    mine = f"{world.name}_slipway_{short}_2"
    others = [
        f"{world.name}_slipway_{short}_kept",
        f"{world.name}_slipway_{short}_kept2",
        f"{world.name}_slipway_abcdef_1",
        f"{world.name}_slipway_{short}x_1",
        f"{world.name}_there",
        f"{world.name}x_slipway_{short}_1",
    ]
    for name in (mine, *others):
        world.run(f"CREATE DATABASE {name} OWNER teei_owner", "postgres")
    orphan = f"{world.backup.prefix}prod-backup-20261123-202134-{short}.dump.zst"
    foreign = f"{world.backup.prefix}prod-backup-20261123-202134-abcdef.dump.zst"
    for key in (orphan, foreign):
        world.s3.put_object(Bucket=world.stack.bucket, Key=key, Body=b"half")
    backup = sorted({*world.keys()} - {orphan, foreign})

    done = await _tidy(world)

    assert sorted(done.databases) == [taken.side_database, mine]
    assert done.objects == [orphan]
    assert done.left == []
    assert world.databases() == sorted([world.name, *others])
    assert sorted(world.keys()) == sorted([*backup, foreign])
    assert (await _tidy(world)) == Tidied()


async def test_what_a_rollback_may_need_is_never_tidied(world: DataWorld) -> None:
    taken = await _take(world)
    entry = Entry(
        sequence=3,
        kind="intent",
        step="migrate",
        undo=RestoreDatabase(backup=taken),
    )
    records = Records(world.store)
    await ActivityEnvironment().run(records.append, Append(place=_place(world), entry=entry))
    done = await _tidy(world)
    assert done.databases == []
    assert "may have changed production" in done.left[0]
    assert world.databases() == [world.name, taken.side_database]


async def test_locked_objects_without_a_manifest_are_left_and_named(world: DataWorld) -> None:
    taken = await _take(world)
    found = world.s3.head_object(Bucket=world.stack.bucket, Key=taken.manifest_key)
    world.s3.delete_object(
        Bucket=world.stack.bucket, Key=taken.manifest_key, VersionId=found["VersionId"]
    )
    done = await _tidy(world)
    assert done.databases == [taken.side_database]
    assert len(done.left) == 2
    assert all("is locked until" in one for one in done.left)
    assert {taken.key} <= {*world.keys()}
