"""Backups: how they are named, and whether a copy equals its source."""

import hashlib
import re
from datetime import UTC, datetime, timedelta

from slipway.digest import sha256_of
from slipway.messages.backup import Manifest
from slipway.messages.record import TableFingerprint

MARK = "_slipway_"
"""Every database slipway makes has this in its name."""
SLOTS = "slipway_"
"""Every replication slot and publication slipway makes begins with this."""
LARGE_OBJECTS = "pg_catalog.pg_largeobject_metadata"
"""Under this name all large objects together stand among a backup's tables."""
MANIFESTS = "manifests/"
"""Below the plan's prefix: one object a backup."""
_LONGEST = 63
_DUMP, _AGE = ".dump.zst", ".age"
_CLOCKS = timedelta(minutes=5)
"""By so much the clocks of worker and object store may differ."""
_IDENTITY = re.compile(r"ALTER TABLE (ONLY )?\S.* REPLICA IDENTITY (FULL|NOTHING|USING INDEX .+);")
_VOLATILE = (r"\restrict ", r"\unrestrict ", "-- Dumped from database", "-- Dumped by pg_dump")


def short_id(deployment: str) -> str:
    """Return the last part of a deployment's ID, fit for names: `production-…-3fa9c1` → `3fa9c1`.

    Raises ValueError when nothing is left.
    """
    last = re.sub(r"[^a-z0-9]", "", deployment.rsplit("-", 1)[-1].lower())[:12]
    if not last:
        raise ValueError(f"deployment {deployment!r} has no usable ID at its end")
    return last


def side_name(database: str, deployment: str, tag: str) -> str:
    """Return the name of a copy of a database, at most 63 characters."""
    clean = re.sub(r"[^a-z0-9]", "", tag.lower())[:12] or "1"
    tail = f"{MARK}{short_id(deployment)}_{clean}"
    return database[: _LONGEST - len(tail)] + tail


_HOME = "h"


def home_name(side: str) -> str:
    """Return the name of a copy on production's server that was fetched from another one, where it
    is called `side`; at most 63 characters."""
    head, mark, tail = side.partition(MARK)
    return head[: _LONGEST - len(mark + tail + _HOME)] + mark + tail + _HOME


def slot_name(deployment: str, tag: str) -> str:
    """Return the name of a fallback's replication slot, which is also its publication's."""
    clean = re.sub(r"[^a-z0-9]", "", tag.lower())[:12] or "1"
    return f"{slots_of(deployment)}{clean}"


def slots_of(deployment: str) -> str:
    """Return how the names of all slots of a deployment begin."""
    return f"{SLOTS}{short_id(deployment)}_"


def is_ours(name: str, database: str) -> bool:
    """Whether a name is one that slipway gives to copies of this database."""
    head, mark, tail = name.partition(MARK)
    whole = head == database or (len(name) == _LONGEST and database.startswith(head))
    return bool(mark and tail and head) and whole


def dump_key(prefix: str, taken_at: datetime, deployment: str, *, encrypted: bool = False) -> str:
    """Return the object key of a dump: `production/prod-backup-20261123-202134-3fa9c1.dump.zst`,
    with `.age` at its end where it is encrypted."""
    stamp = taken_at.astimezone(UTC).strftime("%Y%m%d-%H%M%S")
    return f"{prefix}prod-backup-{stamp}-{short_id(deployment)}{_DUMP}{_AGE * encrypted}"


def manifest_key(prefix: str, deployment: str, tag: str) -> str:
    """Return the object key of a backup's manifest: one a deployment and attempt."""
    clean = re.sub(r"[^A-Za-z0-9]", "", tag) or "1"
    return f"{prefix}{MANIFESTS}{deployment}-{clean}.json"


def roles_key(dump: str) -> str:
    """Return the object key of roles and grants, beside a dump's."""
    return f"{dump.removesuffix(_AGE).removesuffix(_DUMP)}.globals.sql"


def sealed(manifest: Manifest) -> Manifest:
    """Return a manifest with the digest of everything else in it."""
    return manifest.model_copy(update={"seal": _seal_of(manifest)})


def _seal_of(manifest: Manifest) -> str:
    return sha256_of(manifest.model_copy(update={"seal": ""}))


