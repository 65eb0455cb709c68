"""What of a production database a warm fallback can carry, and what became of it since.

Read in the snapshot of the backup: the tables as the side database knows them, by the numbers
(OID, attnum) that they keep when a migration renames them.
"""

from collections.abc import Iterable, Sequence
from typing import Any

from psycopg import sql

from activities.adapters.postgres.sessions import Connection, rows
from slipway.base import Message

BUILT_IN = 10_000
"""OIDs below this are assigned by hand and the same on every server of every version."""

WITH_GENERATED = 180_000
"""The version of the server from which generated columns can be sent."""

NOT_OURS = r"""
n.nspname <> 'information_schema' AND n.nspname !~ '^pg_' AND n.nspname <> 'slipway_fallback'"""

_TABLES = f"""
SELECT c.oid::int8, n.nspname, c.relname, c.relkind::text, c.relpersistence::text,
    c.relispartition, c.relreplident::text,
    EXISTS (SELECT FROM pg_index i WHERE i.indrelid = c.oid AND i.indisprimary AND i.indisvalid
            AND i.indimmediate) AS has_key,
    EXISTS (SELECT FROM pg_index i WHERE i.indrelid = c.oid AND i.indisreplident AND i.indisvalid)
        AS has_identity,
    (SELECT e.extname FROM pg_depend d JOIN pg_extension e ON e.oid = d.refobjid
     WHERE d.classid = 'pg_class'::regclass AND d.objid = c.oid AND d.deptype = 'e' LIMIT 1),
    (SELECT string_agg(t.relid::regclass::text, ', ') FROM pg_partition_tree(c.oid) t
     JOIN pg_class leaf ON leaf.oid = t.relid
     WHERE t.isleaf AND leaf.relreplident NOT IN ('d', 'f')),
    (SELECT string_agg(t.relid::regclass::text, ', ') FROM pg_partition_tree(c.oid) t
     JOIN pg_class leaf ON leaf.oid = t.relid
     WHERE t.isleaf AND (leaf.relkind <> 'r' OR leaf.relpersistence <> 'p')),
    (SELECT string_agg(DISTINCT x.name, ', ') FROM
        (SELECT tgrelid, tgname, tgenabled FROM pg_trigger WHERE NOT tgisinternal
         UNION ALL SELECT ev_class, rulename, ev_enabled FROM pg_rewrite
         WHERE rulename <> '_RETURN') AS x (relid, name, enabled)
     WHERE x.enabled IN ('A', 'R')
        AND (x.relid = c.oid OR x.relid IN (SELECT relid FROM pg_partition_tree(c.oid))))
FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE c.relkind IN ('r', 'p', 'f', 'm') AND c.relpersistence <> 't' AND {NOT_OURS}
ORDER BY n.nspname, c.relname"""  # noqa: S608 - NOT_OURS is a constant

COLUMNS = """
SELECT a.attrelid::int8, a.attnum, a.attname, a.atttypid::int8, a.atttypmod,
    format_type(a.atttypid, a.atttypmod), a.attnotnull, a.attidentity::text, a.attgenerated::text,
    (a.atthasdef AND a.attgenerated = '') OR a.attidentity <> '' OR t.typdefault IS NOT NULL,
    EXISTS (SELECT FROM pg_index i WHERE i.indrelid = a.attrelid AND a.attnum = ANY (i.indkey)
            AND CASE WHEN c.relreplident = 'i' THEN i.indisreplident ELSE i.indisprimary END),
    a.attgenerated = ''
        OR a.attgenerated = 's' AND current_setting('server_version_num')::int >= 180000,
    CASE WHEN b.typtype = 'b' AND b.typelem = 0 THEN bn.nspname ELSE 'pg_catalog' END
FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid
JOIN pg_type t ON t.oid = a.atttypid
JOIN pg_type b ON b.oid = CASE WHEN t.typtype = 'd' THEN t.typbasetype ELSE t.oid END
JOIN pg_namespace bn ON bn.oid = b.typnamespace
WHERE a.attrelid = ANY (%s::int8[]::oid[]) AND a.attnum > 0 AND NOT a.attisdropped
ORDER BY a.attrelid, a.attnum"""

