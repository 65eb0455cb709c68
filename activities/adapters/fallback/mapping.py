"""Which old column each column of a change is: by the numbers that a table keeps, over epochs.

An epoch begins with each migration. A change names its columns as they were called when it was
written; the server lists them in order of their numbers (attnum), which never change and are never
given out twice. So a change is placed by two lists of one table, before and after: the one way to
lay its columns onto those numbers in order. Today's catalog alone would be wrong for a follower
that is behind: after a swap of two names it would swap their values.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import NamedTuple

from activities.adapters.fallback.catalog import BUILT_IN, Carried, CarriedColumn
from activities.adapters.fallback.protocol import Relation, RelationColumn
from slipway.base import Message

Columns = list[tuple[int, str]]
"""The columns of a table in order: attnum and name, without generated ones."""


class TableMap(Message):
    """What the columns of one table may be called in an epoch."""

    lists: list[Columns]
    """One list where nothing but migrations has changed the columns; else the state before and
    each one read since, the newest last."""
    dropped: list[int] = []
    """The numbers of columns that were gone at the last reading."""
    versions: list[str] = []
    """Who had last written the columns in the catalog when there was one list alone."""

    @property
    def newest(self) -> Columns:
        """The columns as read last."""
        return self.lists[-1]


class Epoch(Message):
    """The numbers and names of every carried table between two migrations."""

    number: int = 0
    tables: dict[int, TableMap] = {}


class Unmappable(Exception):
    """A relation whose columns fit neither this epoch nor the one before."""

    def __init__(self, relation: Relation) -> None:
        super().__init__(relation.name)
        self.relation = relation


@dataclass(eq=False)
class Mapped:
    """A relation laid onto the old table."""

    relation: Relation
    carried: Carried | None
    """None: the old schema has no such table."""
    columns: tuple[CarriedColumn | None, ...] = ()
    """By position in the relation; None: the old schema has no such column."""
    checks: dict[int, str] = field(default_factory=dict)
    """Positions of another type than the old column's, with the type to compare them in."""

    @cached_property
    def invented(self) -> list[str]:
        """Old columns that a new row gets by default, since production dropped them."""
        return [one.name for one in self._gone if one.default]

    @cached_property
    def keyless(self) -> bool:
        """A column of the old key is gone: no row can be found by it, and none be told apart."""
        return any(one.key for one in self._gone)

    @property
    def _gone(self) -> list[CarriedColumn]:
        if self.carried is None:
            return []
        known = {one.attnum for one in self.columns if one}
        return [
            one for one in self.carried.columns if not one.generated and one.attnum not in known
        ]


def first_epoch(carried: Sequence[Carried]) -> Epoch:
    """Return the epoch of the snapshot."""
    return Epoch(
        tables={
            one.oid: TableMap(lists=[listed(one.columns)], versions=one.versions) for one in carried
        }
    )


class Reading(NamedTuple):
    """What production's catalog said of one table."""

    columns: Columns
    versions: list[str]
    dropped: list[int]


def next_epoch(last: Epoch, now: Mapping[int, Reading], xid: int | None) -> Epoch:
    """Return the epoch that a migration (transaction `xid`) or other DDL (None) began, from
    production's catalog read later. A dropped table keeps its last columns."""
    tables = dict(last.tables)
    for oid in tables.keys() & now.keys():
        tables[oid] = _advance(tables[oid], now[oid], str(xid))
    return Epoch(number=last.number + 1, tables=tables)


def _advance(last: TableMap, now: Reading, xid: str) -> TableMap:
    if set(now.versions) - set(last.versions) <= {xid}:
        return TableMap(lists=[now.columns], dropped=now.dropped, versions=now.versions)
    # somebody else's DDL came before this one, or after it and before we looked: both may apply
    lists = last.lists if now.columns == last.newest else [*last.lists, now.columns]
    return TableMap(lists=lists, dropped=now.dropped, versions=last.versions)


def listed(columns: Sequence[CarriedColumn]) -> Columns:
    """Return the columns that changes are sent with."""
    return [(one.attnum, one.name) for one in columns if one.sent]


