"""Each table that is followed as two halves, production's and the side database's: what both have
in common, written so that the server prints equal rows equally on either side."""

import json
from collections.abc import Sequence
from dataclasses import dataclass

from psycopg import sql

from activities.adapters.fallback.catalog import Carried, CarriedColumn, columns_of
from activities.adapters.fallback.mapping import comparable
from activities.adapters.postgres.sessions import Connection, rows

_LONGEST_KEY = 80
_TEXTS = {25, 1043}
"""text and varchar: the same characters."""
_NAMES = """
SELECT c.oid::int8, n.nspname::text, c.relname::text, pg_table_size(c.oid)::int8
    + coalesce((SELECT sum(pg_table_size(relid)) FROM pg_partition_tree(c.oid)
                WHERE c.relkind = 'p'), 0)::int8
FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE c.oid = ANY (%s::int8[]::oid[])"""
_CARRIED = "SELECT description::text FROM slipway_fallback.carried ORDER BY oid"


@dataclass(frozen=True)
class Half:
    """A table of one of the two databases."""

    table: sql.Composable
    """What stands behind FROM."""
    key: tuple[sql.Composable, ...]
    """What tells its rows apart; empty where nothing does."""
    columns: tuple[sql.Composable, ...]
    """All that is compared, keys included."""

    @property
    def content(self) -> sql.Composable:
        """The hash of a row."""
        return _hash(self.columns)

    @property
    def identity(self) -> sql.Composable:
        """The hash of what tells it apart."""
        return _hash(self.key or self.columns)

    @property
    def printed_key(self) -> sql.Composable:
        """The key as an array of texts, as the log of production prints it; for a query that has
        values, in which a percent sign is written twice."""
        words = [sql.SQL("format('%%s', {})").format(one) for one in self.key]
        return sql.SQL("ARRAY[{}]::text[]").format(sql.SQL(", ").join(words))


@dataclass(frozen=True)
class Pair:
    """A table in both databases."""

    oid: int
    name: str
    """`schema.table` in the old schema."""
    production: Half
    side: Half
    key: tuple[str, ...]
    """The old names of the key's columns."""
    same_key: bool
    """Whether the key's columns have the same types in both."""
    size: int
    """Bytes of it in production."""
    left_out: tuple[str, ...] = ()
    """Old columns that are not compared, since their type or they themselves are gone."""

    def say(self, key: str) -> str:
        """Return a key, as records have it, for people."""
        if not self.key:
            return "a row without a key"
        pairs = zip(self.key, json.loads(key), strict=True)
        return ", ".join(f"{name}={value}" for name, value in pairs)[:_LONGEST_KEY]


def _hash(columns: Sequence[sql.Composable]) -> sql.Composable:
    return sql.SQL("hashtextextended(ROW({})::text, 0)").format(sql.SQL(", ").join(columns))


async def carried(side: Connection) -> list[Carried]:
    """Return the tables that the side database follows."""
    return [Carried.model_validate_json(one) for (one,) in await rows(side, _CARRIED)]


async def pairs(production: Connection, side: Connection) -> tuple[list[Pair], dict[str, str]]:
    """Return what can be compared, smallest first, and why the other tables cannot, by name. The
    migration ledger is left out: what is inserted there is never followed."""
    (ledger,) = (await rows(side, "SELECT ledger FROM slipway_fallback.position"))[0]
    known = [one for one in await carried(side) if one.name != ledger]
    oids = [one.oid for one in known]
    names = {oid: rest for oid, *rest in await rows(production, _NAMES, oids)}
    columns = await columns_of(production, oids)
    found: list[Pair] = []
    left: dict[str, str] = {}
    for one in known:
        if one.oid not in names:
            left[one.name] = "production has dropped or recreated it"
            continue
        schema, table, size = names[one.oid]
        now = {column.attnum: column for column in columns.get(one.oid, [])}
        pair = _pair(one, now, sql.Identifier(schema, table), size)
        if pair is None:
            left[one.name] = "production has dropped its key, or all of its columns"
        else:
            found.append(pair)
    return sorted(found, key=lambda one: one.size), left


def _pair(
    old: Carried, now: dict[int, CarriedColumn], table: sql.Identifier, size: int
) -> Pair | None:
    if any(one.key and one.attnum not in now for one in old.columns):
        return None
    columns: list[tuple[CarriedColumn, sql.Composable, sql.Composable]] = []
    left = []
    for one in old.columns:
        if one.generated:
            continue
        new = now.get(one.attnum)
        shown = None if new is None else _shown(one, new)
        if new is None or shown is None:
            left.append(one.name)
        else:
            columns.append((one, sql.Identifier(new.name), shown))
    if not columns or any(one.key and one.name in left for one in old.columns):
        return None
    keys = [one for one in columns if one[0].key]
    only = sql.SQL("{}" if old.partitioned else "ONLY {}")
    return Pair(
        oid=old.oid,
        name=old.name,
        production=Half(
            only.format(table), tuple(one[1] for one in keys), tuple(one[1] for one in columns)
        ),
        side=Half(
            only.format(sql.Identifier(old.schema_name, old.table)),
            tuple(one[2] for one in keys),
            tuple(one[2] for one in columns),
        ),
        key=tuple(one[0].name for one in keys),
        same_key=all(one[0].type_oid == now[one[0].attnum].type_oid for one in keys),
        size=size,
        left_out=tuple(left),
    )


def _shown(old: CarriedColumn, new: CarriedColumn) -> sql.Composable | None:
    """Return the old column as production prints the new one; None where only a cast that may fail
    or lose something would lead there."""
    name = sql.Identifier(old.name)
    if (old.type_oid, old.typmod) == (new.type_oid, new.typmod):
        return name
    kind = comparable(old, new)
    if kind:
        return sql.SQL("{}::{}").format(name, sql.SQL(kind))
    same = old.type_oid == new.type_oid or {old.type_oid, new.type_oid} <= _TEXTS
    return name if same else None
