"""The object store on a real server: written once, whole, locked, and clear when it cannot."""

import asyncio
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import boto3
import pytest
from botocore.exceptions import ClientError

from activities.adapters import object_store
from activities.adapters.object_store import ObjectStore
from devstack.stack import Stack
from slipway.errors import BackupFailed, RecordConflict, SlipwayError
from tests.integration.data_world import DataWorld

pytestmark = pytest.mark.stack


async def test_object_is_written_once(world: DataWorld) -> None:
    store, bucket, key = world.store, world.stack.bucket, f"{world.backup.prefix}one"
    first = await store.put_new(bucket, key, b"content")
    assert await store.put_new(bucket, key, b"content") == first
    with pytest.raises(RecordConflict, match="other content"):
        await store.put_new(bucket, key, b"other")
    assert await store.read(bucket, key, 100) == b"content"


async def test_of_many_writers_at_once_one_wins(world: DataWorld) -> None:
    store, bucket, key = world.store, world.stack.bucket, f"{world.backup.prefix}race"
    done = await asyncio.gather(
        *(store.put_new(bucket, key, f"writer {n}".encode()) for n in range(8)),
        return_exceptions=True,
    )
    assert len([one for one in done if isinstance(one, str)]) == 1
    assert len([one for one in done if isinstance(one, RecordConflict)]) == 7


async def test_file_goes_up_in_parts_and_comes_back_whole(world: DataWorld, tmp_path: Path) -> None:
    store, bucket, key = world.store, world.stack.bucket, f"{world.backup.prefix}large"
    content = bytes(range(256)) * (20 * 4096)
    (tmp_path / "large").write_bytes(content)
    version = await store.put_file(bucket, key, tmp_path / "large")
    assert version
    found = await store.sha256_of(bucket, key)
    assert found is not None
    assert found[1] == len(content)
    with (tmp_path / "back").open("wb") as file:
        assert await store.download(bucket, key, file) == found[0]
    assert (tmp_path / "back").read_bytes() == content
    with pytest.raises(RecordConflict):
        await store.put_file(bucket, key, tmp_path / "large")


async def test_cancelled_upload_leaves_no_object_and_no_parts(
    world: DataWorld, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(object_store, "_PART", 5 * 1024 * 1024)
    store, bucket, key = world.store, world.stack.bucket, f"{world.backup.prefix}cut"
    (tmp_path / "large").write_bytes(b"x" * (16 * 1024 * 1024))
    second = asyncio.Event()
    real = store.call

    async def watched(operation: str, **arguments: Any) -> dict[str, Any]:
        if arguments.get("PartNumber") == 2:
            second.set()
            await asyncio.Event().wait()
        return await real(operation, **arguments)

    monkeypatch.setattr(store, "call", watched)
    task = asyncio.create_task(store.put_file(bucket, key, tmp_path / "large"))
    async with asyncio.timeout(120):
        await second.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert world.keys() == []
    uploads = world.s3.list_multipart_uploads(Bucket=bucket, Prefix=key).get("Uploads", [])
    assert uploads == []


async def test_locked_version_cannot_be_deleted(world: DataWorld, tmp_path: Path) -> None:
    store, bucket, key = world.store, world.stack.bucket, f"{world.backup.prefix}locked"
    (tmp_path / "file").write_bytes(b"content")
    version = await store.put_file(bucket, key, tmp_path / "file")
    await store.lock(bucket, key, version, datetime.now(UTC) + timedelta(minutes=2))
    with pytest.raises(ClientError):
        world.s3.delete_object(Bucket=bucket, Key=key, VersionId=version)
    with pytest.raises(SlipwayError):
        await store.delete_in_the_end(bucket, key, version)


async def test_bucket_without_lock_is_told(stack: Stack, world: DataWorld, tmp_path: Path) -> None:
    store, bucket = world.store, f"plain-{world.name}"
    world.s3.create_bucket(Bucket=bucket)
    try:
        standing = await store.standing(bucket, "")
        assert standing is not None
        assert (standing.versioned, standing.locks, standing.refused) == (False, False, {})
        (tmp_path / "file").write_bytes(b"content")
        version = await store.put_file(bucket, "k", tmp_path / "file")
        with pytest.raises(BackupFailed):
            await store.lock(bucket, "k", version, datetime.now(UTC) + timedelta(minutes=2))
    finally:
        world.s3.delete_object(Bucket=bucket, Key="k")
        world.s3.delete_bucket(Bucket=bucket)


async def test_absent_objects_are_none_and_long_ones_refused(world: DataWorld) -> None:
    store, bucket, key = world.store, world.stack.bucket, f"{world.backup.prefix}x"
    assert await store.read(bucket, key, 10) is None
    assert await store.sha256_of(bucket, key) is None
    assert await store.head(bucket, key) is None
    await store.put_new(bucket, key, b"x" * 11)
    with pytest.raises(SlipwayError, match="longer than 10 bytes"):
        await store.read(bucket, key, 10)


async def test_listing_pages_and_folders(world: DataWorld, monkeypatch: pytest.MonkeyPatch) -> None:
    store, bucket, prefix = world.store, world.stack.bucket, world.backup.prefix
    for name in ("a/1", "a/2", "b/1", "top"):
        await store.put_new(bucket, prefix + name, b"x")
    real = store.call

    async def small(operation: str, **arguments: Any) -> dict[str, Any]:
        return await real(operation, **arguments, MaxKeys=1)

    monkeypatch.setattr(store, "call", small)
    listed = [one.key.removeprefix(prefix) for one in await store.listing(bucket, prefix)]
    assert listed == ["a/1", "a/2", "b/1", "top"]
    assert await store.folders(bucket, prefix) == ["a", "b"]


async def test_wrong_credentials_and_wrong_bucket_are_told_without_secrets(stack: Stack) -> None:
    client = boto3.client(
        "s3",
        endpoint_url=stack.s3_endpoint,
        aws_access_key_id="wrong",
        aws_secret_access_key="hunter2",
        region_name="us-east-1",
    )
    with pytest.raises(BackupFailed, match="refused") as caught:
        await ObjectStore(client).listing(stack.bucket, "x")
    assert "hunter2" not in str(caught.value)
