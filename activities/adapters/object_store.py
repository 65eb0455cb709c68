"""The object store (S3): objects written once, files uploaded in parts, read back, locked."""

import asyncio
import base64
import hashlib
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, BinaryIO

from activities.adapters import store_probe
from activities.adapters.file_digest import sha256_of_file
from activities.adapters.s3_api import Missing, S3Api, Taken
from activities.adapters.store_probe import BucketStanding
from activities.uninterrupted import uninterrupted
from slipway.errors import BackupFailed, RecordConflict, SlipwayError

_PART = 16 * 1024 * 1024
_PIECE = 4 * 1024 * 1024


@dataclass(frozen=True)
class Stored:
    """An object as it stands."""

    key: str
    size: int
    at: datetime
    version: str = ""
    locked_until: datetime | None = None


class ObjectStore(S3Api):
    """What slipway keeps: the record, dumps, their manifests."""

    async def put_new(
        self, bucket: str, key: str, content: bytes, media_type: str = "application/json"
    ) -> str:
        """Write an object that must not exist yet and return its SHA-256.

        The same content there already is a success. Raises RecordConflict for other content.
        """
        await self.put_version(bucket, key, content, media_type)
        return hashlib.sha256(content).hexdigest()

    async def put_version(
        self, bucket: str, key: str, content: bytes, media_type: str = "application/sql"
    ) -> str:
        """Write an object that must not exist yet and return its version. The same content there
        already is a success (a reply may be lost). Raises RecordConflict for other content."""
        digest = base64.b64encode(hashlib.sha256(content).digest()).decode()
        try:
            done = await self.call(
                "put_object",
                Bucket=bucket,
                Key=key,
                Body=content,
                ContentType=media_type,
                ChecksumSHA256=digest,
                IfNoneMatch="*",
            )
        except Taken:
            stands = await self.head(bucket, key)
            found = await self.sha256_of(bucket, key)
            if stands is None or found is None or found[0] != hashlib.sha256(content).hexdigest():
                raise RecordConflict(
                    f"{bucket}/{key} already holds other content.",
                    "Look at who wrote it; nothing was overwritten.",
                ) from None
            return stands.version
        return str(done.get("VersionId", ""))

    async def put_file(
        self, bucket: str, key: str, file: Path, told: Callable[[int], None] | None = None
    ) -> str:
        """Upload a file in parts, each with its checksum, to a key that must not exist yet;
        return its version. A failed or cancelled upload leaves nothing behind.

        `told` is called with the bytes uploaded so far.
        """
        common = {"Bucket": bucket, "Key": key}
        begun = await self.call(
            "create_multipart_upload",
            **common,
            ChecksumAlgorithm="SHA256",
            ContentType="application/zstd",
        )
        common["UploadId"] = begun["UploadId"]
        try:
            parts = await self._parts(file, common, told)
            done = await self.call(
                "complete_multipart_upload",
                **common,
                MultipartUpload={"Parts": parts},
                IfNoneMatch="*",
            )
        except Taken:
            await uninterrupted(self._abort(common))
            raise RecordConflict(
                f"{bucket}/{key} already exists.", "Take the backup again."
            ) from None
        except BaseException:
            await uninterrupted(self._abort(common))
            raise
        return str(done.get("VersionId", ""))

    async def put_beside(self, bucket: str, key: str, file: Path) -> str:
        """Upload a file to a key, or, where an attempt that was cut off has written something else
        there, to one of the same name with a number; return the key."""
        folder, slash, name = key.rpartition("/")
        stem, dot, ending = name.partition(".")
        digest = await asyncio.to_thread(sha256_of_file, file)
        for number in ("", *(f"-{one}" for one in range(2, 100))):
            here = f"{folder}{slash}{stem}{number}{dot}{ending}"
            try:
                await self.put_file(bucket, here, file)
            except RecordConflict:
                found = await self.sha256_of(bucket, here)
                if found is None or found[0] != digest:
                    continue
            return here
        raise RecordConflict(f"{bucket}/{key} and 98 more of its name exist.", "Look at them.")

    async def _parts(
        self, file: Path, common: dict[str, Any], told: Callable[[int], None] | None
    ) -> list[dict[str, Any]]:
        parts: list[dict[str, Any]] = []
        sent = 0
        with file.open("rb") as source:
            while (piece := await asyncio.to_thread(source.read, _PART)) or not parts:
                number = len(parts) + 1
                digest = base64.b64encode(hashlib.sha256(piece).digest()).decode()
                done = await self.call(
                    "upload_part", **common, PartNumber=number, Body=piece, ChecksumSHA256=digest
                )
                parts.append({"PartNumber": number, "ETag": done["ETag"], "ChecksumSHA256": digest})
                sent += len(piece)
                if told is not None:
                    told(sent)
        return parts

    async def _abort(self, common: dict[str, Any]) -> None:
        try:
            await self.call("abort_multipart_upload", **common)
        except SlipwayError:
            return  # the bucket's rule for unfinished uploads removes it

    async def lock(self, bucket: str, key: str, version: str, until: datetime) -> None:
        """Lock a version against deletion, by anybody, until an instant; and see that it is.

        Raises BackupFailed when the bucket does not lock.
        """
        await self.call(
            "put_object_retention",
            Bucket=bucket,
            Key=key,
            **({"VersionId": version} if version else {}),
            Retention={"Mode": "COMPLIANCE", "RetainUntilDate": until},
        )
        stands = await self.head(bucket, key, version)
        # servers keep whole seconds
        if (
            stands is None
            or not stands.locked_until
            or abs((until - stands.locked_until).total_seconds()) > 1
        ):
            raise BackupFailed(
                f"{bucket}/{key} was stored but is not locked.",
                "Turn on versioning and object lock for the bucket.",
            )

    async def read(self, bucket: str, key: str, limit: int) -> bytes | None:
        """Return an object's content, or None when there is no such object.

        Raises SlipwayError when it is longer than `limit` bytes.
        """
        content = bytearray()
        try:
            async for piece in self.stream(bucket, key):
                content += piece
                if len(content) > limit:
                    raise SlipwayError(f"{bucket}/{key} is longer than {limit} bytes.")
        except Missing:
            return None
        return bytes(content)

    async def stream(self, bucket: str, key: str) -> AsyncIterator[bytes]:
        """Read an object piece by piece. Raises SlipwayError when it is not there."""
        found = await self.call("get_object", Bucket=bucket, Key=key)
        body = found["Body"]
        try:
            while piece := await self.thread(lambda: body.read(_PIECE)):
                yield bytes(piece)
        finally:
            body.close()

    async def sha256_of(
        self, bucket: str, key: str, told: Callable[[int], None] | None = None
    ) -> tuple[str, int] | None:
        """Read a whole object and return its SHA-256 and size; None when it is not there.

        `told` is called with the bytes read so far.
        """
        digest, size = hashlib.sha256(), 0
        try:
            async for piece in self.stream(bucket, key):
                digest.update(piece)
                size += len(piece)
                if told is not None:
                    told(size)
        except Missing:
            return None
        return digest.hexdigest(), size

    async def download(self, bucket: str, key: str, into: BinaryIO) -> str | None:
        """Copy an object to a file and return its SHA-256; None when it is not there."""
        digest = hashlib.sha256()
        try:
            async for piece in self.stream(bucket, key):
                digest.update(piece)
                await asyncio.to_thread(into.write, piece)
            into.flush()
        except Missing:
            return None
        except OSError as error:
            raise BackupFailed(
                f"{bucket}/{key} cannot be kept where the worker runs: {error.strerror}.",
                "Free disk space there, or point TMPDIR elsewhere.",
            ) from error
        return digest.hexdigest()

    async def head(self, bucket: str, key: str, version: str = "") -> Stored | None:
        """Return how an object stands; None when it is not there."""
        pinned = {"VersionId": version} if version else {}
        try:
            found = await self.call("head_object", Bucket=bucket, Key=key, **pinned)
        except Missing:
            return None
        return Stored(
            key,
            int(found["ContentLength"]),
            found["LastModified"],
            str(found.get("VersionId", "")),
            found.get("ObjectLockRetainUntilDate"),
        )

    async def listing(self, bucket: str, prefix: str, most: int = 10_000) -> list[Stored]:
        """Return the objects below a prefix in order of their keys. Refuses more than `most`."""
        found: list[Stored] = []
        async for page in self._pages(Bucket=bucket, Prefix=prefix):
            for one in page.get("Contents", []):
                found.append(Stored(one["Key"], int(one["Size"]), one["LastModified"]))
            if len(found) > most:
                raise SlipwayError(f"More than {most} objects stand below {bucket}/{prefix}.")
        return found

    async def folders(self, bucket: str, prefix: str) -> list[str]:
        """Return the names directly below a prefix that hold objects themselves."""
        found: list[str] = []
        async for page in self._pages(Bucket=bucket, Prefix=prefix, Delimiter="/"):
            for one in page.get("CommonPrefixes", []):
                found.append(str(one["Prefix"])[len(prefix) :].rstrip("/"))
        return found

    async def delete_in_the_end(self, bucket: str, key: str, version: str) -> None:
        """Delete one version of an object, also when cancelled meanwhile."""
        pinned = {"VersionId": version} if version else {}
        await uninterrupted(self.call("delete_object", Bucket=bucket, Key=key, **pinned))

    async def unfinished(self, bucket: str, prefix: str) -> list[tuple[str, str]]:
        """Return key and ID of every upload below a prefix that was begun and not completed.
        Raises Refused where the key may not list them."""
        found = await self.call("list_multipart_uploads", Bucket=bucket, Prefix=prefix)
        return [(str(one["Key"]), str(one["UploadId"])) for one in found.get("Uploads", [])]

    async def give_up(self, bucket: str, key: str, upload: str) -> None:
        """Drop the parts of an upload that was not completed."""
        await self._abort({"Bucket": bucket, "Key": key, "UploadId": upload})

    async def standing(self, bucket: str, prefix: str) -> BucketStanding | None:
        """Return how a bucket stands and what slipway may do there; None when there is none."""
        return await store_probe.standing(self, bucket, prefix)

    async def _pages(self, **arguments: Any) -> AsyncIterator[dict[str, Any]]:
        token: dict[str, str] = {}
        while True:
            page = await self.call("list_objects_v2", **arguments, **token)
            yield page
            if not page.get("IsTruncated"):
                return
            token = {"ContinuationToken": page["NextContinuationToken"]}
