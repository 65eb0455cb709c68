"""Records of changes that the old schema could not take as they were, and which are settled since.

A record is settled when a later change makes its row in the side database what the old schema can
hold of production's: it was deleted, or written again as a whole.
"""

import json
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from activities.adapters.fallback.mapping import Mapped
from activities.adapters.fallback.protocol import UNCHANGED, Change, Op, Row, say_lsn
from activities.adapters.fallback.side import Refusal, Statement
from activities.adapters.fallback.store import as_json

_RECORD = b"""
INSERT INTO slipway_fallback.conflict (kind, commit_lsn, xid, oid, "table", operation, old_row,
    new_row, unknown_row, sqlstate, "constraint", message, key)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13)"""
_SETTLE = b"""
UPDATE slipway_fallback.conflict SET settled_lsn = $1
WHERE oid = $2 AND key = $3 AND settled_lsn IS NULL AND (kind <> 'invented' OR $4)"""
_SETTLE_TABLE = b"""
UPDATE slipway_fallback.conflict SET settled_lsn = $1
WHERE oid = $2 AND key IS NOT NULL AND settled_lsn IS NULL"""
MOST_OPEN = 100_000
"""Records whose settling is looked for; what goes beyond stays open."""


class Task(NamedTuple):
    """A change, the table it belongs to, and the transaction it was part of."""

    mapped: Mapped
    change: Change
    lsn: int
    xid: int


class Register:
    """Knows the open records by the key of their row, and makes the statements that keep them."""

    def __init__(self, known: Iterable[tuple[int, str, bool]]) -> None:
        """`known`: OID, key and whether only invented values are open, of the open records."""
        self._open: dict[int, dict[str, bool]] = {}
        self._size = 0
        for oid, key, invented in known:
            self._add(oid, key, invented)

    @property
    def busy(self) -> bool:
        """Whether any record is open."""
        return self._size > 0

    def _add(self, oid: int, key: str, invented: bool) -> None:
        keys = self._open.setdefault(oid, {})
        if key in keys:
            keys[key] = keys[key] and invented
        elif self._size < MOST_OPEN:
            keys[key] = invented
            self._size += 1

    def record(self, task: Task, kind: str, refusal: Refusal) -> Statement:
        """Return the statement that records a conflict."""
        change, mapped = task.change, task.mapped
        key = _key(mapped, change)
        if key is not None:
            self._add(change.relation.oid, key, kind == "invented")
        values: list[str | bytes | None] = [
            kind,
            say_lsn(task.lsn),
            str(task.xid),
            str(change.relation.oid),
            change.relation.name,
            change.op.value,
            as_json(_before(mapped, change)),
            as_json(_known(mapped, change.new)),
            as_json(_unknown(mapped, change.new)),
            refusal.sqlstate,
            refusal.constraint,
            refusal.message,
            key,
        ]
        return Statement(_RECORD, [_encoded(one) for one in values])

    def settles(self, task: Task, *, healed: bool = False) -> Statement | None:
        """Return the statement that settles what this applied change has made good, if anything.

        `healed`: an UPDATE that was applied as an INSERT of the whole row.
        """
        keys = self._open.get(task.change.relation.oid)
        if not keys:
            return None
        oid, lsn = str(task.change.relation.oid), say_lsn(task.lsn)
        if task.change.op is Op.TRUNCATE:
            self._size -= len(keys)
            keys.clear()
            return Statement(_SETTLE_TABLE, [_encoded(lsn), _encoded(oid)])
        key = _key(task.mapped, task.change)
        gone = task.change.op is Op.DELETE
        whole = healed or _whole(task.change)
        if key is None or key not in keys or not (gone or (whole and not keys[key])):
            return None
        del keys[key]
        self._size -= 1
        values = [lsn, oid, key, "true" if gone else "false"]
        return Statement(_SETTLE, [_encoded(one) for one in values])


def _whole(change: Change) -> bool:
    """Whether a change that was applied has written every column."""
    if change.op is Op.INSERT:
        return True
    return not change.whole and change.new is not None and UNCHANGED not in change.new


def key_of(mapped: Mapped, row: Row) -> str | None:
    """Return the old key of a row as text; None where it is not among what was sent."""
    at = key_columns(mapped)
    if not at or mapped.keyless or any(row[one] is UNCHANGED for one in at):
        return None
    return key_text([_said(row[one]) for one in at])


def key_text(values: Sequence[str | None]) -> str:
    """Return a key's values, in order of their columns' numbers, as records have them."""
    return json.dumps(list(values), ensure_ascii=False)


def key_columns(mapped: Mapped) -> list[int]:
    """Return the positions of the old key's columns in a relation."""
    return [at for at, one in enumerate(mapped.columns) if one is not None and one.key]


def _key(mapped: Mapped, change: Change) -> str | None:
    """The old key of a change's row as text; None where it is unknown or was changed."""
    at = key_columns(mapped)
    row = change.new if change.new is not None else change.old
    key = None if row is None else key_of(mapped, row)
    if row is None or key is None:
        return None
    old = change.old
    if old is not None and old is not row and [old[one] for one in at] != [row[one] for one in at]:
        return None
    if change.op is Op.DELETE and not change.whole:
        sent = change.relation.columns
        if not all(sent[one].key for one in at):
            return None
    return key


def _known(mapped: Mapped, row: Row | None) -> dict[str, str | None] | None:
    if row is None:
        return None
    pairs = zip(mapped.columns, row, strict=False)
    return {one.name: _said(value) for one, value in pairs if one and value is not UNCHANGED}


def _before(mapped: Mapped, change: Change) -> dict[str, str | None] | None:
    """What was sent of the old row: all of it, or its key."""
    found = _known(mapped, change.old)
    if found is None or change.whole:
        return found
    pairs = zip(mapped.columns, change.relation.columns, strict=False)
    return {old.name: found[old.name] for old, now in pairs if old and now.key}


def _unknown(mapped: Mapped, row: Row | None) -> dict[str, str | None] | None:
    if row is None:
        return None
    columns = mapped.columns or (None,) * len(row)
    trio = zip(mapped.relation.columns, columns, row, strict=True)
    found = {
        now.name: _said(value) for now, old, value in trio if old is None and value is not UNCHANGED
    }
    return found or None


def _said(value: object) -> str | None:
    return value.decode(errors="backslashreplace") if isinstance(value, bytes) else None


def _encoded(value: str | bytes | None) -> bytes | None:
    return value.encode(errors="replace") if isinstance(value, str) else value