def faults_of(manifest: Manifest, key: str, prefix: str, stored_at: datetime) -> list[str]:
    """Say what in a manifest, found under `key` and stored at an instant, cannot be true.

    An empty list means that it is whole and stands where it belongs; of the objects that it names
    it says nothing.
    """
    taken = manifest.backup
    found = []
    if manifest.seal and manifest.seal != _seal_of(manifest):
        found.append("the manifest was altered after it was written")
    if not manifest.seal and manifest.identity is not None:
        found.append("the manifest's seal was removed")
    wanted = manifest_key(prefix, manifest.deployment, manifest.attempt_tag)
    if not key == taken.manifest_key == wanted:
        found.append(f"the manifest belongs at {wanted}")
    try:
        dump = dump_key(prefix, taken.taken_at, manifest.deployment, encrypted=taken.encrypted)
    except ValueError as error:
        return [*found, str(error)]
    if taken.key != dump:
        found.append(f"it names the dump {taken.key}, its own would be {dump}")
    if manifest.roles is not None and manifest.roles.key != roles_key(dump):
        found.append(f"it names the roles {manifest.roles.key}, its own would be beside {dump}")
    if taken.taken_at > stored_at + _CLOCKS:
        found.append("it was stored before its snapshot was taken")
    if taken.encrypted != bool(manifest.recipients):
        found.append("it does not say to whom its dump is encrypted")
    if not taken.restored_ok:
        found.append("its dump was not proved to restore")
    return found


_UNCOVERED = {
    "foreign table": "its rows lie elsewhere",
    "extension table": "its rows are its extension's and are not compared",
    "cycling sequence": "how far it has come is not compared",
    "prepared transaction": "it was not committed at the snapshot",
    "subscription": "a copy subscribes to nothing",
    "materialized view": "the restore refreshes it, and its rows were older",
}
"""What a dump carries in part or not at all, and why."""
_NAMED = 20


def not_covered(found: list[tuple[str, str]]) -> list[str]:
    """Return a phrase for each kind and name that a proof does not speak for; of many of one kind
    the first and how many more."""
    said = []
    for kind, why in _UNCOVERED.items():
        names = sorted(name for one, name in found if one == kind)
        said += [f"{kind} {name}: {why}" for name in names[:_NAMED]]
        if len(names) > _NAMED:
            said.append(f"{kind}: {len(names) - _NAMED} more")
    return said


def behind(
    noted: list[tuple[str, int, int]], found: list[tuple[str, int]], most: int = 5
) -> list[str]:
    """Say which sequences of a copy are behind what was noted when the snapshot was taken, and
    would give out numbers again. `noted`: name, last number, step; `found`: name, last number.

    A copy may be ahead: a dump reads sequences as they are when it comes to them.
    """
    have = dict(found)
    said = []
    for name, last, step in noted:
        here = have.get(name)
        if here is None:
            said.append(f"sequence {name} was never used there, it should stand at {last}")
        elif (last - here) * step > 0:
            said.append(f"sequence {name} stands at {here} instead of {last}")
    return said[:most] + ([f"and {len(said) - most} more"] if len(said) > most else [])


def foreign_to(manifest: Manifest, deployment: str, tag: str, database: str) -> str:
    """Say whose a manifest is when it is not this deployment's of this database; else nothing."""
    clean = [re.sub(r"[^A-Za-z0-9]", "", one) for one in (manifest.attempt_tag, tag)]
    if (manifest.deployment, clean[0]) != (deployment, clean[1]):
        return f"it is attempt {manifest.attempt_tag} of {manifest.deployment}"
    if manifest.backup.database != database:
        return f"it is of database {manifest.backup.database}"
    return ""


def schema_sha256(text: str) -> str:
    """Return the digest of a schema dump without what differs between two dumps of one schema."""
    return _digest(schema_lines(text))


def schema_digests(text: str) -> tuple[str, str]:
    """Return a schema's digest, and the one that a backup of an older slipway has of it."""
    return schema_sha256(text), _digest(_stable_lines(text))


def _digest(lines: list[str]) -> str:
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()


def schema_lines(text: str) -> list[str]:
    """Return the lines of a schema dump without what differs between two dumps of one schema, and
    without what identifies rows in the log: slipway changes that while a copy follows."""
    found: list[str] = []
    for line in _stable_lines(text):
        if not _IDENTITY.fullmatch(line):
            found.append(line)
        elif found and not found[-1]:
            found.pop()
    return found


def _stable_lines(text: str) -> list[str]:
    return [line.rstrip() for line in text.splitlines() if not line.startswith(_VOLATILE)]


def differences(
    expected: list[TableFingerprint], found: list[TableFingerprint], most: int = 5
) -> list[str]:
    """Say how a copy's tables differ from what they must be; an empty list means equal.

    At most `most` sentences, then how many more there are.
    """
    want = {one.table: one for one in expected}
    have = {one.table: one for one in found}
    said = [f"{name} is missing" for name in want.keys() - have.keys()]
    said += [f"{name} is not in the backup" for name in have.keys() - want.keys()]
    for name in want.keys() & have.keys():
        if want[name] != have[name]:
            said.append(
                f"{name} has {have[name].rows} rows instead of {want[name].rows}"
                if have[name].rows != want[name].rows
                else f"{name} has {have[name].rows} rows with other content"
            )
    said.sort()
    return said[:most] + ([f"and {len(said) - most} more"] if len(said) > most else [])
