"""Short workflows behind `slipway backups`: what stands in the bucket, whether it is good, and
rows that a rollback of the database has set aside."""

from temporalio import workflow

with workflow.unsafe.imports_passed_through():
    from activities.reapply import Reapply
    from activities.record import Records
    from activities.shelf import Shelf
    from activities.tidying import Janitor
    from slipway import names
    from slipway.errors import BadInput
    from slipway.judgements.shelf import (
        opening_of,
        recorded_backup,
        recorded_digests,
        row_files,
    )
    from slipway.messages.reapply import Reapplied, ReapplyFiles, ReapplyRequest
    from slipway.messages.record import Append, Entry, Place, ReadRecord, Record
    from slipway.messages.shelf import (
        BackupList,
        BackupRequest,
        FindBackup,
        ListBackups,
        RestoreBackup,
        RestoredBackup,
        Tidied,
        TidyRun,
        VerifiedBackup,
    )
    from slipway.plan import Database

from workflows.calls import Call, start_activity
from workflows.options import LONG, READ, RECORD


@workflow.defn(name=names.LIST_BACKUPS_TYPE)
class ListKeptBackups:
    """Which backups stand in a bucket."""

    @workflow.run
    async def run(self, request: ListBackups) -> BackupList:
        """Return backups, newest first."""
        found: BackupList = await start_activity(Call(Shelf.listing, request, READ, "list backups"))
        return found


@workflow.defn(name=names.VERIFY_BACKUP_TYPE, failure_exception_types=[BadInput])
class VerifyKeptBackup:
    """Read a backup to its last byte."""

    @workflow.run
    async def run(self, request: BackupRequest) -> VerifiedBackup:
        """Return whether it is what its manifest and the run's record say."""
        found: VerifiedBackup = await start_activity(
            Call(Shelf.verify, await _wanted(request), LONG, "read a backup to its last byte")
        )
        return found


@workflow.defn(name=names.RESTORE_BACKUP_TYPE, failure_exception_types=[BadInput])
class RestoreKeptBackup:
    """Restore a backup into a new database beside production."""

    @workflow.run
    async def run(self, request: BackupRequest) -> RestoredBackup:
        """Return what was restored and proved."""
        wanted = await _wanted(request)
        restore = RestoreBackup(
            wanted=wanted, database=_database(wanted), name=request.name, identity=request.identity
        )
        done: RestoredBackup = await start_activity(
            Call(Shelf.restore_to, restore, LONG, f"restore a backup to {request.name}")
        )
        return done


@workflow.defn(name=names.TIDY_TYPE, failure_exception_types=[BadInput])
class TidyBackups:
    """Drop what a run that changed nothing has left."""

    @workflow.run
    async def run(self, request: BackupRequest) -> Tidied:
        """Return what is gone, and what was left and why."""
        database = _database(await _wanted(request))
        tidy = TidyRun(place=request.place, database=database)
        done: Tidied = await start_activity(Call(Janitor.tidy, tidy, LONG, "tidy up after a run"))
        return done


@workflow.defn(name=names.REAPPLY_TYPE, failure_exception_types=[BadInput])
class ReapplyRows:
    """Write rows again that a rollback of the database has set aside."""

    @workflow.run
    async def run(self, request: ReapplyRequest) -> Reapplied:
        """Try all of them; write them where that is asked for, between two entries of the record
        that say who asked and why, what was to be expected and what came of it."""
        record = await _record(request.place)
        opening = opening_of(record.entries)
        if opening is None:
            raise BadInput(f"There is no record of {request.place.deployment}.", "Check the ID.")
        files = ReapplyFiles(
            place=request.place,
            database=opening.plan.database,
            ledger=opening.plan.migrations.ledger,
            files=row_files(record.entries),
            overwrite=request.overwrite,
            chosen=request.chosen,
        )
        tried: Reapplied = await start_activity(
            Call(Reapply.reapply, files, LONG, "try to write rows again")
        )
        if not (request.apply and files.files):
            return tried
        number = record.entries[-1].sequence + 1
        which = f"Rows ({request.chosen})" if str(request.chosen) else "Rows"
        why = f"{request.person}: {request.reason}"
        await _note(request.place, number, f"{which} are written again. {why}", tried)
        order = files.model_copy(update={"apply": True, "fence": tried.fence})
        done: Reapplied = await start_activity(
            Call(Reapply.reapply, order, LONG, "write rows again")
        )
        await _note(request.place, number + 1, f"{which} were written again. {why}", done)
        return done


async def _note(place: Place, number: int, because: str, seen: Reapplied) -> None:
    data = {"reapply": seen.model_dump(mode="json", exclude={"unwritten"})}
    entry = Entry(
        sequence=number, kind="artefact", step="reapply", because=because[:1000], data=data
    )
    await start_activity(
        Call(Records.append, Append(place=place, entry=entry), RECORD, "record: rows written again")
    )


async def _record(place: Place) -> Record:
    found: Record = await start_activity(
        Call(Records.read, ReadRecord(place=place), READ, "read the record")
    )
    return found


async def _wanted(request: BackupRequest) -> FindBackup:
    """Complete what is wanted by what stands in the deployment's record."""
    record = await _record(request.place)
    opening = opening_of(record.entries)
    return FindBackup(
        place=request.place,
        attempt_tag=request.attempt_tag,
        database=opening.plan.database if opening else request.database,
        recorded=recorded_backup(record.entries),
        digests=recorded_digests(record.entries),
    )


def _database(wanted: FindBackup) -> Database:
    if wanted.database is None:
        raise BadInput(
            f"There is no record of {wanted.place.deployment} that names its database.",
            "Add --plan PLAN (and --overlay FILE where one was used).",
        )
    return wanted.database
