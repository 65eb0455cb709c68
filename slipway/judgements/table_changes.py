"""What a migration did to the tables that stood before: two catalogues compared, and which rows
must be compared to know whether old columns still hold what they held.

A table keeps its OID when it is altered, and its file unless all its rows are written anew; the
server counts what is inserted, updated and deleted. Where none of these moved, no row has changed.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from slipway.messages.rehearsal import TableTouched

_MOST = 200
_MOST_COLUMNS = 50


@dataclass(frozen=True)
class Column:
    """A column as the catalogue has it."""

    name: str
    type: str
    key: bool
    """Whether it belongs to the primary key."""


@dataclass(frozen=True)
class Table:
    """A table as the catalogue and the server's counters have it."""

    oid: int
    name: tuple[str, str]
    """Schema and name."""
    file: int
    size: int
    rows: int
    inserted: int
    updated: int
    deleted: int
    ordinary: bool
    """Whether it holds rows of its own; not so a partitioned table or a materialized view."""
    counted: bool
    """Whether the server counts what is written."""
    columns: tuple[Column, ...] = ()

    @property
    def label(self) -> str:
        """`schema.table`."""
        return ".".join(self.name)

    @property
    def written(self) -> int:
        """Rows inserted, updated or deleted since the database was made."""
        return self.inserted + self.updated + self.deleted


@dataclass(frozen=True)
class ToHash:
    """Columns to compare between a table before and the one that took its place."""

    before: tuple[str, str]
    after: tuple[str, str]
    columns: tuple[str, ...]
    key: tuple[str, ...]


@dataclass(frozen=True)
class _Pair:
    """A table before, and what became of it."""

    old: Table
    named: Table | None
    """What has its name now."""
    itself: Table | None
    """What has its OID now."""

    @property
    def heir(self) -> Table | None:
        """Where its rows are now: what services find by its name, else itself renamed."""
        return self.named or self.itself


def without_ledger(tables: Sequence[Table], ledger: str) -> list[Table]:
    """Return the tables without the migration tool's own."""
    return [one for one in tables if one.label != ledger]


def to_hash(before: Sequence[Table], after: Sequence[Table]) -> list[ToHash]:
    """Return what must be compared row by row: tables whose rows may have changed."""
    found = []
    for pair in _pairs(before, after):
        old, new = pair.old, pair.heir
        if new is None or not (old.ordinary and new.ordinary) or not _may_differ(old, new):
            continue
        names = {one.name for one in new.columns}
        columns = tuple(one.name for one in old.columns if one.name in names)
        key = tuple(one.name for one in old.columns if one.key)
        found.append(ToHash(old.name, new.name, columns, key if set(key) <= names else ()))
    return found


def _may_differ(old: Table, new: Table) -> bool:
    types = {one.name: one.type for one in new.columns}
    retyped = any(types.get(one.name, one.type) != one.type for one in old.columns)
    return bool(
        old.oid != new.oid or old.file != new.file or new.written or retyped or not new.counted
    )


def touched(
    before: Sequence[Table],
    after: Sequence[Table],
    hashes: Mapping[tuple[str, str], tuple[list[str], list[str]]],
) -> list[TableTouched]:
    """Return what became of every table that is not as before, and every new one.

    `hashes`: by the old name, the hashes before and after, in the order of `to_hash`; the first of
    each is the number of rows.
    """
    compared = {one.before: one for one in to_hash(before, after)}
    found = [_one(pair, compared, hashes) for pair in _pairs(before, after)]
    oids, names = {one.oid for one in before}, {one.name for one in before}
    new = [
        TableTouched(table=one.label, change="new", inserted=one.inserted)
        for one in after
        if one.oid not in oids and one.name not in names
    ]
    told = [one for one in found if one is not None] + new
    return sorted(told, key=lambda one: one.table)[:_MOST]


def _one(
    pair: _Pair,
    compared: Mapping[tuple[str, str], ToHash],
    hashes: Mapping[tuple[str, str], tuple[list[str], list[str]]],
) -> TableTouched | None:
    old, new = pair.old, pair.heir
    shared = TableTouched(table=old.label, change="altered", size=old.size, rows=old.rows)
    if new is None:
        return shared.model_copy(update={"change": "dropped"})
    moved = pair.itself is not None and pair.itself.name != old.name
    left = {one.name for one in new.columns}
    dropped = [one.name for one in old.columns if one.name not in left]
    same = pair.named is not None and pair.named.oid == old.oid
    update = {
        "change": "altered" if same else "recreated" if pair.named else "renamed",
        "renamed_to": pair.itself.label if pair.itself and moved else "",
        "rewritten": old.oid == new.oid and old.file != new.file,
        "inserted": new.inserted,
        "updated": new.updated,
        "deleted": new.deleted,
        "dropped_columns": dropped[:_MOST_COLUMNS],
        "key_lost": _keyed(old) and pair.itself is not None and not _keyed(pair.itself),
        "changed_columns": _changed(compared.get(old.name), hashes.get(old.name))[:_MOST_COLUMNS],
    }
    as_before = same and replace(old, size=0, rows=0) == replace(new, size=0, rows=0)
    return None if as_before else shared.model_copy(update=update)


def _keyed(table: Table) -> bool:
    return any(one.key for one in table.columns)


def _changed(compared: ToHash | None, hashes: tuple[list[str], list[str]] | None) -> list[str]:
    if compared is None or hashes is None:
        return []
    before, after = hashes
    pairs = zip(compared.columns, before[1:], after[1:], strict=True)
    return [name for name, one, other in pairs if one != other]


def _pairs(before: Sequence[Table], after: Sequence[Table]) -> list[_Pair]:
    by_oid, by_name = {one.oid: one for one in after}, {one.name: one for one in after}
    return [_Pair(one, by_name.get(one.name), by_oid.get(one.oid)) for one in before]
