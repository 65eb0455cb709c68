"""The record of a deployment in the bucket: written once, read back whole, verified again."""

import asyncio
import re
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from pydantic import ValidationError
from temporalio import activity

from activities.heartbeat import current_progress
from slipway.digest import canonical
from slipway.errors import BadInput, RecordConflict
from slipway.messages.record import (
    Append,
    Appended,
    Artefact,
    ArtefactState,
    ArtefactStates,
    Attach,
    Entry,
    FindRecords,
    Place,
    ReadRecord,
    Record,
    RecordList,
    RecordSummary,
    VerifyArtefacts,
)

if TYPE_CHECKING:
    from activities.adapters.object_store import ObjectStore

_LARGEST_ENTRY = 4 * 1024 * 1024
_MOST_ENTRIES = 10_000
_SIDE_BY_SIDE = 8
_ENTRY = re.compile(
    r"^(\d{4,6})-(open|intent|done|artefact|undone|end)-[A-Za-z0-9._-]{1,200}\.json$"
)
_NAME = re.compile(r"^[A-Za-z0-9][A-Za-z0-9._-]{0,150}$")


class Records:
    """Records in the object store."""

    def __init__(self, store: "ObjectStore") -> None:
        """`store` holds the bucket that the plan names."""
        self._store = store

    @activity.defn(name="record.append")
    async def append(self, request: Append) -> Appended:
        """Write one entry. The same entry again is a success; another one with its sequence
        raises RecordConflict: somebody else is writing this record."""
        place, entry = request.place, request.entry
        if not _ENTRY.match(entry.name):
            raise BadInput(f"{entry.step!r} cannot name an entry of the record.")
        content = canonical(entry)
        key = place.folder + entry.name
        await self._refuse_rivals(place, entry)
        digest = await self._store.put_new(place.bucket, key, content)
        await self._refuse_rivals(place, entry)
        return Appended(
            key=key, sha256=digest, size=len(content), at=await self._at(place.bucket, key)
        )

    async def _refuse_rivals(self, place: Place, entry: Entry) -> None:
        prefix = f"{place.folder}{entry.sequence:04d}-"
        for one in await self._store.listing(place.bucket, prefix):
            if one.key != place.folder + entry.name:
                raise RecordConflict(
                    f"{place.bucket}/{one.key} already has the number of {entry.name}.",
                    "Look at who else writes this record; only one run may.",
                )

    @activity.defn(name="record.read")
    async def read(self, request: ReadRecord) -> Record:
        """Read a whole record, in order of sequence. Raises BadInput for an entry that is none."""
        place = request.place
        keys = [key for key, _, _ in await self._entries(place)]
        limit = asyncio.Semaphore(_SIDE_BY_SIDE)

        async def one(key: str) -> Entry:
            async with limit:
                return await self._entry(place, key)

        return Record(place=place, entries=list(await asyncio.gather(*map(one, keys))))

    @activity.defn(name="record.find")
    async def find(self, request: FindRecords) -> RecordList:
        """List the newest records of an environment. Deployment IDs sort by their time."""
        place = request.place
        root = f"{place.prefix}records/{place.environment}/"
        names = sorted(await self._store.folders(place.bucket, root), reverse=True)
        found: list[RecordSummary] = []
        for name in names:
            if len(found) == request.limit:
                break
            summary = await self._summary(place.model_copy(update={"deployment": name}))
            found += [summary] if summary else []
        return RecordList(records=found)

    async def _summary(self, place: Place) -> RecordSummary | None:
        """None: a folder without an entry. Some stores still list it when all in it is deleted."""
        entries = await self._entries(place)
        if not entries:
            return None
        ends = [key for key, _, kind in entries if kind == "end"]
        outcome = ""
        if ends:
            outcome = str((await self._entry(place, ends[-1])).data.get("outcome", ""))
        return RecordSummary(deployment=place.deployment, ended=bool(ends), outcome=outcome)

    async def _entries(self, place: Place) -> list[tuple[str, int, str]]:
        """Keys of the record's entries with sequence and kind; other objects are left out."""
        found = []
        for one in await self._store.listing(place.bucket, place.folder, _MOST_ENTRIES):
            match = _ENTRY.match(one.key.removeprefix(place.folder))
            if match is not None:
                found.append((one.key, int(match.group(1)), match.group(2)))
        return sorted(found, key=lambda entry: (entry[1], entry[0]))

    async def _entry(self, place: Place, key: str) -> Entry:
        content = await self._store.read(place.bucket, key, _LARGEST_ENTRY)
        try:
            entry = Entry.model_validate_json(content or b"")
        except ValidationError as error:
            raise BadInput(
                f"{place.bucket}/{key} is no entry of a record ({error.error_count()} faults).",
                "Restore the object's first version; the bucket keeps versions.",
            ) from None
        if place.folder + entry.name != key:
            raise BadInput(
                f"{place.bucket}/{key} holds the entry {entry.name}.",
                "Restore the object's first version; the bucket keeps versions.",
            )
        return entry

    @activity.defn(name="record.attach")
    async def attach(self, request: Attach) -> Artefact:
        """Keep an artefact beside the record. The same content again is a success."""
        place, content = request.place, request.content.encode()
        if not _NAME.match(request.name) or len(content) > _LARGEST_ENTRY:
            raise BadInput(f"{request.name[:60]!r} cannot be kept: bad name or over 4 MiB.")
        key = f"{place.folder}artefacts/{request.name}"
        digest = await self._store.put_new(place.bucket, key, content, request.media_type)
        return Artefact(
            name=request.name,
            key=key,
            sha256=digest,
            size=len(content),
            at=await self._at(place.bucket, key),
        )

    async def _at(self, bucket: str, key: str) -> datetime:
        stands = await self._store.head(bucket, key)
        return stands.at if stands else datetime.now(UTC)

    @activity.defn(name="record.verify")
    async def verify(self, request: VerifyArtefacts) -> ArtefactStates:
        """Read artefacts (and dumps) again, every byte, and compare their digests."""
        progress = current_progress()
        states = []
        for one in request.artefacts:
            progress.say(f"reading {one.key}")
            states.append(await self._state(request.place, one))
        return ArtefactStates(states=states)

    async def _state(self, place: Place, artefact: Artefact) -> ArtefactState:
        key = artefact.key
        if not key.startswith(place.prefix) or ".." in key.split("/"):
            raise BadInput(f"{key[:200]!r} is not below {place.prefix}.")
        found = await self._store.sha256_of(place.bucket, key)
        if found is None:
            return ArtefactState(key=key, intact=False, because=f"{key} is gone.")
        if found != (artefact.sha256, artefact.size):
            because = f"{key} was altered: {found[1]} bytes with digest {found[0][:12]}."
            return ArtefactState(key=key, intact=False, because=because)
        return ArtefactState(
            key=key, intact=True, because=f"{key} stands as written, {found[1]} bytes."
        )
