"""Backups on a real server and bucket: proved, stored, idempotent, and gone when they fail."""

import asyncio
import os
from pathlib import Path
from typing import Any

import boto3
import pytest
from botocore.config import Config
from botocore.exceptions import ClientError
from temporalio.testing import ActivityEnvironment

from activities.adapters import postgres_catalog, postgres_dump
from activities.adapters.object_store import ObjectStore
from activities.backups import Backups
from slipway.errors import BackupFailed, BackupNotRestorable, BadInput, SlipwayError
from slipway.messages.backup import DropSide
from tests.integration.data_world import DataWorld, until

pytestmark = pytest.mark.stack


async def _take(world: DataWorld, store: ObjectStore | None = None, tag: str = "1") -> Any:
    backups = Backups(world.postgres, store or world.store)
    return await ActivityEnvironment().run(backups.take, world.take(tag))


async def test_backup_restores_equals_and_is_locked(world: DataWorld) -> None:
    taken = await _take(world)

    assert taken.restored_ok
    assert taken.rows == 2000 + 3000 + 50 + 500 + 1
    tables = {one.table: one.rows for one in taken.tables}
    assert tables["public.events_old"] + tables["public.events_new"] == 3000
    assert "public.events" not in tables  # its rows are its partitions'
    assert taken.key.startswith(f"{world.backup.prefix}prod-backup-2")
    assert sorted(world.keys()) == sorted([taken.key, taken.manifest_key])
    assert world.databases() == [world.name, taken.side_database]
    head = world.s3.head_object(Bucket=world.stack.bucket, Key=taken.key)
    assert head["ObjectLockMode"] == "COMPLIANCE"
    with pytest.raises(ClientError):
        world.s3.delete_object(
            Bucket=world.stack.bucket, Key=taken.key, VersionId=head["VersionId"]
        )


async def test_side_database_carries_settings_and_grants_and_is_closed(world: DataWorld) -> None:
    taken = await _take(world)

    query = (
        "SELECT setconfig FROM pg_db_role_setting s JOIN pg_database d ON d.oid = s.setdatabase"
        " WHERE datname = '{}'"
    )
    production = world.run(query.format(world.name), "postgres")
    assert sorted(production[0][0]) == sorted(
        world.run(query.format(taken.side_database), "postgres")[0][0]
    )
    query = "SELECT datallowconn, datacl::text FROM pg_database WHERE datname = '{}'"
    opened, grants = world.run(query.format(taken.side_database), "postgres")[0]
    assert opened is False
    assert "teei_app=c" in grants
    assert "=Tc/" not in grants.split(",")[0]  # PUBLIC may not connect


async def test_same_backup_again_returns_the_first(world: DataWorld) -> None:
    first = await _take(world)
    assert await _take(world) == first
    assert len(world.keys()) == 2
    second = await _take(world, tag="2")
    assert second.side_database != first.side_database


async def test_leftovers_of_a_killed_attempt_are_replaced(world: DataWorld) -> None:
    left = f"{world.name}_slipway_{world.name[-6:]}_1"
    world.run(f"CREATE DATABASE {left} OWNER teei_owner", "postgres")
    assert (await _take(world)).restored_ok


