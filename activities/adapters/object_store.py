"""The object store (S3): objects written once, files uploaded in parts, read back, locked.

Where it is and who logs in come from the AWS SDK's own variables.
"""

import asyncio
import base64
import hashlib
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, TypeVar

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from activities.adapters.processes import uninterrupted
from slipway.errors import BackupFailed, RecordConflict, SlipwayError, Unreachable
from slipway.verdicts import Reason

if TYPE_CHECKING:
    from mypy_boto3_s3.client import S3Client

T = TypeVar("T")

_PART = 16 * 1024 * 1024
_PIECE = 4 * 1024 * 1024
_CONFIG = Config(
    connect_timeout=3,
    read_timeout=20,
    retries={"max_attempts": 3, "mode": "standard"},
    max_pool_connections=16,
)
_ABSENT = {"404", "NoSuchKey", "NotFound", "NoSuchVersion"}
_TAKEN = {"PreconditionFailed", "412", "ConditionalRequestConflict"}
_PASSING = {"500", "502", "503", "SlowDown", "InternalError", "ServiceUnavailable"}


@dataclass(frozen=True)
class Stored:
    """An object as it stands."""

    key: str
    size: int
    at: datetime
    version: str = ""
    locked_until: datetime | None = None


class ObjectStore:
    """Blocking calls run in threads, each with short timeouts and bounded retries."""

    def __init__(self, client: "S3Client | None" = None) -> None:
        """`client`: a ready client; else one is made at the first call."""
        self._client = client
        self._making = asyncio.Lock()

    async def put_new(
        self, bucket: str, key: str, content: bytes, media_type: str = "application/json"
    ) -> str:
        """Write an object that must not exist yet and return its SHA-256.

        The same content there already is a success. Raises RecordConflict for other content.
        """
        digest = hashlib.sha256(content)
        try:
            await self._call(
                "put_object",
                Bucket=bucket,
                Key=key,
                Body=content,
                ContentType=media_type,
                ChecksumSHA256=base64.b64encode(digest.digest()).decode(),
                IfNoneMatch="*",
            )
        except _Taken:
            stands, _ = await self.sha256_of(bucket, key) or ("", 0)
            if stands != digest.hexdigest():
                raise RecordConflict(
                    f"{bucket}/{key} already holds other content.",
                    "Look at who wrote it; nothing was overwritten.",
                ) from None
        return digest.hexdigest()

    async def put_file(self, bucket: str, key: str, file: Path) -> str:
        """Upload a file in parts, each with its checksum, to a key that must not exist yet;
        return its version. A failed or cancelled upload leaves nothing behind.
        """
        common = {"Bucket": bucket, "Key": key}
        begun = await self._call(
            "create_multipart_upload",
            **common,
            ChecksumAlgorithm="SHA256",
            ContentType="application/zstd",
        )
        common["UploadId"] = begun["UploadId"]
        try:
            parts = await self._parts(file, common)
            done = await self._call(
                "complete_multipart_upload",
                **common,
                MultipartUpload={"Parts": parts},
                IfNoneMatch="*",
            )
        except _Taken:
            await uninterrupted(self._abort(common))
            raise RecordConflict(
                f"{bucket}/{key} already exists.", "Take the backup again."
            ) from None
        except BaseException:
            await uninterrupted(self._abort(common))
            raise
        return str(done.get("VersionId", ""))

    async def _parts(self, file: Path, common: dict[str, Any]) -> list[dict[str, Any]]:
        parts: list[dict[str, Any]] = []
        with file.open("rb") as source:
            while (piece := await asyncio.to_thread(source.read, _PART)) or not parts:
                number = len(parts) + 1
                digest = base64.b64encode(hashlib.sha256(piece).digest()).decode()
                done = await self._call(
                    "upload_part", **common, PartNumber=number, Body=piece, ChecksumSHA256=digest
                )
                parts.append({"PartNumber": number, "ETag": done["ETag"], "ChecksumSHA256": digest})
        return parts

    async def _abort(self, common: dict[str, Any]) -> None:
        try:
            await self._call("abort_multipart_upload", **common)
        except SlipwayError:
            return  # the bucket's rule for unfinished uploads removes it

    async def lock(self, bucket: str, key: str, version: str, until: datetime) -> None:
        """Lock a version against deletion, by anybody, until an instant; and see that it is.

        Raises BackupFailed when the bucket does not lock.
        """
        await self._call(
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
        except _Absent:
            return None
        return bytes(content)

    async def stream(self, bucket: str, key: str) -> AsyncIterator[bytes]:
        """Read an object piece by piece. Raises SlipwayError when it is not there."""
        found = await self._call("get_object", Bucket=bucket, Key=key)
        body = found["Body"]
        try:
            while piece := await self._thread(lambda: body.read(_PIECE)):
                yield bytes(piece)
        finally:
            body.close()

    async def sha256_of(self, bucket: str, key: str) -> tuple[str, int] | None:
        """Read a whole object and return its SHA-256 and size; None when it is not there."""
        digest, size = hashlib.sha256(), 0
        try:
            async for piece in self.stream(bucket, key):
                digest.update(piece)
                size += len(piece)
        except _Absent:
            return None
        return digest.hexdigest(), size

    async def download(self, bucket: str, key: str, into: BinaryIO) -> str | None:
        """Copy an object to a file and return its SHA-256; None when it is not there."""
        digest = hashlib.sha256()
        try:
            async for piece in self.stream(bucket, key):
                digest.update(piece)
                await asyncio.to_thread(into.write, piece)
        except _Absent:
            return None
        into.flush()
        return digest.hexdigest()

    async def head(self, bucket: str, key: str, version: str = "") -> Stored | None:
        """Return how an object stands; None when it is not there."""
        pinned = {"VersionId": version} if version else {}
        try:
            found = await self._call("head_object", Bucket=bucket, Key=key, **pinned)
        except _Absent:
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
        await uninterrupted(self._call("delete_object", Bucket=bucket, Key=key, **pinned))

    async def bucket_protection(self, bucket: str) -> tuple[bool, bool]:
        """Return whether a bucket keeps versions, and whether it can lock objects."""
        versions = await self._call("get_bucket_versioning", Bucket=bucket)
        try:
            lock = await self._call("get_object_lock_configuration", Bucket=bucket)
        except SlipwayError as error:
            if isinstance(error, Unreachable):
                raise
            lock = {}
        enabled = lock.get("ObjectLockConfiguration", {}).get("ObjectLockEnabled")
        return versions.get("Status") == "Enabled", enabled == "Enabled"

    async def _pages(self, **arguments: Any) -> AsyncIterator[dict[str, Any]]:
        token: dict[str, str] = {}
        while True:
            page = await self._call("list_objects_v2", **arguments, **token)
            yield page
            if not page.get("IsTruncated"):
                return
            token = {"ContinuationToken": page["NextContinuationToken"]}

    async def _call(self, operation: str, **arguments: Any) -> dict[str, Any]:
        where = "/".join(str(arguments[key]) for key in ("Bucket", "Key") if key in arguments)
        client = await self._ready()
        with _explained(operation, where):
            found: dict[str, Any] = await asyncio.to_thread(getattr(client, operation), **arguments)
            return found

    async def _thread(self, work: Callable[[], T]) -> T:
        with _explained("get_object", "the object store"):
            return await asyncio.to_thread(work)

    async def _ready(self) -> "S3Client":
        async with self._making:
            if self._client is None:
                with _explained("connect", "the object store"):
                    self._client = await asyncio.to_thread(_make)
            return self._client


def _make() -> "S3Client":
    return boto3.client("s3", config=_CONFIG)


class _Absent(SlipwayError):
    """There is no such object."""

    reason = Reason.BACKUP_FAILED


class _Taken(SlipwayError):
    """An object of that name exists."""

    reason = Reason.BACKUP_FAILED


@contextmanager
def _explained(operation: str, where: str) -> Iterator[None]:
    try:
        yield
    except ClientError as error:
        raise _of(operation, where, error) from None
    except (BotoCoreError, OSError, ValueError) as error:
        raise Unreachable(
            f"The object store did not answer ({operation} {where}): {type(error).__name__}.",
            "Check AWS_ENDPOINT_URL_S3, AWS_REGION and the credentials of the worker, then retry.",
        ) from error


def _of(operation: str, where: str, error: ClientError) -> SlipwayError:
    code = str(error.response.get("Error", {}).get("Code", ""))
    status = str(error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", ""))
    if code in _TAKEN or status == "412":
        return _Taken(f"{where} exists already.")
    if code in _ABSENT:
        return _Absent(f"{where} is not there.", "Restore it from the bucket's older versions.")
    if code in _PASSING or status.startswith("5"):
        return Unreachable(f"The object store failed ({operation} {where}): {code}.", "Retry.")
    return BackupFailed(
        f"The object store refused {operation} on {where}: {code or status}.",
        "Check that the bucket exists and that the worker's credentials allow it.",
    )
