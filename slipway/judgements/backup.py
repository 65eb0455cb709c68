"""Backups: how they are named, and whether a copy equals its source."""

import hashlib
import re
from datetime import UTC, datetime

from slipway.messages.record import TableFingerprint

MARK = "_slipway_"
"""Every database slipway makes has this in its name."""
MANIFESTS = "manifests/"
"""Below the plan's prefix: one object a backup."""
_LONGEST = 63
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


def is_ours(name: str, database: str) -> bool:
    """Whether a name is one that slipway gives to copies of this database."""
    head, mark, tail = name.partition(MARK)
    whole = head == database or (len(name) == _LONGEST and database.startswith(head))
    return bool(mark and tail and head) and whole


def dump_key(prefix: str, taken_at: datetime, deployment: str) -> str:
    """Return the object key of a dump: `production/prod-backup-20261123-202134-3fa9c1.dump.zst`."""
    stamp = taken_at.astimezone(UTC).strftime("%Y%m%d-%H%M%S")
    return f"{prefix}prod-backup-{stamp}-{short_id(deployment)}.dump.zst"


def manifest_key(prefix: str, deployment: str, tag: str) -> str:
    """Return the object key of a backup's manifest: one a deployment and attempt."""
    clean = re.sub(r"[^A-Za-z0-9]", "", tag) or "1"
    return f"{prefix}{MANIFESTS}{deployment}-{clean}.json"


def schema_sha256(text: str) -> str:
    """Return the digest of a schema dump without what differs between two dumps of one schema."""
    lines = [line.rstrip() for line in text.splitlines() if not line.startswith(_VOLATILE)]
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()


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
