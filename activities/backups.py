"""The mandatory backup: taken, proved to restore, stored, locked."""

import time
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from pydantic import ValidationError
from temporalio import activity

from activities.heartbeat import Progress, current_progress
from activities.storing import Proved, Storing
from slipway.errors import BackupFailed
from slipway.judgements.backup import faults_of, foreign_to, manifest_key, side_name, slot_name
from slipway.messages.backup import LARGEST_MANIFEST, Manifest, TakeBackup
from slipway.messages.record import BackupTaken

if TYPE_CHECKING:
    from activities.adapters.object_store import ObjectStore
    from activities.adapters.postgres.adapter import Postgres
    from activities.adapters.postgres.backup import Copying


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
        async with self._postgres.proving(request.database, name) as work:
            return await self._take(request, work, progress)

    async def _finished(self, request: TakeBackup) -> BackupTaken | None:
        """Return what an earlier attempt has finished, if it is this database's and whole."""
        bucket, tag = request.backup.bucket, request.attempt_tag
        key = manifest_key(request.backup.prefix, request.deployment, tag)
        content = await self._store.read(bucket, key, LARGEST_MANIFEST)
        if content is None:
            return None
        manifest = parsed(content, f"{bucket}/{key}")
        foreign = foreign_to(manifest, request.deployment, tag, request.database.name)
        if not foreign and manifest.identity is not None:
            here = await self._postgres.identity(request.database)
            if here not in (None, manifest.identity):
                foreign = f"it is of another database that was called {request.database.name}"
        faults = [foreign] if foreign else []
        faults += faults_of(manifest, key, request.backup.prefix, datetime.now(UTC))
        if faults:
            raise BackupFailed(
                f"{bucket}/{key} stands where this backup's manifest belongs, but "
                f"{'; '.join(faults)}.",
                "Look at who wrote it and move it away.",
            )
        return manifest.backup

    async def _take(self, request: TakeBackup, work: "Copying", progress: Progress) -> BackupTaken:
        began = time.monotonic()
        work.say = progress.say
        await work.check_room()
        size = await work.database_size()
        slot = slot_name(request.deployment, request.attempt_tag) if request.follow else ""
        asked = datetime.now(UTC)
        async with work.tapped(slot, request.follow) as tap:
            dumped = await work.dump(
                snapshot=tap.snapshot if tap else None, taken_at=asked if tap else None
            )
        progress.say("reading the dump back")
        plain = await work.read_back(dumped.packed)
        not_covered = await work.prove(plain, request.database.owner, dumped)
        plain.unlink()
        if tap is not None:
            await work.follow_from(tap, request.deployment, request.follow)
        recipients = request.backup.recipients
        stored = await work.encrypt(dumped.packed, recipients) if recipients else dumped.packed
        roles, fallback = await work.roles(), (work.fallback, work.no_fallback)
        proved = Proved(work.name, dumped, stored, size, not_covered, roles, began, *fallback)
        return await Storing(self._store, request, progress.say, work.hold).store(proved)


def parsed(content: bytes, where: str) -> Manifest:
    """Return a manifest. Raises BackupFailed for anything else."""
    try:
        return Manifest.model_validate_json(content)
    except ValidationError:
        raise BackupFailed(
            f"{where} is no manifest of a backup.", "Look at who wrote it and move it away."
        ) from None
