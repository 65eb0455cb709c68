"""What a bucket allows, asked of a store with a clock of its own that takes its time."""

import asyncio
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from itertools import cycle
from types import SimpleNamespace
from typing import Any, cast

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from activities.adapters import store_probe
from activities.adapters.s3_api import Refused, S3Api
from activities.adapters.store_probe import BucketStanding

DELAYS = st.lists(st.tuples(st.floats(0, 6), st.floats(0, 6)), min_size=1, max_size=12)
"""Seconds from a request to its being served, and from there to its answer, one after the other."""
QUICK = [(0.01, 0.01)]
_BEGAN = datetime(2026, 11, 30, 6, 0, tzinfo=UTC)


class Store:
    """One object of one bucket with versions and locks."""

    def __init__(
        self, delays: list[tuple[float, float]], fraction: float = 0.0, refuses: str = ""
    ) -> None:
        """`fraction`: of the second at which the store's clock begins. `refuses`: an operation, or
        `locks` for a store that takes them and deletes all the same."""
        self.now = 0.0
        self._delays: Iterator[tuple[float, float]] = cycle(delays)
        self._offset = timedelta(seconds=fraction)
        self._refuses = refuses
        self._locked: datetime | None = None
        self.there = False

    @property
    def clock(self) -> datetime:
        """The store's own time."""
        return _BEGAN + self._offset + timedelta(seconds=self.now)

    async def call(self, operation: str, **arguments: Any) -> dict[str, Any]:
        """Serve a request, in its time."""
        before, after = next(self._delays)
        self.now += before
        date = format_datetime(self.clock.replace(microsecond=0), usegmt=True)
        try:
            if operation == self._refuses:
                raise Refused(f"{operation} is refused.", "Allow it.", "AccessDenied")
            answer = self._served(operation, arguments)
        finally:
            self.now += after
        return {**answer, "ResponseMetadata": {"HTTPHeaders": {"date": date}}}

    def _served(self, operation: str, arguments: dict[str, Any]) -> dict[str, Any]:
        match operation:
            case "get_bucket_versioning":
                return {"Status": "Enabled"}
            case "get_object_lock_configuration":
                return {"ObjectLockConfiguration": {"ObjectLockEnabled": "Enabled"}}
            case "put_object":
                self.there = True
                return {"VersionId": "1"}
            case "create_multipart_upload":
                return {"UploadId": "1"}
            case "put_object_retention":
                until: datetime = arguments["Retention"]["RetainUntilDate"]
                if until <= self.clock:
                    raise Refused("The date lies in the past.", "Choose another.", "InvalidRequest")
                self._locked = until
            case "delete_object":
                held = self._locked is not None and self.clock < self._locked
                if held and self._refuses != "locks":
                    raise Refused("It is locked.", "Wait.", "AccessDenied")
                self.there = False
        return {}


def stands(store: Store) -> BucketStanding:
    """Look at the bucket, by the store's delays instead of real time."""

    async def sleep(seconds: float) -> None:
        store.now += seconds

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(store_probe, "time", SimpleNamespace(monotonic=lambda: store.now))
        patch.setattr(store_probe, "asyncio", SimpleNamespace(sleep=sleep))
        found = asyncio.run(store_probe.standing(cast("S3Api", store), "bucket", "production/"))
    assert found is not None
    return found


@given(delays=DELAYS, fraction=st.floats(0, 0.999))
@example(delays=[(0.0, 3.0)], fraction=0.9)
@example(delays=[(0.0, 0.0)] * 3 + [(0.0, 5.0)] + [(0.0, 0.0)] * 20, fraction=0.9)
def test_a_sound_store_is_found_sound_however_slow_it_is(
    delays: list[tuple[float, float]], fraction: float
) -> None:
    store = Store(delays, fraction)
    found = stands(store)
    assert (found.refused, found.lock_ignored) == ({}, False)
    assert (found.versioned, found.locks, store.there) == (True, True, False)


@given(fraction=st.floats(0, 0.999))
def test_a_store_that_ignores_locks_is_found_out(fraction: float) -> None:
    assert stands(Store(QUICK, fraction, refuses="locks")).lock_ignored


@pytest.mark.parametrize(
    ("operation", "action"),
    [
        ("put_object", "s3:PutObject"),
        ("put_object_retention", "s3:PutObjectRetention"),
        ("get_object_retention", "s3:GetObjectRetention"),
        ("delete_object", "s3:DeleteObjectVersion"),
        ("head_object", "s3:GetObjectVersion"),
        ("abort_multipart_upload", "s3:AbortMultipartUpload"),
    ],
)
def test_what_is_refused_is_named(operation: str, action: str) -> None:
    assert list(stands(Store(QUICK, refuses=operation)).refused) == [action]
