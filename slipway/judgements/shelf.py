"""Backups in the bucket: whether one is what its manifest says, and what a run has left behind."""

import re
from datetime import datetime

from slipway.errors import BadInput
from slipway.judgements.backup import MARK, faults_of, is_ours, roles_key, short_id
from slipway.messages.backup import DatabaseIdentity, Manifest
from slipway.messages.reapply import RowFile
from slipway.messages.record import BackupTaken, Entry, Opening
from slipway.messages.shelf import FindBackup, ShelvedBackup
from slipway.plan import Database

_RESERVED = ("postgres", "template0", "template1")
_TAG = re.compile(r"^[a-z0-9]{1,12}$")
_KEPT = "kept"
"""Tag of a database that a rollback swapped out: it holds rows that are nowhere else."""


def shelved(manifest: Manifest, key: str, prefix: str, stored_at: datetime) -> ShelvedBackup:
    """Return a backup as its manifest, found under `key`, tells of it."""
    taken = manifest.backup
    return ShelvedBackup(
        manifest_key=key,
        stored_at=stored_at,
        key=taken.key,
        deployment=manifest.deployment,
        attempt_tag=manifest.attempt_tag,
        database=taken.database,
        requester=manifest.requester,
        taken_at=taken.taken_at,
        locked_until=manifest.locked_until,
        size=taken.size,
        rows=taken.rows,
        tables=len(taken.tables),
        server_version=taken.server_version,
        seconds=taken.seconds,
        not_covered=taken.not_covered,
        faults=faults_of(manifest, key, prefix, stored_at),
    )


def not_wanted(manifest: Manifest, wanted: FindBackup) -> list[str]:
    """Say why a manifest is not the backup that is wanted: another run's or database's, or not the
    one that the run's record names."""
    found = []
    if manifest.deployment != wanted.place.deployment:
        found.append(f"it is a backup of {manifest.deployment}")
    if wanted.database and manifest.backup.database != wanted.database.name:
        found.append(
            f"it is a backup of database {manifest.backup.database}, the plan names "
            f"{wanted.database.name}"
        )
    taken, recorded, whose = manifest.backup, wanted.recorded, wanted.place.deployment
    named = wanted.digests.get(taken.key, taken.sha256)
    if named != taken.sha256:
        found.append(
            f"the record of {whose} names the dump {named[:12]}…, the manifest {taken.sha256[:12]}…"
        )
    if recorded and recorded.manifest_key == taken.manifest_key and recorded != taken:
        found.append(f"the record of {whose} tells otherwise of its rows, schema or time")
    return found


def opening_of(entries: list[Entry]) -> Opening | None:
    """Return what a record was opened with; None where there is no record. Raises BadInput."""
    if not entries:
        return None
    try:
        return Opening.model_validate(entries[0].data)
    except ValueError:
        raise BadInput(
            "The record does not begin with its opening.",
            "Restore the first versions of its objects; the bucket keeps versions.",
        ) from None


def recorded_backup(entries: list[Entry]) -> BackupTaken | None:
    """Return the backup that a record names last as what the database goes back to."""
    for entry in reversed(entries):
        if entry.undo is not None and entry.undo.kind == "restore-database":
            return entry.undo.backup
    return None


def recorded_digests(entries: list[Entry]) -> dict[str, str]:
    """Return the SHA-256 of every dump that a record names, by key: as what the database goes back
    to, or in what was told when the run was approved or ended."""
    found = {}
    for entry in entries:
        status = entry.data.get("status")
        told = status.get("backup") if isinstance(status, dict) else None
        if isinstance(told, dict):
            found[str(told.get("key", ""))] = str(told.get("sha256", ""))
        if entry.undo is not None and entry.undo.kind == "restore-database":
            found[entry.undo.backup.key] = entry.undo.backup.sha256
    return found


def elsewhere(manifest: Manifest, here: DatabaseIdentity | None) -> list[str]:
    """Say it when a backup was taken of another database than the one of that name today."""
    if here is None or manifest.identity in (None, here):
        return []
    what = "server" if manifest.identity and manifest.identity.system != here.system else "database"
    return [f"It was taken of another {what}: {manifest.backup.database} was made anew since."]


def refused_name(name: str, database: Database) -> str:
    """Say why a backup may not be restored to a database of that name; empty when it may."""
    if name == database.name:
        return f"{name} is production's own name"
    if MARK in name:
        return f"names with {MARK} are slipway's own: such databases are dropped again"
    if name in _RESERVED:
        return f"{name} is PostgreSQL's own"
    return ""


def left_databases(names: list[str], database: str, deployment: str) -> list[str]:
    """Return the side databases of one run among `names`; never one that a rollback kept."""
    found = []
    for name in names:
        tail = name.rpartition(MARK)[2]
        run, _, tag = tail.partition("_")
        mine = is_ours(name, database) and run == short_id(deployment)
        if mine and _TAG.match(tag) and not tag.startswith(_KEPT):
            found.append(name)
    return found


def left_objects(
    keys: list[str], prefix: str, manifests: list[Manifest], deployment: str
) -> list[str]:
    """Return keys of dumps and roles in one run's name that none of its manifests names."""
    named = {one.backup.key for one in manifests}
    named |= {roles_key(key) for key in named}
    stem = re.escape(f"{prefix}prod-backup-")
    mine = re.compile(
        rf"^{stem}\d{{8}}-\d{{6}}-{short_id(deployment)}\.(dump\.zst(\.age)?|globals\.sql)$"
    )
    return [key for key in keys if mine.match(key) and key not in named]


def keeps(entries: list[Entry]) -> str:
    """Say why what a run left must stay; empty when it may go: the run changed nothing."""
    if any(entry.undo is not None for entry in entries):
        return (
            "The run may have changed production: its side databases are what a rollback needs. "
            "They go when its undo window ends."
        )
    return ""


def row_files(entries: list[Entry]) -> list[RowFile]:
    """Return the files in which the newest rollback of a run set rows aside, as its record names
    them. Raises BadInput for a file whose digest the record does not hold."""
    for entry in reversed(entries):
        told = entry.data.get("status")
        if not isinstance(told, dict) or not (told.get("conflict_file") or told.get("lost_file")):
            continue
        found = []
        for what in ("conflict", "lost"):
            key, digest = told.get(f"{what}_file"), told.get(f"{what}_sha256")
            if not key:
                continue
            try:
                found.append(RowFile(key=key, sha256=digest))
            except ValueError:
                raise BadInput(
                    f"The record names {str(key)[:200]} without its digest: an older slipway's.",
                    "Write its rows by hand; the database that was swapped out has them too.",
                ) from None
        return found
    return []
