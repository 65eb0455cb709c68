"""Putting the database back to its backup without guessing: fence, compare, swap, count."""

import asyncio
from contextlib import AsyncExitStack
from typing import TYPE_CHECKING

from temporalio import activity

from activities.heartbeat import Progress, current_progress
from slipway.errors import BackupNotRestorable, FallbackDiffers
from slipway.judgements.backup import side_name
from slipway.judgements.comparison import compared
from slipway.messages.migration import (
    DatabaseCompared,
    DatabaseRolledBack,
    RollBackDatabase,
    TableDifference,
)
from slipway.messages.record import TableFingerprint

if TYPE_CHECKING:
    from activities.adapters.fallback.aside import Written
    from activities.adapters.fallback.tail import Tail
    from activities.adapters.object_store import ObjectStore
    from activities.adapters.postgres.adapter import Postgres
    from activities.adapters.postgres.lost import Lost
    from activities.adapters.postgres.swap import Note, Swapping


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
            if note.result is None:
                await work.recover()
                result = await self._decide(request, work, note, current_progress())
                await work.finish(result.model_dump(mode="json"))
            else:
                result = DatabaseRolledBack.model_validate(note.result)
            if result.changed:  # last: until the result is noted, its conflicts are needed
                await self._postgres.retire_fallback(request.database, request.backup)
            return result

    @activity.defn(name="database.compare")
    async def compare(self, request: RollBackDatabase) -> DatabaseCompared:
        """Fence, then tell what production holds that the backup does not, and the other way, by
        table and key. Nothing is swapped, production stays open and keeps all of it.

        Raises Fenced, BackupNotRestorable.
        """
        progress = current_progress()
        async with self._postgres.swapping(
            request.database, request.deployment, request.fence, request.op_id
        ) as work:
            await work.recover()
            side = await self._proved_side(request, work, progress)
            database, ledger = request.database, request.migrations.ledger
            async with self._postgres.baseline(database, side, ledger) as noted:
                progress.say("comparing production with the backup")
                lost = await self._postgres.difference(database, side, noted)
                key = await self._write_down(request, lost, "since-backup.jsonl.zst")
        return DatabaseCompared(
            tables=lost.differences,
            side=side,
            key=key,
            because=_since(request, lost.differences, key),
        )

    async def _decide(
        self, request: RollBackDatabase, work: "Swapping", note: "Note", progress: Progress
    ) -> DatabaseRolledBack:
        if note.phase == "swapped":
            if request.lossless:
                return await self._followed_late(request, work, note)
            return await self._count_late(request, work, note)
        if request.only_if_changed:
            progress.say("comparing schema and ledger with the backup")
            unchanged = await self._unchanged(request)
            if unchanged is not None:
                return unchanged
        if request.lossless:
            return await self._swap_followed(request, work, progress)
        return await self._swap(request, work, progress)

    async def _unchanged(self, request: RollBackDatabase) -> DatabaseRolledBack | None:
        """Return the proof that schema and ledger are the backup's, or None when they are not."""
        if not await self._ledger_as_in(request):
            return None  # asked first: after a migration it spares a rollback the schema's dump
        state = await self._postgres.state(request.database, request.migrations.ledger)
        if state.schema_sha256 != request.backup.schema_sha256:
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

    async def _swap_followed(
        self, request: RollBackDatabase, work: "Swapping", progress: Progress
    ) -> DatabaseRolledBack:
        """Swap to the copy that has followed production, with every later write."""
        database, ledger = request.database, request.migrations.ledger
        async with AsyncExitStack() as stack:
            async with self._postgres.taking_over(
                database, request.backup, progress.say, accepted=request.accepted
            ) as tail:
                side = tail.side
                try:
                    await work.take_over_settings(side)
                    await tail.catch_up(request.catch_up, progress.say)
                    noted = await stack.enter_async_context(
                        self._postgres.baseline(database, side, ledger, unfollowed=True)
                    )
                    progress.say("swapping")
                    note = await work.swap(side, tail)
                except FallbackDiffers as error:
                    await work.open_side(side)  # perhaps it was found while both were closed
                    raise await self._shown(request, tail, error) from error
            await work.look_into(note.kept)
            lost = await self._postgres.lost(database, note.kept, noted)
            done = await self._followed(request, note, lost)
        return _noting(done, work.remarks)

    async def _shown(
        self, request: RollBackDatabase, tail: "Tail", error: FallbackDiffers
    ) -> FallbackDiffers:
        """Keep the rows that differ for the person who decides; production is open again."""
        if not request.folder:
            return error
        key = f"{request.folder}artefacts/differing.jsonl.zst"
        async with self._postgres.differing_rows(request.database, tail) as file:
            key = await self._store.put_beside(request.bucket, key, file)
        return FallbackDiffers(f"{error.what} These rows, in both: {key}.", error.remedy)

    async def _followed_late(
        self, request: RollBackDatabase, work: "Swapping", note: "Note"
    ) -> DatabaseRolledBack:
        """The swap was done by an attempt that was cut off before it had counted."""
        database, ledger = request.database, request.migrations.ledger
        await work.look_into(note.kept)
        async with self._postgres.baseline(
            database, database.name, ledger, against=note.kept, unfollowed=True
        ) as noted:
            lost = await self._postgres.lost(database, note.kept, noted)
            return await self._followed(request, note, lost)

    async def _followed(
        self, request: RollBackDatabase, note: "Note", lost: "Lost"
    ) -> DatabaseRolledBack:
        """After the swap: keep what the old schema could not take."""
        database, backup = request.database, request.backup
        async with self._postgres.conflict_file(database, note.kept) as written:
            key = f"{request.folder}artefacts/conflicts.jsonl.zst"
            if written.conflicts or written.aside:
                key = await self._store.put_beside(request.bucket, key, written.file)
            else:
                key = ""
        found = await self._postgres.comparison(database)
        state = await self._postgres.state(database, request.migrations.ledger)
        return DatabaseRolledBack(
            changed=True,
            schema_equal=state.schema_sha256 == backup.schema_sha256,
            rows_equal=True,  # compared before the swap, or a person knows what differs
            kept_as=note.kept,
            lost=lost.tables,
            outage=note.outage,
            followed=True,
            conflicts=written.conflicts,
            aside=written.aside,
            conflicts_key=key,
            conflicts_sha256=written.sha256 if key else "",
            lost_key=await self._write_down(request, lost),
            lost_sha256=lost.sha256,
            compared=list(found.tables.values()),
            because=f"{database.name} has its old schema again with {_carried(lost)}, after "
            f"{note.outage:.2f} s without writes; what was production is kept as {note.kept}."
            f"{_aside(written)} {compared(list(found.tables.values()), found.changes)}"[:2500],
        )

    async def _swap(
        self, request: RollBackDatabase, work: "Swapping", progress: Progress
    ) -> DatabaseRolledBack:
        """Swap to the backup itself, and write down what that loses."""
        await self._postgres.give_fallback_up(request.database, request.backup)
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
            done = await self._swapped(request, note, lost, "")
        return _noting(done, work.remarks)

    async def _count_late(
        self, request: RollBackDatabase, work: "Swapping", note: "Note"
    ) -> DatabaseRolledBack:
        """The swap was done by an attempt that was cut off before it had counted."""
        await work.look_into(note.kept)
        database, ledger = request.database, request.migrations.ledger
        late = " Counted after production was open again: rows written since may be missing in it."
        async with self._postgres.baseline(
            database, database.name, ledger, against=note.kept
        ) as noted:
            lost = await self._postgres.lost(database, note.kept, noted)
            return await self._swapped(request, note, lost, late)

    async def _swapped(
        self, request: RollBackDatabase, note: "Note", lost: "Lost", remark: str
    ) -> DatabaseRolledBack:
        key = await self._write_down(request, lost)
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
            lost_key=key,
            lost_sha256=lost.sha256,
            because=f"{request.database.name} is the backup of {request.backup.taken_at:%H:%M:%S} "
            f"UTC again after {note.outage:.2f} s without writes; {rows} later rows are only in "
            f"{note.kept}.{changed}{remark}",
        )

    async def _write_down(
        self, request: RollBackDatabase, lost: "Lost", name: str = "lost.jsonl.zst"
    ) -> str:
        """Keep the rows that differ; return where, empty where there are none."""
        if lost.file is None or not request.folder:
            return ""
        key = f"{request.folder}artefacts/{name}"
        return await self._store.put_beside(request.bucket, key, lost.file)

    async def _proved_side(
        self, request: RollBackDatabase, work: "Swapping", progress: Progress
    ) -> str:
        """Return the name of a side database that equals the backup now, restored if need be. Not
        the one that follows: it may equal the backup only until the next bad write arrives."""
        backup = request.backup
        if backup.fallback is None:
            side = await self._postgres.nearby(request.database, backup, progress.say)
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
            plain, _ = await work.expand(packed, backup.identity)
            await work.restore(plain, request.database.owner, backup.tables, backup.schema_sha256)