VERSIONS = """
SELECT attrelid::int8, array_agg(DISTINCT xmin::text),
    coalesce(array_agg(attnum) FILTER (WHERE attisdropped), '{}')
FROM pg_attribute WHERE attrelid = ANY (%s::int8[]::oid[]) AND attnum > 0 GROUP BY attrelid"""
"""The transactions that last wrote a table's columns (another one means that DDL came between),
and the numbers of dropped columns."""


_PARTITIONS = """
SELECT root.oid::int8, c.oid::int8, n.nspname || '.' || c.relname,
    pg_relation_filenode(c.oid)::int8
FROM unnest(%s::int8[]) AS root (oid) CROSS JOIN pg_partition_tree(root.oid::oid::regclass) t
JOIN pg_class c ON c.oid = t.relid JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE t.isleaf AND c.relispartition ORDER BY 3"""

Partition = tuple[int, str, int]
"""OID, `schema.table`, and the number of its file, which TRUNCATE changes."""


class CarriedColumn(Message):
    """A column of a carried table, as it was at the snapshot."""

    attnum: int
    name: str
    type: str
    """As `format_type` writes it, such as `character varying(20)`."""
    type_oid: int
    typmod: int
    not_null: bool = False
    key: bool = False
    """Part of what identifies a row: the primary key, or the replica identity's index."""
    identity: str = ""
    """`a` GENERATED ALWAYS, `d` BY DEFAULT AS IDENTITY."""
    generated: str = ""
    """`s` stored, `v` virtual."""
    default: bool = False
    """A row without this column gets a value that nobody wrote."""
    sent: bool = True
    """Whether changes hold it: since PostgreSQL 18 also what is generated and stored."""
    equals: str = "pg_catalog"
    """The schema of the type's `=`."""


class Carried(Message):
    """A table that follows production, as it was at the snapshot."""

    oid: int
    schema_name: str
    table: str
    partitioned: bool = False
    columns: list[CarriedColumn]
    partitions: list[Partition] = []
    versions: list[str] = []
    """The transactions that had last written its columns in the catalog."""

    @property
    def name(self) -> str:
        """`schema.table`."""
        return f"{self.schema_name}.{self.table}"


class NotCarried(Message):
    """Something whose later changes a rollback would not bring back."""

    table: str
    why: str


async def carriable(connection: Connection) -> tuple[list[Carried], list[NotCarried]]:
    """Return the tables of production that can follow, and what cannot, with the reason.

    Run it in the snapshot of the backup: OIDs, columns and names are those of the side database.
    A table that has nothing to identify its rows by is left out, since publishing it would make
    its UPDATEs and DELETEs fail on production.
    """
    found, left = [], []
    for one in await rows(connection, _TABLES):
        oid, schema, table, kind, *_ = one
        if one[5]:
            continue  # a partition: its root stands for it
        why = _obstacle(*one[3:5], *one[6:])
        if why:
            left.append(NotCarried(table=f"{schema}.{table}", why=why))
        else:
            found.append((oid, schema, table, kind == "p"))
    (objects,) = (await rows(connection, "SELECT count(*) FROM pg_largeobject_metadata"))[0]
    if objects:
        why = f"{objects} large objects: logical replication does not send them"
        left.append(NotCarried(table="pg_largeobject", why=why))
    carried = []
    for table in await _describe(connection, found):
        if any(one.key and not one.sent for one in table.columns):
            why = "a generated column identifies its rows, which is not sent"
            left.append(NotCarried(table=table.name, why=why))
        else:
            carried.append(table)
    return carried, left


