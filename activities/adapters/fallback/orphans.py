"""Rows that the side database holds against its own constraints.

A follower writes with `session_replication_role = replica`, which skips foreign keys and the
deferrable unique constraints. Once production has dropped such a constraint, the side database
can take rows that its own, still called valid, forbids. They must be known before a swap.
"""

from dataclasses import dataclass
from typing import Any

from psycopg import sql

from activities.adapters.postgres.sessions import Connection, rows

_MOST_KEYS = 20

_CONSTRAINTS = """
SELECT k.conname, k.contype::text, k.confmatchtype::text, cn.nspname, c.relname, pn.nspname,
    p.relname, ARRAY(SELECT a.attname::text FROM unnest(k.conkey) WITH ORDINALITY u(n, o)
        JOIN pg_attribute a ON a.attrelid = k.conrelid AND a.attnum = u.n ORDER BY u.o),
    ARRAY(SELECT a.attname::text FROM unnest(k.confkey) WITH ORDINALITY u(n, o)
        JOIN pg_attribute a ON a.attrelid = k.confrelid AND a.attnum = u.n ORDER BY u.o),
    ARRAY(SELECT format('OPERATOR(%I.%s)', n.nspname, o.oprname)
        FROM unnest(k.conpfeqop) WITH ORDINALITY u(op, o2) JOIN pg_operator o ON o.oid = u.op
        JOIN pg_namespace n ON n.oid = o.oprnamespace ORDER BY u.o2),
    ARRAY(SELECT a.attname::text FROM pg_index i CROSS JOIN unnest(i.indkey) u(n)
        JOIN pg_attribute a ON a.attrelid = k.conrelid AND a.attnum = u.n
        WHERE i.indrelid = k.conrelid AND i.indisprimary)
FROM pg_constraint k JOIN pg_class c ON c.oid = k.conrelid
JOIN pg_namespace cn ON cn.oid = c.relnamespace
LEFT JOIN pg_class p ON p.oid = k.confrelid LEFT JOIN pg_namespace pn ON pn.oid = p.relnamespace
WHERE k.conparentid = 0 AND k.convalidated
    AND (k.contype = 'f' OR k.contype IN ('p', 'u') AND k.condeferrable)
ORDER BY cn.nspname, c.relname, k.conname"""


@dataclass(frozen=True)
class Orphan:
    """Rows that break one constraint of the side database."""

    constraint: str
    table: str
    """`schema.table` of the rows."""
    count: int
    keys: list[dict[str, Any]]
    """Of the first of them: the primary key, or the columns of the constraint."""
    kind: str = "orphan"
    """`orphan`: the row that it refers to is missing. `duplicate`: several rows have these values
    of a deferrable unique constraint."""


@dataclass(frozen=True)
class _Constraint:
    name: str
    kind: str
    match: str
    schema: str
    table: str
    parent_schema: str | None
    parent: str | None
    columns: list[str]
    referred: list[str]
    operators: list[str]
    key: list[str]


async def orphans(side: Connection) -> list[Orphan]:
    """Return what breaks the side database's foreign keys and deferrable unique constraints.

    Reads every table that has one: about two seconds for a gigabyte.
    """
    found = []
    for one in await rows(side, _CONSTRAINTS):
        orphan = await _broken(side, _Constraint(*one))
        if orphan is not None:
            found.append(orphan)
    return found


async def _broken(side: Connection, constraint: _Constraint) -> Orphan | None:
    query = _missing(constraint) if constraint.kind == "f" else _doubled(constraint)
    text = sql.SQL(
        "WITH odd AS ({}) SELECT (SELECT count(*) FROM odd),"
        " (SELECT coalesce(jsonb_agg(to_jsonb(few)), '[]') FROM (SELECT * FROM odd LIMIT {}) few)"
    ).format(query, sql.Literal(_MOST_KEYS))
    cursor = await side.execute(text)
    count, keys = await cursor.fetchone() or (0, [])
    if not count:
        return None
    table = f"{constraint.schema}.{constraint.table}"
    kind = "orphan" if constraint.kind == "f" else "duplicate"
    return Orphan(constraint.name, table, count, keys, kind)


def _missing(constraint: _Constraint) -> sql.Composable:
    """The children whose parent is missing. With MATCH SIMPLE one NULL makes a row refer to
    nothing, with MATCH FULL only all of them do."""
    word = sql.SQL(" OR " if constraint.match == "f" else " AND ")
    there = word.join(
        sql.SQL("c.{} IS NOT NULL").format(sql.Identifier(one)) for one in constraint.columns
    )
    same = sql.SQL(" AND ").join(
        sql.SQL("p.{} {} c.{}").format(
            sql.Identifier(theirs), sql.SQL(operator), sql.Identifier(own)
        )
        for theirs, operator, own in zip(
            constraint.referred, constraint.operators, constraint.columns, strict=True
        )
    )
    return sql.SQL(
        "SELECT {} FROM {} c WHERE ({}) AND NOT EXISTS (SELECT FROM {} p WHERE {})"
    ).format(
        _columns("c", constraint.key or constraint.columns),
        sql.Identifier(constraint.schema, constraint.table),
        there,
        sql.Identifier(constraint.parent_schema or "", constraint.parent or ""),
        same,
    )


def _doubled(constraint: _Constraint) -> sql.Composable:
    names = _columns("c", constraint.columns)
    there = sql.SQL(" AND ").join(
        sql.SQL("c.{} IS NOT NULL").format(sql.Identifier(one)) for one in constraint.columns
    )
    return sql.SQL("SELECT {} FROM {} c WHERE {} GROUP BY {} HAVING count(*) > 1").format(
        names, sql.Identifier(constraint.schema, constraint.table), there, names
    )


def _columns(alias: str, names: list[str]) -> sql.Composable:
    return sql.SQL(", ").join(sql.Identifier(alias, one) for one in names)
