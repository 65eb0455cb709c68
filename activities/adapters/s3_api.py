"""The S3 API: one request at a time, in threads, and errors that say what to do.

Where it is and who logs in come from the AWS SDK's own variables.
"""

import asyncio
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, TypeVar

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from slipway.errors import BackupFailed, SlipwayError, Unreachable
from slipway.verdicts import Reason

if TYPE_CHECKING:
    from mypy_boto3_s3.client import S3Client

T = TypeVar("T")

_CONFIG = Config(
    connect_timeout=3,
    read_timeout=20,
    retries={"max_attempts": 3, "mode": "standard"},
    max_pool_connections=16,
)
_ABSENT = {"404", "NoSuchKey", "NotFound", "NoSuchVersion"}
_TAKEN = {"PreconditionFailed", "412", "ConditionalRequestConflict"}
_PASSING = {"500", "502", "503", "SlowDown", "InternalError", "ServiceUnavailable"}


class S3Api:
    """Blocking calls run in threads, each with short timeouts and bounded retries."""

    def __init__(self, client: "S3Client | None" = None) -> None:
        """`client`: a ready client; else one is made at the first call."""
        self._client = client
        self._making = asyncio.Lock()

    async def call(self, operation: str, **arguments: Any) -> dict[str, Any]:
        """Make one request of the S3 API and return its answer."""
        where = "/".join(str(arguments[key]) for key in ("Bucket", "Key") if key in arguments)
        client = await self._ready()
        with _explained(operation, where):
            found: dict[str, Any] = await asyncio.to_thread(getattr(client, operation), **arguments)
            return found

    async def thread(self, work: Callable[[], T]) -> T:
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


class Refused(BackupFailed):
    """The store answered and would not; `code` is its own word for why."""

    def __init__(self, what: str, remedy: str, code: str) -> None:
        super().__init__(what, remedy)
        self.code = code


class Missing(SlipwayError):
    """There is no such object."""

    reason = Reason.BACKUP_FAILED


class Taken(SlipwayError):
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
        return Taken(f"{where} exists already.")
    if code in _ABSENT:
        return Missing(f"{where} is not there.", "Restore it from the bucket's older versions.")
    if code in _PASSING or status.startswith("5"):
        return Unreachable(f"The object store failed ({operation} {where}): {code}.", "Retry.")
    return Refused(
        f"The object store refused {operation} on {where}: {code or status}.",
        "Check that the bucket exists and that the worker's credentials allow it.",
        code or status,
    )