def _obstacle(
    kind: str,
    persistence: str,
    identity: str,
    has_key: bool,
    has_identity: bool,
    extension: str | None,
    odd: str | None,
    elsewhere: str | None,
    fires: str | None,
) -> str:
    """Say why a table cannot be carried; empty when it can."""
    if extension:
        return f"it belongs to the extension {extension}"
    if kind == "f":
        return "it is a foreign table: its rows are on another server"
    if kind == "m":
        return "it is a materialized view: it stays as it was until it is refreshed"
    if persistence == "u":
        return "it is unlogged: its changes are in no log"
    if fires:
        return f"its trigger or rule {fires} also fires for what is replicated: it would twice"
    if kind == "p" and elsewhere:
        return f"its partitions {elsewhere} are foreign or unlogged"
    if kind == "p" and (identity != "d" or not has_key or odd):
        return "it is partitioned and its partitions are not all identified by its primary key"
    usable = {"d": has_key, "i": has_identity, "f": True}.get(identity, False)
    return "" if usable else "it has no primary key and no other replica identity"


async def _describe(
    connection: Connection, tables: list[tuple[int, str, str, bool]]
) -> list[Carried]:
    columns = await columns_of(connection, [oid for oid, *_ in tables])
    versions = await versions_of(connection, [oid for oid, *_ in tables])
    partitions = await partitions_of(connection, [oid for oid, *_ in tables])
    return [
        Carried(
            oid=oid,
            schema_name=schema,
            table=table,
            partitioned=partitioned,
            columns=columns.get(oid, []),
            partitions=partitions.get(oid, []),
            versions=versions.get(oid, []),
        )
        for oid, schema, table, partitioned in tables
    ]


async def columns_of(
    connection: Connection, tables: Sequence[int]
) -> dict[int, list[CarriedColumn]]:
    """Return the columns of tables by their OIDs, in order of attnum."""
    return group_columns(await rows(connection, COLUMNS, list(tables)))


def group_columns(found: Iterable[Sequence[Any]]) -> dict[int, list[CarriedColumn]]:
    """Return what the query COLUMNS has found, by table."""
    grouped: dict[int, list[CarriedColumn]] = {}
    for oid, *rest in found:
        grouped.setdefault(oid, []).append(_column(*rest))
    return grouped


async def partitions_of(
    connection: Connection, tables: Sequence[int]
) -> dict[int, list[Partition]]:
    """Return the partitions with rows of partitioned tables."""
    found: dict[int, list[Partition]] = {}
    for root, *partition in await rows(connection, _PARTITIONS, list(tables)):
        oid, name, file = partition
        found.setdefault(root, []).append((oid, name, file))
    return found


async def versions_of(connection: Connection, tables: Sequence[int]) -> dict[int, list[str]]:
    """Return which transactions last wrote the columns of tables in the catalog."""
    found = await rows(connection, VERSIONS, list(tables))
    return {oid: sorted(seen) for oid, seen, _ in found}


def _column(
    attnum: int,
    name: str,
    type_oid: int,
    typmod: int,
    kind: str,
    not_null: bool,
    identity: str,
    generated: str,
    default: bool,
    key: bool,
    sent: bool,
    equals: str,
) -> CarriedColumn:
    return CarriedColumn(
        attnum=attnum,
        name=name,
        type=kind,
        type_oid=type_oid,
        typmod=typmod,
        not_null=not_null,
        key=key,
        identity=identity,
        generated=generated,
        default=default,
        sent=sent,
        equals=equals,
    )


def publication_sql(name: str, carried: Sequence[Carried], version: int) -> sql.Composed:
    """Return the statement that publishes the tables, partitions as their root.

    `version`: the server's, such as 180004. PostgreSQL 18 must send generated columns: it forbids
    UPDATEs of tables whose replica identity holds one that is not sent.
    """
    options = "publish_via_partition_root = true"
    if version >= WITH_GENERATED:
        options += ", publish_generated_columns = stored"
    tables = [
        sql.SQL("{}{}").format(
            sql.SQL("" if one.partitioned else "ONLY "),
            sql.Identifier(one.schema_name, one.table),
        )
        for one in carried
    ]
    return sql.SQL("CREATE PUBLICATION {} FOR TABLE {} WITH ({})").format(
        sql.Identifier(name),
        sql.SQL(", ").join(tables),
        sql.SQL(options),
    )
