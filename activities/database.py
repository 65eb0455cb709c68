"""Putting the database back to its backup without guessing: fence, compare, swap, count."""

import asyncio
from typing import TYPE_CHECKING

from temporalio import activity

from activities.heartbeat import Progress, current_progress
from slipway.errors import BackupNotRestorable
from slipway.judgements.backup import side_name
from slipway.messages.migration import DatabaseRolledBack, RollBackDatabase
from slipway.messages.record import TableFingerprint

if TYPE_CHECKING:
    from activities.adapters.object_store import ObjectStore
    from activities.adapters.postgres import Postgres
    from activities.adapters.postgres_lost import Lost
    from activities.adapters.postgres_swap import Note, Swapping


class DatabaseRollback:
    """Production's database, taken back."""

    def __init__(self, postgres: "Postgres", store: "ObjectStore") -> None:
        """`store` is read only when the side database is gone."""
        self._postgres = postgres
        self._store = store

    @activity.defn(name="database.roll_back")
    async def roll_back(self, request: RollBackDatabase) -> DatabaseRolledBack:
        """Fence, then prove that nothing changed, or swap to the side database.

        The same operation again returns the first result; one that was cut off is finished.
        Raises Fenced when a later decision came first, BackupNotRestorable when the backup
        itself no longer holds. Production is open whenever this returns or raises.
        """
        async with self._postgres.swapping(
            request.database, request.deployment, request.fence, request.op_id
        ) as work:
            note = await work.note()
            if note.result is not None:
                return DatabaseRolledBack.model_validate(note.result)
            await work.recover()
            result = await self._decide(request, work, note, current_progress())
            await work.finish(result.model_dump(mode="json"))
            return result

    async def _decide(
        self, request: RollBackDatabase, work: "Swapping", note: "Note", progress: Progress
    ) -> DatabaseRolledBack:
        if note.phase == "swapped":
            return await self._count_late(request, work, note)
        if request.only_if_changed:
            progress.say("comparing schema and ledger with the backup")
            unchanged = await self._unchanged(request)
            if unchanged is not None:
                return unchanged
        return await self._swap(request, work, progress)

    async def _unchanged(self, request: RollBackDatabase) -> DatabaseRolledBack | None:
        """Return the proof that schema and ledger are the backup's, or None when they are not."""
        state = await self._postgres.state(request.database, request.migrations.ledger)
        if state.schema_sha256 != request.backup.schema_sha256:
            return None
        if not await self._ledger_as_in(request):
            return None
        return DatabaseRolledBack(
            changed=False,
            schema_equal=True,
            rows_equal=True,
            because=f"Schema and migration ledger of {request.database.name} equal the backup's; "
            "no row was touched.",
        )

    async def _ledger_as_in(self, request: RollBackDatabase) -> bool:
        ledger = request.migrations.ledger
        then = [one for one in request.backup.tables if one.table == ledger]
        now = await self._postgres.fingerprint(request.database, ledger)
        return then == ([now] if now else [])

    async def _swap(
        self, request: RollBackDatabase, work: "Swapping", progress: Progress
    ) -> DatabaseRolledBack:
        progress.say("proving the side database")
        side = await self._proved_side(request, work, progress)
        await work.take_over_settings(side)
        database, ledger = request.database, request.migrations.ledger
        async with self._postgres.baseline(database, side, ledger) as noted:
            progress.say("swapping")
            note = await work.swap(side)
            progress.say("counting lost writes")
            await work.look_into(note.kept)
            lost = await self._postgres.lost(database, note.kept, noted)
        return await self._swapped(request, note, lost, "")

    async def _count_late(
        self, request: RollBackDatabase, work: "Swapping", note: "Note"
    ) -> DatabaseRolledBack:
        """The swap was done by an attempt that was cut off before it had counted."""
        await work.look_into(note.kept)
        database, ledger = request.database, request.migrations.ledger
        async with self._postgres.baseline(
            database, database.name, ledger, against=note.kept
        ) as noted:
            lost = await self._postgres.lost(database, note.kept, noted)
        late = " Counted after production was open again: rows written since may be missing in it."
        return await self._swapped(request, note, lost, late)

    async def _swapped(
        self, request: RollBackDatabase, note: "Note", lost: "Lost", remark: str
    ) -> DatabaseRolledBack:
        state = await self._postgres.state(request.database, request.migrations.ledger)
        rows = sum(one.rows for one in lost.tables)
        changed = f" {lost.changed} rows differ in content." if lost.changed else ""
        return DatabaseRolledBack(
            changed=True,
            schema_equal=state.schema_sha256 == request.backup.schema_sha256,
            rows_equal=True,  # proved before the swap, while nobody could write to it
            kept_as=note.kept,
            lost=lost.tables,
            outage=note.outage,
            because=f"{request.database.name} is the backup of {request.backup.taken_at:%H:%M:%S} "
            f"UTC again after {note.outage:.2f} s without writes; {rows} later rows are only in "
            f"{note.kept}.{changed}{remark}",
        )

    async def _proved_side(
        self, request: RollBackDatabase, work: "Swapping", progress: Progress
    ) -> str:
        """Return the name of a side database that equals the backup now, restored if need be."""
        backup = request.backup
        side = backup.side_database
        if await work.open_side(side) and not await self._unlike(request, side):
            return side
        side = side_name(request.database.name, request.deployment, "again")
        if await work.open_side(side) and not await self._unlike(request, side):
            return side
        progress.say("restoring from the bucket")
        await self._restore(request, side)
        await work.open_side(side)
        return side

    async def _unlike(self, request: RollBackDatabase, name: str) -> list[str]:
        backup = request.backup
        tables: list[TableFingerprint] = backup.tables
        return await self._postgres.differing(request.database, name, tables, backup.schema_sha256)

    async def _restore(self, request: RollBackDatabase, side: str) -> None:
        backup = request.backup
        async with self._postgres.copying(request.database, side) as work:
            packed = work.folder / "dump.zst"
            with await asyncio.to_thread(packed.open, "wb") as file:
                found = await self._store.download(request.bucket, backup.key, file)
            if found != backup.sha256:
                what = "is gone" if found is None else "was altered"
                raise BackupNotRestorable(
                    f"The side database is gone and {request.bucket}/{backup.key} {what}.",
                    "Look for another backup or an older version of the object.",
                )
            plain, _ = await work.expand(packed)
            await work.restore(plain, request.database.owner, backup.tables, backup.schema_sha256)
