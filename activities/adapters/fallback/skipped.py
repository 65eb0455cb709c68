"""What a migration did to rows itself: never applied, so that the copy keeps the old data, and
noted, so that a comparison can tell it from what was lost."""

import json
from collections.abc import Sequence

from activities.adapters.fallback.conflicts import key_columns, key_of
from activities.adapters.fallback.mapping import Mapper, Unmappable
from activities.adapters.fallback.protocol import Change, Op
from activities.adapters.fallback.side import Statement

_MOST = 50_000
_LARGEST = 8 * 1024 * 1024
"""Changes of one transaction that are noted, and their bytes; with more, any row may be meant."""
_NOTE = (
    b"INSERT INTO slipway_fallback.skipped (xid, gone) VALUES ($1, $2) "
    b"ON CONFLICT (xid) DO UPDATE SET gone = excluded.gone"
)


class Skipped:
    """Collects those changes of a transaction that the rows themselves do not tell of later: a row
    that is there was last written by a transaction whose number it bears."""

    def __init__(self) -> None:
        self._changes: list[Change] = []
        self._size = 0
        self._all: set[int] = set()
        """OIDs of tables of which any row may be meant."""

    def note(self, change: Change) -> None:
        """Look at one change of the transaction."""
        oid = change.relation.oid
        if change.op is Op.TRUNCATE or (oid in self._all):
            self._all.add(oid)
            return
        moved = change.op is Op.UPDATE and (change.old is not None or change.whole)
        if change.op is not Op.DELETE and not moved:
            return
        if len(self._changes) >= _MOST or self._size >= _LARGEST:
            self._all.add(oid)
        else:
            self._changes.append(change)
            self._size += change.size

    def statement(self, xid: int, mappers: Sequence[Mapper]) -> Statement:
        """Return the statement that notes them. `mappers`: as tables were before the transaction,
        and after."""
        keys: dict[int, set[str]] = {}
        for change in self._changes:
            found = _keys(change, mappers)
            if found is None:
                self._all.add(change.relation.oid)
            else:
                keys.setdefault(change.relation.oid, set()).update(found)
        told: dict[str, list[str] | None] = {str(oid): sorted(keys[oid]) for oid in keys}
        told.update({str(oid): None for oid in self._all})
        text = json.dumps(told, ensure_ascii=False).encode(errors="replace")
        return Statement(_NOTE, [str(xid).encode(), text])


def _keys(change: Change, mappers: Sequence[Mapper]) -> set[str] | None:
    """Return the keys, old and new, that a change is about; None where they cannot be told."""
    for mapper in mappers:
        try:
            mapped = mapper.of(change.relation)
        except Unmappable:
            continue
        if mapped.carried is None:
            return set()
        if change.old is not None and not change.whole:
            sent = change.relation.columns
            if not all(sent[at].key for at in key_columns(mapped)):
                return None
        rows = [one for one in (change.old, change.new) if one is not None]
        found = [key_of(mapped, one) for one in rows]
        return None if None in found else {one for one in found if one is not None}
    return None