class Mapper:
    """Lays relations onto the old tables, in the epoch that it is told."""

    def __init__(self, carried: Sequence[Carried], epoch: Epoch) -> None:
        """`carried`: the old tables. `epoch`: the one that the next change belongs to."""
        self._carried = {one.oid: one for one in carried}
        self.epoch = epoch
        self._known: dict[Relation, Mapped] = {}

    def enter(self, epoch: Epoch) -> None:
        """Begin the next epoch."""
        self.epoch = epoch
        self._known = {}

    def of(self, relation: Relation) -> Mapped:
        """Return the relation laid onto the old table. Raises Unmappable when nothing fits."""
        found = self._known.get(relation)
        if found is None:
            found = self._known[relation] = self._map(relation)
        return found

    def _map(self, relation: Relation) -> Mapped:
        table = self._carried.get(relation.oid)
        if table is None:
            return Mapped(relation, None)
        names = [one.name for one in relation.columns]
        placed = place(names, self.epoch.tables[relation.oid].lists)
        if placed is None:
            raise Unmappable(relation)
        old = {one.attnum: one for one in table.columns}
        columns = tuple(old.get(attnum) for attnum in placed)
        return Mapped(relation, table, columns, _checks(columns, relation.columns))


def _checks(
    columns: Sequence[CarriedColumn | None], now: Sequence[RelationColumn]
) -> dict[int, str]:
    return {
        position: comparable(old, new)
        for position, (old, new) in enumerate(zip(columns, now, strict=True))
        if old is not None and (old.type_oid, old.typmod) != (new.type_oid, new.typmod)
    }


_FAMILIES = (
    ({20, 21, 23, 1700}, {20: "int8", 21: "int2", 23: "int4", 1700: "numeric"}),
    ({700, 701}, {700: "float4", 701: "float8"}),
    ({1114, 1184, 1082}, {1114: "timestamp", 1184: "timestamptz", 1082: "date"}),
    ({1083, 1266}, {1083: "time", 1266: "timetz"}),
)
"""Types within which a value that fits both is printed differently by each: 1.5 and 1.500."""


def comparable(old: CarriedColumn, new: RelationColumn | CarriedColumn) -> str:
    """Return the type in which production prints the value, where a cast leads there without
    failing; empty: compare it as the old column prints it."""
    if max(old.type_oid, new.type_oid) >= BUILT_IN:
        return ""
    for family, names in _FAMILIES:
        if old.type_oid in family and new.type_oid in family:
            return names[new.type_oid] + _modifier(new.type_oid, new.typmod)
    return ""


def _modifier(type_oid: int, typmod: int) -> str:
    if typmod < 0:
        return ""
    if type_oid == 1700:  # numeric(precision, scale), the scale as 11 bits with a sign
        scale = (((typmod - 4) & 0x7FF) ^ 1024) - 1024
        return f"({(typmod - 4) >> 16 & 0xFFFF},{scale})"
    return f"({typmod})" if type_oid in (1114, 1184, 1083, 1266) else ""


def place(names: Sequence[str], lists: Sequence[Columns]) -> list[int] | None:
    """Lay a table's columns, named in order of attnum, onto the attnums of one or more lists.

    A column bears one of its listed names; one that is in every list must be there. None when
    there is no way, or more than one. A column that bore a name only between two readings, and
    gave it back to one that was dropped, would be taken for that one.
    """
    numbers: dict[str, set[int]] = {}
    for attnum, name in (pair for one in lists for pair in one):
        numbers.setdefault(name, set()).add(attnum)
    needed = sorted(set.intersection(*({attnum for attnum, _ in one} for one in lists)))
    needed.append(1 << 16)  # beyond every attnum
    ways: list[tuple[int, int, list[int]]] = [(0, 0, [])]  # last attnum, needed ones passed, path
    for name in names:
        further = []
        for last, passed, path in ways:
            for attnum in numbers.get(name, ()):
                if last < attnum <= needed[passed]:
                    hit = attnum == needed[passed]
                    further.append((attnum, passed + hit, [*path, attnum]))
        ways = further
        if len(ways) > 64:
            return None
    whole = [path for _, passed, path in ways if passed == len(needed) - 1]
    return whole[0] if len(whole) == 1 else None


def learn(epoch: Epoch, relation: Relation) -> Epoch:
    """Add to an epoch what a relation was like that no list names, between two of its readings.

    Its columns must lie among those that were ever there, and hold those that always were. Where
    their count leaves one choice, they are known. Only for a relation that is older than the last
    reading. Raises Unmappable when there are more choices.
    """
    table = epoch.tables[relation.oid]
    ever = {attnum for one in table.lists for attnum, _ in one} | set(table.dropped)
    first = {attnum for attnum, _ in table.lists[0]}
    ever -= {one for one in table.dropped if one < max(first, default=0) and one not in first}
    always = first & {attnum for attnum, _ in table.newest}
    names = [one.name for one in relation.columns]
    chosen = next((one for one in (ever, always) if len(one) == len(names)), None)
    if chosen is None:
        raise Unmappable(relation)
    state = list(zip(sorted(chosen), names, strict=True))
    lists = [*table.lists[:-1], state, table.newest]
    more = table.model_copy(update={"lists": lists})
    return epoch.model_copy(update={"tables": {**epoch.tables, relation.oid: more}})
