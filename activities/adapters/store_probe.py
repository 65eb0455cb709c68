"""Tries every right that slipway's key needs in the bucket, with an object of a few bytes.

There is no other way to know: a policy cannot be asked. The object stands below the prefix in
`preflight/`, under a name of its own, locked for some seconds, and is removed again. Where that is
cut off it stays, harmless: nothing reads it, and its lock is over at once.
"""

import asyncio
import time
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from typing import Any
from uuid import uuid4

from activities.adapters.s3_api import Refused, S3Api
from slipway.errors import SlipwayError

FOLDER = "preflight/"
_CONTENT = b"slipway tried here what its key may do\n"
_LOCK = 4
"""Seconds by the store's clock."""
_COARSE = 2
"""Seconds by which that clock, read from an answer's head, may be behind."""
_TRIES = 3
"""Of a lock whose time may have been over when the store was asked for it."""
_PATIENCE = 4.0
"""Seconds after the lock's end in which the object must let itself be deleted."""
_NO_BUCKET = ("NoSuchBucket", "404")
_NO_LOCK = "ObjectLockConfigurationNotFoundError"


@dataclass
class BucketStanding:
    """A bucket, and what slipway's key may do there."""

    versioned: bool = False
    locks: bool = False
    refused: dict[str, str] = field(default_factory=dict)
    """What was refused, action by action, in the store's own words."""
    lock_ignored: bool = False
    """Whether an object could be deleted although it was locked."""


async def standing(store: S3Api, bucket: str, prefix: str) -> BucketStanding | None:
    """Look at a bucket and try every right in it; None when there is no such bucket.

    Raises Unreachable when the store does not answer.
    """
    work = _Probe(store, bucket, f"{prefix}{FOLDER}{uuid4().hex}")
    try:
        await work.run()
    except Refused as error:
        if error.code in _NO_BUCKET:
            return None
        raise
    finally:
        if work.version is not None:
            with suppress(SlipwayError):
                await work.delete()
    return work.found


class _Probe:
    """One object, from being written to being removed."""

    def __init__(self, store: S3Api, bucket: str, key: str) -> None:
        self._store = store
        self._bucket = bucket
        self._place = {"Bucket": bucket, "Key": key}
        self._locked = 0.0
        """Until when the object may be locked, by this process's monotonic clock, in seconds."""
        self.version: str | None = None
        """Of the object while it is there."""
        self.found = BucketStanding()

    async def run(self) -> None:
        await self._look()
        listing = {"Bucket": self._bucket, "Prefix": self._place["Key"]}
        await self._try("s3:ListBucket", "list_objects_v2", **listing)
        began = time.monotonic()
        written = await self._try("s3:PutObject", "put_object", **self._place, Body=_CONTENT)
        if written is None:
            return  # the other rights are about what is there
        clock = _Clock(_server_time(written), began, time.monotonic())
        self.version = str(written.get("VersionId", ""))
        await self._try("s3:GetObject", "get_object", **self._place)
        await self._try("s3:GetObjectVersion", "head_object", **self._pinned)
        await self._try_upload()
        if self.found.locks:
            await self._try_lock(clock)
        await self._remove()

    async def _look(self) -> None:
        bucket = {"Bucket": self._bucket}
        versions = await self._try("s3:GetBucketVersioning", "get_bucket_versioning", **bucket)
        self.found.versioned = (versions or {}).get("Status") == "Enabled"
        lock = await self._try(
            "s3:GetBucketObjectLockConfiguration", "get_object_lock_configuration", **bucket
        )
        rule = (lock or {}).get("ObjectLockConfiguration", {})
        self.found.locks = rule.get("ObjectLockEnabled") == "Enabled"

    @property
    def _pinned(self) -> dict[str, str]:
        return {**self._place, **({"VersionId": self.version} if self.version else {})}

    async def _try_lock(self, clock: "_Clock") -> None:
        """Lock the object, which then must not let itself be deleted.

        A store so slow that the lock may have been over by then has proved nothing.
        """
        for _ in range(_TRIES):
            ends = time.monotonic() + _LOCK
            locked = await self._try(
                "s3:PutObjectRetention",
                "put_object_retention",
                **self._pinned,
                Retention={"Mode": "COMPLIANCE", "RetainUntilDate": clock.latest(ends)},
            )
            self._locked = ends + clock.slack
            if locked is not None or time.monotonic() < ends - _COARSE:
                break
            self.found.refused.pop("s3:PutObjectRetention", None)  # its time may have been over
        if locked is None:
            return
        await self._try("s3:GetObjectRetention", "get_object_retention", **self._pinned)
        deleted = await self._deleted()
        self.found.lock_ignored = deleted and time.monotonic() < ends - _COARSE

    async def _try_upload(self) -> None:
        """Begin an upload in parts and break it off, as a dump that fails does."""
        key = {**self._place, "Key": f"{self._place['Key']}.parts"}
        begun = await self._store.call("create_multipart_upload", **key)
        upload = str(begun["UploadId"])
        await self._try("s3:AbortMultipartUpload", "abort_multipart_upload", **key, UploadId=upload)

    async def _try(self, action: str, operation: str, **arguments: Any) -> dict[str, Any] | None:
        try:
            return await self._store.call(operation, **arguments)
        except Refused as error:
            if error.code in _NO_BUCKET:
                raise
            if error.code == _NO_LOCK:
                return None  # an answer, not a refusal
            self.found.refused[action] = error.what
            return None

    async def delete(self) -> None:
        """Remove the object's version. Raises Refused while it is locked."""
        await self._store.call("delete_object", **self._pinned)
        self.version = None

    async def _deleted(self) -> bool:
        try:
            await self.delete()
        except Refused:
            return False
        return True

    async def _remove(self) -> None:
        """Remove the object when its lock is over; what cannot be removed then may not be."""
        ends = max(self._locked, time.monotonic()) + _PATIENCE
        while self.version is not None:
            asked = time.monotonic()
            try:
                await self.delete()
            except Refused as error:
                if asked > ends:
                    self.found.refused["s3:DeleteObjectVersion"] = error.what
                    self.version = None
                    return
                await asyncio.sleep(0.5)


@dataclass(frozen=True)
class _Clock:
    """The store's clock, read once from an answer's head: locks are counted by it."""

    read: datetime
    asked: float
    answered: float
    """Between these, by this process's monotonic clock, it was read; in seconds."""

    @property
    def slack(self) -> float:
        """By how many seconds it may be behind the latest that it can show."""
        return self.answered - self.asked

    def latest(self, moment: float) -> datetime:
        """Return the latest that it can show at a moment, but for the seconds' fractions that its
        own text and this one leave out (_COARSE)."""
        return (self.read + timedelta(seconds=moment - self.asked)).replace(microsecond=0)


def _server_time(answer: dict[str, Any]) -> datetime:
    """Return when the store gave an answer, by its own clock."""
    headers = answer.get("ResponseMetadata", {}).get("HTTPHeaders", {})
    try:
        return parsedate_to_datetime(headers["date"])
    except (KeyError, ValueError):
        return datetime.now(UTC)
