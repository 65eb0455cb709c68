"""Backups that stand in the bucket: listed, read again to the last byte, restored elsewhere."""

import asyncio
import hashlib
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from temporalio import activity

from activities.backups import parsed
from activities.heartbeat import current_progress
from activities.kept import Found, Objects
from activities.scratch import scratch
from slipway.errors import BackupFailed, BackupNotRestorable, BadInput, SlipwayError
from slipway.judgements.backup import MANIFESTS, side_name
from slipway.judgements.database_ready import judge_room
from slipway.judgements.shelf import elsewhere, refused_name, shelved
from slipway.messages.backup import LARGEST_MANIFEST, Manifest
from slipway.messages.record import Place
from slipway.messages.shelf import (
    BackupList,
    FindBackup,
    ListBackups,
    RestoreBackup,
    RestoredBackup,
    ShelvedBackup,
    VerifiedBackup,
)

if TYPE_CHECKING:
    from activities.adapters.object_store import ObjectStore, Stored
    from activities.adapters.postgres.adapter import Postgres
    from activities.adapters.postgres.backup import Copying

_SIDE_BY_SIDE = 8
_SPARE = 64 * 1024 * 1024


class Shelf:
    """The backups of a bucket. Reads it only; restores beside production, never over it."""

    def __init__(self, postgres: "Postgres", store: "ObjectStore") -> None:
        """Both are used by the privileged worker only."""
        self._postgres = postgres
        self._store = store

    @activity.defn(name="backup.list")
    async def listing(self, request: ListBackups) -> BackupList:
        """List the newest backups by their manifests. What is no manifest is listed as such."""
        place = request.place
        listed = await self._store.listing(place.bucket, f"{place.prefix}{MANIFESTS}")
        newest = sorted(listed, key=lambda one: one.at, reverse=True)[: request.limit]
        limit = asyncio.Semaphore(_SIDE_BY_SIDE)

        async def one(stored: "Stored") -> ShelvedBackup:
            async with limit:
                return await self._listed(place, stored)

        return BackupList(backups=list(await asyncio.gather(*map(one, newest))))

    @activity.defn(name="backup.verify")
    async def verify(self, request: FindBackup) -> VerifiedBackup:
        """Read a backup's objects again, compare digests, let pg_restore read every byte.

        Says what is wrong instead of raising; raises BadInput when there is no such backup.
        """
        began = time.monotonic()
        found = await self._found(request)
        async with scratch("verify") as folder:
            faults = await self._faults(request, found, folder)
        return VerifiedBackup(
            backup=found.shelved,
            sound=not faults,
            faults=faults,
            notes=await self._notes(request, found),
            seconds=time.monotonic() - began,
        )

    @activity.defn(name="backup.restore_to")
    async def restore_to(self, request: RestoreBackup) -> RestoredBackup:
        """Restore a backup into a new database of production's server and prove that it equals the
        backup. An existing database is never touched; the same restore again is a success.

        Raises BackupNotRestorable, BadInput.
        """
        began = time.monotonic()
        found = await self._found(request.wanted)
        name, taken = request.name, found.manifest.backup
        why = refused_name(name, request.database)
        if why:
            raise BadInput(f"{why}.", "Choose another name.")
        tag = f"to{hashlib.sha256(name.encode()).hexdigest()[:8]}"
        side = side_name(request.database.name, found.manifest.deployment, tag)
        async with self._postgres.copying(request.database, side) as work:
            work.say = current_progress().say
            comment = f"restored by slipway from {found.bucket}/{taken.key} {taken.sha256}"
            if not await self._is_there(work, name, comment):
                await self._restore(request, found, work)
                await work.hand_over(name, request.database.owner, comment)
        return RestoredBackup(
            backup=found.shelved,
            name=name,
            rows=taken.rows,
            tables=len(taken.tables),
            seconds=time.monotonic() - began,
            notes=await self._notes(request.wanted, found),
        )

    async def _is_there(self, work: "Copying", name: str, comment: str) -> bool:
        stands = await work.taken_name(name)
        if stands not in (None, comment):
            raise BadInput(f"There is a database {name} already.", "Choose another name.")
        return stands is not None

    async def _restore(self, request: RestoreBackup, found: Found, work: "Copying") -> None:
        manifest = found.manifest
        await work.check_room()
        packed = work.folder / "dump.zst"
        faults = await Objects(self._store).faults(request.wanted, found, packed)
        if faults:
            raise BackupNotRestorable(
                f"{found.bucket}/{found.shelved.manifest_key} is no good backup: "
                f"{'; '.join(faults)}.",
                "Take another one: slipway backups list ENVIRONMENT",
            )
        identity = request.identity or manifest.backup.identity
        plain, digest = await work.expand(packed, identity)
        if digest != manifest.plain_sha256:
            raise BackupNotRestorable(
                "The dump unpacked is not what pg_dump wrote.", "Take another backup."
            )
        packed.unlink()
        noted = [(one.sequence, one.last, one.step) for one in manifest.sequences]
        sequences = noted if manifest.seal else []  # an older one does not know their direction
        await work.prove_as(plain, request.database.owner, manifest.backup, sequences)

    async def _listed(self, place: Place, stored: "Stored") -> ShelvedBackup:
        try:
            manifest = await self._manifest(place.bucket, stored.key)
        except SlipwayError as error:
            fault = error.what.rstrip(".")
            return ShelvedBackup(manifest_key=stored.key, stored_at=stored.at, faults=[fault])
        return shelved(manifest, stored.key, place.prefix, stored.at)

    async def _manifest(self, bucket: str, key: str) -> Manifest:
        content = await self._store.read(bucket, key, LARGEST_MANIFEST)
        return parsed(content or b"", f"{bucket}/{key}")

    async def _found(self, request: FindBackup) -> Found:
        place = request.place
        stem = f"{place.prefix}{MANIFESTS}{place.deployment}-{request.attempt_tag}"
        wanted = f"{stem}.json" if request.attempt_tag else stem
        listed = await self._store.listing(place.bucket, wanted)
        if not listed:
            raise BadInput(
                f"There is no backup of {place.deployment} in {place.bucket}/{place.prefix}.",
                f"Look which there are: slipway backups list {place.environment}",
            )
        newest = max(listed, key=lambda one: (one.at, one.key))
        manifest = await self._manifest(place.bucket, newest.key)
        return Found(manifest, shelved(manifest, newest.key, place.prefix, newest.at), place.bucket)

    async def _faults(self, request: FindBackup, found: Found, folder: Path) -> list[str]:
        manifest, packed = found.manifest, folder / "dump.zst"
        room = await self._postgres.files_room(manifest.backup.size + manifest.plain_size + _SPARE)
        lacking = [one for one in judge_room([room]) if one.severity == "block"]
        if lacking:
            raise BackupFailed(lacking[0].what, f"{lacking[0].remedy} Then retry.")
        faults = await Objects(self._store).faults(request, found, packed)
        if faults:
            return faults
        if manifest.backup.encrypted:
            return []
        current_progress().say("unpacking and reading all of it")
        try:
            plain = await self._postgres.read_whole(packed, folder / "plain.dump")
        except BackupNotRestorable as error:
            return [error.what.rstrip(".")]
        if plain != (manifest.plain_sha256, manifest.plain_size):
            return ["the dump unpacked is not what pg_dump wrote"]
        return []

    async def _notes(self, request: FindBackup, found: Found) -> list[str]:
        notes = [f"Not covered: {one}." for one in found.manifest.backup.not_covered]
        if found.manifest.backup.encrypted:
            notes.append(
                f"Encrypted to {len(found.manifest.recipients)} recipients: only the digest of "
                "what is stored was compared; what it holds was proved before it was encrypted."
            )
        if not found.manifest.seal:
            notes.append("The manifest is an older slipway's and carries no seal.")
        until = found.manifest.locked_until
        if until and until < datetime.now(UTC):
            notes.append(f"Its lock ended at {until:%Y-%m-%d %H:%M} UTC.")
        if request.database is not None:
            try:
                here = await self._postgres.identity(request.database)
            except SlipwayError as error:
                return [*notes, f"Whether production is the same was not seen: {error.what}"]
            notes += elsewhere(found.manifest, here)
        return notes
