"""What a run that changed nothing has left: side databases, objects that are no backup."""

from typing import TYPE_CHECKING

from temporalio import activity

from activities.backups import parsed
from activities.heartbeat import current_progress
from activities.record import Records
from slipway.errors import SlipwayError
from slipway.judgements import shelf as judgement
from slipway.judgements.backup import MANIFESTS
from slipway.messages.backup import LARGEST_MANIFEST, Manifest
from slipway.messages.record import Place, ReadRecord
from slipway.messages.shelf import Tidied, TidyRun

if TYPE_CHECKING:
    from activities.adapters.object_store import ObjectStore
    from activities.adapters.postgres.adapter import Postgres


class Janitor:
    """Clears up after a run, by that run's name alone."""

    def __init__(self, postgres: "Postgres", store: "ObjectStore") -> None:
        """Both are used by the privileged worker only."""
        self._postgres = postgres
        self._store = store
        self._records = Records(store)

    @activity.defn(name="backup.tidy")
    async def tidy(self, request: TidyRun) -> Tidied:
        """Drop what a run left. A run whose record names a change keeps everything; a backup keeps
        its objects always. May be repeated."""
        record = await self._records.read(ReadRecord(place=request.place))
        why = judgement.keeps(record.entries)
        if why:
            return Tidied(left=[why])
        say = current_progress().say
        say("ending replication slots")
        slots = await self._postgres.end_slots(request.database, request.place.deployment)
        say("dropping side databases")
        databases, left = await self._databases(request)
        say("removing objects that are no backup")
        objects, locked = await self._objects(request.place)
        objects += await self._uploads(request.place)
        return Tidied(slots=slots, databases=databases, objects=objects, left=left + locked)

    async def _databases(self, request: TidyRun) -> tuple[list[str], list[str]]:
        database, deployment = request.database, request.place.deployment
        gone, left = [], []
        names = await self._postgres.copies_of(database)
        for name in judgement.left_databases(names, database.name, deployment):
            try:
                if await self._postgres.drop_side(database, name):
                    gone.append(name)
            except SlipwayError as error:
                left.append(f"{name}: {error.what}")
        return gone, left

    async def _objects(self, place: Place) -> tuple[list[str], list[str]]:
        gone, left = [], []
        listed = await self._store.listing(place.bucket, f"{place.prefix}prod-backup-")
        keys = [one.key for one in listed]
        mine = judgement.left_objects(
            keys, place.prefix, await self._manifests(place), place.deployment
        )
        for key in mine:
            stands = await self._store.head(place.bucket, key)
            if stands is None:
                continue
            if stands.locked_until is not None:
                left.append(f"{key} is locked until {stands.locked_until:%Y-%m-%d %H:%M} UTC")
                continue
            await self._store.delete_in_the_end(place.bucket, key, stands.version)
            gone.append(key)
        return gone, left

    async def _uploads(self, place: Place) -> list[str]:
        """Where they may not be listed, the bucket's own rule for unfinished uploads drops them."""
        try:
            begun = await self._store.unfinished(place.bucket, f"{place.prefix}prod-backup-")
        except SlipwayError:
            return []
        keys = [key for key, _ in begun]
        mine = set(judgement.left_objects(keys, place.prefix, [], place.deployment))
        for key, upload in begun:
            if key in mine:
                await self._store.give_up(place.bucket, key, upload)
        return [f"{key} (half uploaded)" for key in sorted(mine)]

    async def _manifests(self, place: Place) -> list[Manifest]:
        stem = f"{place.prefix}{MANIFESTS}{place.deployment}-"
        found = []
        for one in await self._store.listing(place.bucket, stem):
            content = await self._store.read(place.bucket, one.key, LARGEST_MANIFEST)
            found.append(parsed(content or b"", f"{place.bucket}/{one.key}"))
        return found
