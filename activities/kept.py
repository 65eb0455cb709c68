"""The objects of a kept backup, compared with its manifest."""

import asyncio
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from activities.heartbeat import current_progress
from slipway.judgements.shelf import not_wanted
from slipway.messages.backup import KeptObject, Manifest
from slipway.messages.shelf import FindBackup, ShelvedBackup

if TYPE_CHECKING:
    from activities.adapters.object_store import ObjectStore, Stored


@dataclass(frozen=True)
class Found:
    """A manifest that was read, and how the backup stands by it."""

    manifest: Manifest
    shelved: ShelvedBackup
    bucket: str


class Objects:
    """Reads a backup's objects again."""

    def __init__(self, store: "ObjectStore") -> None:
        self._store = store

    async def faults(self, request: FindBackup, found: Found, packed: Path) -> list[str]:
        """Compare the objects with the manifest, and both with what is wanted; leaves the dump
        in `packed`. Nothing of a backup that is not the wanted one is downloaded."""
        manifest, taken = found.manifest, found.manifest.backup
        faults = [*found.shelved.faults, *not_wanted(manifest, request)]
        if faults:
            return faults
        dump = KeptObject(
            key=taken.key, sha256=taken.sha256, size=taken.size, version=manifest.version
        )
        for one in (dump, manifest.roles):
            faults += await self._standing(found, one) if one else []
        if faults:
            return faults
        if manifest.roles is not None:
            roles = manifest.roles
            if await self._store.sha256_of(found.bucket, roles.key) != (roles.sha256, roles.size):
                faults.append(f"{roles.key} was altered")
        current_progress().say(f"downloading {taken.key}")
        with await asyncio.to_thread(packed.open, "wb") as file:
            digest = await self._store.download(found.bucket, taken.key, file)
        if digest != taken.sha256:
            faults.append(f"{taken.key} was altered")
        return faults

    async def _standing(self, found: Found, one: KeptObject) -> list[str]:
        """Say whether an object is there, is the one that was written, and is locked still."""
        newest = await self._store.head(found.bucket, one.key)
        pinned = await self._store.head(found.bucket, one.key, one.version)
        if newest is None:
            there = f"; its version {one.version} still stands" if pinned and one.version else ""
            return [f"{one.key} is gone{there}"]
        if one.version and newest.version != one.version:
            there = f"; version {one.version}, which was proved, still stands" if pinned else ""
            return [f"{one.key} was replaced by version {newest.version}{there}"]
        if newest.size != one.size:
            return [f"{one.key} has {newest.size} bytes instead of {one.size}"]
        until, now = found.manifest.locked_until, datetime.now(UTC)
        if until and until > now and (pinned is None or not _locked(pinned, until)):
            return [f"{one.key} is not locked until {until:%Y-%m-%d %H:%M} UTC as it should be"]
        return []


def _locked(stored: "Stored", until: datetime) -> bool:
    at = stored.locked_until
    return at is not None and (until - at).total_seconds() <= 1  # servers keep whole seconds
