"""A look at the bucket: its protection, slipway's rights, how fast backups are made."""

from typing import TYPE_CHECKING

from pydantic import ValidationError

from slipway.errors import BackupFailed
from slipway.judgements import bucket as judgement
from slipway.judgements.backup import MANIFESTS
from slipway.judgements.restore_server import judge_price
from slipway.messages.backup import LARGEST_MANIFEST, Manifest
from slipway.messages.preflight import Finding
from slipway.plan import Plan

if TYPE_CHECKING:
    from activities.adapters.object_store import ObjectStore


class BucketLook:
    """Reads, but for one object of a few bytes that is removed again (`try_rights`)."""

    def __init__(self, store: "ObjectStore", plan: Plan) -> None:
        self._store = store
        self._plan = plan

    async def protection(self) -> list[Finding]:
        """Return what is wrong with the bucket and with the rights of slipway's key in it."""
        backup = self._plan.backup
        standing = await self._store.standing(backup.bucket, backup.prefix)
        if standing is None:
            return judgement.no_bucket(backup.bucket)
        found = judgement.judge_actions(backup, standing.refused)
        if "s3:GetBucketVersioning" not in standing.refused:
            found += judgement.judge_protection(
                backup.bucket,
                versioned=standing.versioned,
                locks=standing.locks or "s3:GetBucketObjectLockConfiguration" in standing.refused,
            )
        if standing.lock_ignored:
            found += judgement.lock_ignored(backup.bucket)
        return found

    async def pace(self, size: int) -> list[Finding]:
        """Return whether dump and proof of a database of `size` bytes fit into the age limit, and
        what a rollback takes longer where the copies are on another server."""
        plan = self._plan
        earlier, key = await self._earlier()
        found = judgement.judge_pace(size, earlier, plan.scale(plan.backup.max_age), key)
        if plan.database.restore_server:
            found.append(judge_price(size, earlier, key))
        return found

    async def _earlier(self) -> tuple[tuple[float, int] | None, str]:
        """Seconds and bytes of the newest backup below the prefix, and its key."""
        bucket = self._plan.backup.bucket
        listed = await self._store.listing(bucket, f"{self._plan.backup.prefix}{MANIFESTS}")
        if not listed:
            return None, ""
        newest = max(listed, key=lambda one: one.at)
        content = await self._store.read(bucket, newest.key, LARGEST_MANIFEST)
        try:
            manifest = Manifest.model_validate_json(content or b"")
        except ValidationError:
            raise BackupFailed(
                f"{bucket}/{newest.key} is no manifest of a backup.",
                "Look at who wrote it and move it away.",
            ) from None
        return (manifest.backup.seconds, manifest.database_size), manifest.backup.key