@pytest.mark.parametrize("stage", ["dump", "restore", "upload"])
async def test_cancelled_backup_leaves_nothing(
    world: DataWorld, stage: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    reached = asyncio.Event()
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    store = world.store
    if stage == "dump":
        _pause_before(monkeypatch, postgres_catalog, "fingerprints", reached)
    elif stage == "restore":
        _pause_before(monkeypatch, postgres_dump, "restore", reached)
    else:
        _pause_before(monkeypatch, store, "sha256_of", reached)
    task = asyncio.create_task(_take(world, store))
    waiting = asyncio.create_task(reached.wait())
    await asyncio.wait({task, waiting}, timeout=60, return_when=asyncio.FIRST_COMPLETED)
    assert reached.is_set(), task
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert world.databases() == [world.name]
    assert world.keys() == []
    assert not [one for one in os.listdir(tmp_path) if one.startswith("slipway-")]
    await until(lambda: not world.sessions())  # a backend notices its client's end in a moment


def _pause_before(
    monkeypatch: pytest.MonkeyPatch, owner: Any, name: str, reached: asyncio.Event
) -> None:
    real = getattr(owner, name)

    async def paused(*args: Any, **kwargs: Any) -> Any:
        reached.set()
        await asyncio.Event().wait()
        return await real(*args, **kwargs)

    monkeypatch.setattr(owner, name, paused)


class Altering(ObjectStore):
    """A store in which somebody writes over the dump right after its upload."""

    async def put_file(self, bucket: str, key: str, file: Path) -> str:
        version = await super().put_file(bucket, key, file)
        await self.call("put_object", Bucket=bucket, Key=key, Body=b"something else")
        return version


async def test_altered_upload_is_no_backup(world: DataWorld) -> None:
    with pytest.raises(BackupFailed, match="read back is not what was uploaded"):
        await _take(world, Altering(world.s3))
    assert world.databases() == [world.name]
    assert len(world.keys()) == 1  # the foreign object, and no manifest


async def test_truncated_dump_is_no_backup(world: DataWorld, tmp_path: Path) -> None:
    async with world.postgres.copying(world.database, f"{world.name}_slipway_cut_1") as work:
        dumped = await work.dump()
        whole = dumped.packed.file.read_bytes()
        for kept in (0, len(whole) // 2, len(whole) - 1):
            dumped.packed.file.write_bytes(whole[:kept])
            with pytest.raises(BackupNotRestorable, match=r"cut short|damaged"):
                await work.read_back(dumped.packed)
        dumped.packed.file.write_bytes(whole)
        assert (await work.read_back(dumped.packed)).stat().st_size == dumped.packed.plain_size


async def test_copy_that_differs_is_no_backup(
    world: DataWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = postgres_dump.restore

    async def lossy(postgres: Any, side: Any, plain: Path) -> None:
        await real(postgres, side, plain)
        world.run(
            "DELETE FROM keyless WHERE ctid IN (SELECT ctid FROM keyless LIMIT 1)", side.database
        )

    monkeypatch.setattr(postgres_dump, "restore", lossy)
    with pytest.raises(BackupNotRestorable, match=r"public.keyless has 49 rows instead of 50"):
        await _take(world)
    assert world.databases() == [world.name]


async def test_schema_that_cannot_be_restored_is_no_backup(world: DataWorld) -> None:
    # a constraint whose function finds its table only with a search_path: no restore
    world.as_owner(
        "SET search_path = public; CREATE TABLE rates (x int);"
        "CREATE FUNCTION rate(int) RETURNS int IMMUTABLE LANGUAGE sql AS"
        " 'SELECT coalesce(max(x), $1) FROM rates';"
        "ALTER TABLE orders ADD CHECK (rate(id) >= 0);"
    )
    with pytest.raises(BackupNotRestorable, match="rates"):
        await _take(world)
    assert world.databases() == [world.name]
    assert world.keys() == []


async def test_side_database_is_dropped_only_if_slipway_made_it(world: DataWorld) -> None:
    backups = Backups(world.postgres, world.store)
    taken = await _take(world)
    drop = DropSide(database=world.database, name=taken.side_database)
    environment = ActivityEnvironment()
    assert (await environment.run(backups.drop_side, drop)).existed
    assert not (await environment.run(backups.drop_side, drop)).existed
    with pytest.raises(BadInput):
        await environment.run(backups.drop_side, DropSide(database=world.database, name=world.name))
    assert world.databases() == [world.name]


async def test_dead_store_is_told_in_one_sentence(world: DataWorld) -> None:

    client = boto3.client(
        "s3",
        endpoint_url="http://127.0.0.1:9",
        aws_access_key_id="x",
        aws_secret_access_key="y",
        region_name="us-east-1",
        config=Config(retries={"max_attempts": 0}, connect_timeout=1),
    )
    with pytest.raises(SlipwayError, match="object store did not answer") as caught:
        await _take(world, ObjectStore(client))
    assert not caught.value.final
