"""A proved backup on its way into the bucket: data first, read back, locked, the manifest last."""

import hashlib
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from temporalio import activity

from slipway.digest import canonical
from slipway.errors import BackupFailed, SlipwayError
from slipway.judgements.backup import dump_key, manifest_key, roles_key, sealed
from slipway.judgements.pace import how_far
from slipway.messages.backup import KeptObject, Manifest, SequenceNoted, TakeBackup
from slipway.messages.record import BackupTaken, Fallback

if TYPE_CHECKING:
    from activities.adapters.object_store import ObjectStore
    from activities.adapters.postgres.dump import Dumped, Packed


@dataclass(frozen=True)
class Proved:
    """A dump that was restored and equals its source."""

    side: str
    dumped: "Dumped"
    stored: "Packed"
    """What is uploaded: the dump, or what it was encrypted to."""
    database_size: int
    not_covered: list[str]
    roles: bytes = field(repr=False)
    began: float
    """By the monotonic clock."""
    fallback: Fallback | None = None
    no_fallback: str = ""


class Storing:
    """One backup's objects. What was written before a failure is removed again."""

    def __init__(
        self,
        store: "ObjectStore",
        request: TakeBackup,
        say: Callable[[str], None],
        hold: Callable[[], Awaitable[None]],
    ) -> None:
        """`say` is told how far it has come; `hold` raises once a newer attempt has begun."""
        self._store = store
        self._request = request
        self._say = say
        self._hold = hold
        self._written: list[KeptObject] = []

    async def store(self, proved: Proved) -> BackupTaken:
        """Write dump, roles and manifest. Raises BackupFailed when what is read back differs."""
        backup, dumped = self._request.backup, proved.dumped
        until = _locked_until(self._request, dumped.taken_at)
        encrypted = bool(backup.recipients)
        key = dump_key(
            backup.prefix, dumped.taken_at, self._request.deployment, encrypted=encrypted
        )
        try:
            dump = await self._dump(key, proved.stored)
            roles = await self._roles(roles_key(key), proved.roles)
            # an attempt that was only frozen must not come between a newer one and its manifest
            await self._hold()
            # only what was proved whole is locked: a bad one would stay for the whole time
            for one in (dump, roles):
                await self._store.lock(backup.bucket, one.key, one.version, until)
            return await self._manifest(proved, dump, roles, until)
        except BaseException:
            for one in self._written:
                await self._remove(one)
            raise

    async def _dump(self, key: str, packed: "Packed") -> KeptObject:
        began = time.monotonic()

        def uploaded(size: int) -> None:
            self._say(f"uploading: {how_far(size, packed.size, time.monotonic() - began)}")

        bucket = self._request.backup.bucket
        self._say("uploading")
        version = await self._store.put_file(bucket, key, packed.file, uploaded)
        one = KeptObject(key=key, sha256=packed.sha256, size=packed.size, version=version)
        return await self._read_back(one)

    async def _roles(self, key: str, content: bytes) -> KeptObject:
        version = await self._store.put_version(self._request.backup.bucket, key, content)
        digest = hashlib.sha256(content).hexdigest()
        one = KeptObject(key=key, sha256=digest, size=len(content), version=version)
        return await self._read_back(one)

    async def _read_back(self, one: KeptObject) -> KeptObject:
        self._written.append(one)
        bucket, began = self._request.backup.bucket, time.monotonic()

        def read(size: int) -> None:
            self._say(f"reading back: {how_far(size, one.size, time.monotonic() - began)}")

        if await self._store.sha256_of(bucket, one.key, read) != (one.sha256, one.size):
            raise BackupFailed(
                f"{bucket}/{one.key} read back is not what was uploaded.",
                "Check the object store, then take the backup again.",
            )
        return one

    async def _remove(self, one: KeptObject) -> None:
        bucket = self._request.backup.bucket
        try:
            await self._store.delete_in_the_end(bucket, one.key, one.version)
        except SlipwayError:
            activity.logger.warning(
                "%s/%s has no manifest and could not be removed", bucket, one.key
            )

    async def _manifest(
        self, proved: Proved, dump: KeptObject, roles: KeptObject, until: datetime
    ) -> BackupTaken:
        request, dumped = self._request, proved.dumped
        manifest = manifest_key(request.backup.prefix, request.deployment, request.attempt_tag)
        taken = BackupTaken(
            key=dump.key,
            manifest_key=manifest,
            sha256=dump.sha256,
            size=dump.size,
            taken_at=dumped.taken_at,
            database=request.database.name,
            side_database=proved.side,
            server_version=dumped.server_version,
            schema_sha256=dumped.schema_sha256,
            tables=dumped.tables,
            restored_ok=True,
            seconds=time.monotonic() - proved.began,
            not_covered=proved.not_covered,
            fallback=proved.fallback,
            no_fallback=proved.no_fallback,
            encrypted=bool(request.backup.recipients),
            identity=request.backup.identity if request.backup.recipients else None,
        )
        document = Manifest(
            backup=taken,
            deployment=request.deployment,
            requester=request.requester,
            attempt_tag=request.attempt_tag,
            plain_sha256=dumped.packed.plain_sha256,
            plain_size=dumped.packed.plain_size,
            version=dump.version,
            sequences=[
                SequenceNoted(sequence=f"{one.schema}.{one.name}", last=one.last, step=one.step)
                for one in dumped.sequences
            ],
            database_size=proved.database_size,
            identity=dumped.extent.identity,
            roles=roles,
            publications=dumped.extent.publications,
            locked_until=until,
            recipients=request.backup.recipients,
            packed_sha256=dumped.packed.sha256 if request.backup.recipients else "",
        )
        await self._hold()
        await self._store.put_new(request.backup.bucket, manifest, canonical(sealed(document)))
        return taken


def _locked_until(request: TakeBackup, taken_at: datetime) -> datetime:
    """Counted from the snapshot, but never in the past, which object stores refuse."""
    wanted = taken_at + timedelta(seconds=request.backup.retention)
    return max(wanted, datetime.now(UTC) + timedelta(minutes=1))
