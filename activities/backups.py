"""The mandatory backup: taken, proved to restore, stored, locked."""

import time
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from pydantic import ValidationError
from temporalio import activity

from activities.heartbeat import Progress, current_progress
from slipway.base import Message
from slipway.digest import canonical
from slipway.errors import BackupFailed, SlipwayError
from slipway.judgements.backup import dump_key, manifest_key, side_name
from slipway.messages.backup import Dropped, DropSide, TakeBackup
from slipway.messages.record import BackupTaken

if TYPE_CHECKING:
    from activities.adapters.object_store import ObjectStore
    from activities.adapters.postgres import Postgres
    from activities.adapters.postgres_backup import Copying
    from activities.adapters.postgres_dump import Dumped

LARGEST_MANIFEST = 16 * 1024 * 1024


class SequenceNoted(Message):
    """How far a sequence had come about when the snapshot was taken."""

    sequence: str
    last: int


class Manifest(Message):
    """What stands beside a dump. It is written last: a dump without it is no backup."""

    backup: BackupTaken
    deployment: str
    requester: str
    attempt_tag: str
    plain_sha256: str
    """Digest of the dump before compression."""
    plain_size: int
    version: str
    """The dump's version in a bucket that keeps versions."""
    sequences: list[SequenceNoted]
    database_size: int = 0
    """Bytes of the database itself: with `backup.seconds` the pace of later backups. 0: unknown."""


def _locked_until(request: TakeBackup, taken_at: datetime) -> datetime:
    """Counted from the snapshot, but never in the past, which object stores refuse."""
    wanted = taken_at + timedelta(seconds=request.backup.retention)
    return max(wanted, datetime.now(UTC) + timedelta(minutes=1))


class Backups:
    """Backups of production, in the bucket and as side databases."""

    def __init__(self, postgres: "Postgres", store: "ObjectStore") -> None:
        """Both are used by the privileged worker only."""
        self._postgres = postgres
        self._store = store

    @activity.defn(name="backup.take")
    async def take(self, request: TakeBackup) -> BackupTaken:
        """Take a backup and prove it. The same deployment and tag again returns the first one.

        Raises BackupFailed, BackupNotRestorable; then nothing half-made is left.
        """
        progress = current_progress()
        finished = await self._finished(request)
        if finished is not None:
            return finished
        name = side_name(request.database.name, request.deployment, request.attempt_tag)
        async with self._postgres.copying(request.database, name) as work:
            return await self._take(request, work, progress)

    @activity.defn(name="backup.drop_side")
    async def drop_side(self, request: DropSide) -> Dropped:
        """Drop a side or kept database whose undo window has ended."""
        return Dropped(existed=await self._postgres.drop_side(request.database, request.name))

    async def _finished(self, request: TakeBackup) -> BackupTaken | None:
        key = manifest_key(request.backup.prefix, request.deployment, request.attempt_tag)
        content = await self._store.read(request.backup.bucket, key, LARGEST_MANIFEST)
        if content is None:
            return None
        try:
            return Manifest.model_validate_json(content).backup
        except ValidationError:
            raise BackupFailed(
                f"{request.backup.bucket}/{key} is no manifest of a backup.",
                "Look at who wrote it and move it away.",
            ) from None

    async def _take(self, request: TakeBackup, work: "Copying", progress: Progress) -> BackupTaken:
        began = time.monotonic()
        await work.check_room()
        size = await work.database_size()
        progress.say("dumping from one snapshot")
        dumped = await work.dump()
        progress.say("reading the dump back")
        plain = await work.read_back(dumped.packed)
        progress.say(f"restoring into {work.name}")
        await work.restore(plain, request.database.owner, dumped.tables, dumped.schema_sha256)
        plain.unlink()
        progress.say("uploading and reading back")
        return await self._store_it(request, work.name, dumped, began, size)

    async def _store_it(
        self, request: TakeBackup, side: str, dumped: "Dumped", began: float, size: int
    ) -> BackupTaken:
        bucket = request.backup.bucket
        key = dump_key(request.backup.prefix, dumped.taken_at, request.deployment)
        version = await self._store.put_file(bucket, key, dumped.packed.file)
        try:
            stored = await self._store.sha256_of(bucket, key)
            if stored != (dumped.packed.sha256, dumped.packed.size):
                raise BackupFailed(
                    f"{bucket}/{key} read back is not what was uploaded.",
                    "Check the object store, then take the backup again.",
                )
            # only a dump that was proved whole is locked: a bad one would stay for the whole time
            await self._store.lock(bucket, key, version, _locked_until(request, dumped.taken_at))
            return await self._manifest(request, key, version, side, dumped, began, size)
        except BaseException:
            await self._remove(bucket, key, version)
            raise

    async def _remove(self, bucket: str, key: str, version: str) -> None:
        try:
            await self._store.delete_in_the_end(bucket, key, version)
        except SlipwayError:
            activity.logger.warning("%s/%s has no manifest and could not be removed", bucket, key)

    async def _manifest(
        self,
        request: TakeBackup,
        key: str,
        version: str,
        side: str,
        dumped: "Dumped",
        began: float,
        size: int,
    ) -> BackupTaken:
        manifest = manifest_key(request.backup.prefix, request.deployment, request.attempt_tag)
        taken = BackupTaken(
            key=key,
            manifest_key=manifest,
            sha256=dumped.packed.sha256,
            size=dumped.packed.size,
            taken_at=dumped.taken_at,
            database=request.database.name,
            side_database=side,
            server_version=dumped.server_version,
            schema_sha256=dumped.schema_sha256,
            tables=dumped.tables,
            restored_ok=True,
            seconds=time.monotonic() - began,
        )
        document = Manifest(
            backup=taken,
            deployment=request.deployment,
            requester=request.requester,
            attempt_tag=request.attempt_tag,
            plain_sha256=dumped.packed.plain_sha256,
            plain_size=dumped.packed.plain_size,
            version=version,
            sequences=[
                SequenceNoted(sequence=f"{one.schema}.{one.name}", last=one.last)
                for one in dumped.sequences
            ],
            database_size=size,
        )
        await self._store.put_new(request.backup.bucket, manifest, canonical(document))
        return taken