_MOST_TABLES = 6


def _since(request: RollBackDatabase, tables: list[TableDifference], key: str) -> str:
    """Say what going back to the backup would undo."""
    when = f"{request.backup.taken_at:%H:%M:%S} UTC"
    if not tables:
        return f"No row of {request.database.name} differs from the backup of {when}."
    largest = sorted(tables, key=lambda one: -(one.missing + one.changed + one.gone))
    said = [_words(one) for one in largest[:_MOST_TABLES]]
    if len(tables) > _MOST_TABLES:
        said.append(f"{len(tables) - _MOST_TABLES} more tables")
    where = f" (all of it: {key})" if key else ""
    return f"Since the backup of {when}{where}: {'; '.join(said)}."


def _words(one: TableDifference) -> str:
    counts = ((one.missing, "new"), (one.changed, "changed"), (one.gone, "removed"))
    numbers = ", ".join(f"{count:,} {word}" for count, word in counts if count)
    return f"{one.table} {numbers} ({', '.join(one.keys[:3])})"


def _aside(written: "Written") -> str:
    """Say what the old schema has not taken."""
    said = []
    if written.conflicts:
        said.append(f"{written.conflicts} rows did not fit the old schema as they were")
    if written.aside:
        said.append(f"{written.aside} rows have values for which it has no place")
    return f" {' and '.join(said)}: all are in the conflict file." if said else ""


def _carried(lost: "Lost") -> str:
    rows = sum(one.rows for one in lost.tables)
    missing = f" but {rows} rows of tables that do not follow" if rows else ""
    return f"every later write{missing}"


def _noting(done: DatabaseRolledBack, remarks: list[str]) -> DatabaseRolledBack:
    """Add what was not as it should be, such as what the swapped-in database lacks: a person makes
    it anew."""
    because = " ".join([done.because, *remarks])
    return done.model_copy(update={"because": because[:3000]})
