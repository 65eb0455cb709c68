"""What a database holds: fingerprints of its tables and schema, its ledger, its sequences."""

from dataclasses import dataclass

from psycopg import sql

from activities.adapters.postgres.sessions import Connection, Sessions, row, rows
from activities.adapters.postgres.url import Target
from slipway import pg_commands
from slipway.errors import SlipwayError, Unreachable
from slipway.judgements.backup import schema_sha256
from slipway.messages.migration import AppliedMigration
from slipway.messages.record import TableFingerprint

_LARGEST_SCHEMA = 64 * 1024 * 1024
_LONGEST_LEDGER = 10_000

_TABLES = """
SELECT n.nspname, c.relname
FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE c.relkind = 'r' AND c.relpersistence <> 't'
  AND n.nspname NOT IN ('information_schema', 'slipway_fallback')
  AND n.nspname !~ '^pg_'
  AND NOT EXISTS (SELECT FROM pg_depend d WHERE d.classid = 'pg_class'::regclass
                  AND d.objid = c.oid AND d.deptype = 'e')
ORDER BY 1, 2"""
"""Tables with rows of their own: the leaves of a partitioned table, not its parents, so that no
row is counted twice; no temporary tables and none that belong to an extension. The schema left out
is `pg_commands.FALLBACK_SCHEMA`."""

_SEQUENCES = """
SELECT schemaname, sequencename, last_value, increment_by, cycle FROM pg_sequences
WHERE last_value IS NOT NULL AND schemaname <> 'slipway_fallback' ORDER BY 1, 2"""


@dataclass(frozen=True)
class Sequence:
    """A sequence that has been used, and how far it has come."""

    schema: str
    name: str
    last: int
    step: int
    cycles: bool = False


async def table_names(connection: Connection) -> list[tuple[str, str]]:
    """Return schema and name of every table that holds rows, in order."""
    return [(schema, name) for schema, name in await rows(connection, _TABLES)]


def as_texts(columns: list[str], of: str = "") -> sql.Composable:
    """Return the expression of a row as JSON: each value as the server prints it, which no type
    loses anything by (`to_jsonb` would reorder a json value, for one). `of`: the row's name."""
    whole = sql.SQL(of)
    names = sql.SQL(", ").join(sql.Literal(one) for one in columns)
    values = [sql.SQL("{}{}").format(whole, sql.Identifier(one)) for one in columns]
    texts = sql.SQL(", ").join(
        sql.SQL("CASE WHEN {0} IS NOT DISTINCT FROM NULL THEN NULL ELSE concat({0}) END").format(
            one
        )
        for one in values
    )
    return sql.SQL("json_object(ARRAY[{}]::text[], ARRAY[{}]::text[])").format(names, texts)


async def fingerprints(connection: Connection, only: str | None = None) -> list[TableFingerprint]:
    """Return rows and content hash of every table, or of one (`schema.table`), by the server.

    Hashed as text: `hash_record_extended` would be faster but hashes the OIDs of enum values,
    which differ in every copy. What else a dump carries: `postgres_extent`.
    """
    found = []
    for schema, name in await table_names(connection):
        if only not in (None, f"{schema}.{name}"):
            continue
        found.append(await fingerprint_of(connection, schema, name))
    return found


async def fingerprint_of(connection: Connection, schema: str, name: str) -> TableFingerprint:
    """Return rows and content hash of one table or materialized view."""
    cursor = await connection.execute(
        sql.SQL(
            "SELECT count(*), coalesce(sum(hashtextextended(slipway_row::text, 0)::numeric), 0)"
            "::text FROM ONLY {} AS slipway_row"
        ).format(sql.Identifier(schema, name))
    )
    count, total = await cursor.fetchone() or (0, "0")
    return TableFingerprint(table=f"{schema}.{name}", rows=count, hash=total)


async def sequences(connection: Connection) -> list[Sequence]:
    """Return every sequence that has been used."""
    return [Sequence(*one) for one in await rows(connection, _SEQUENCES)]


def earlier(before: list[Sequence], after: list[Sequence]) -> list[Sequence]:
    """Return each sequence as it stood at the one of two looks when it had come less far: whatever
    is read between them is at least there. Those that may begin again by themselves are left out.
    """
    later = {(one.schema, one.name): one for one in after}
    found = []
    for one in before:
        then = later.get((one.schema, one.name))
        if then is not None and not one.cycles:
            found.append(then if (then.last - one.last) * one.step < 0 else one)
    return found


async def advance_sequences(connection: Connection, wanted: list[Sequence]) -> int:
    """Move sequences forward to where `wanted` has them, never back; return how many moved.

    Identifiers that were given out once are not given out again, even when their rows are gone.
    """
    moved = 0
    here = {(one.schema, one.name): one for one in await sequences(connection)}
    known = set(await rows(connection, "SELECT schemaname, sequencename FROM pg_sequences"))
    for one in wanted:
        now = here.get((one.schema, one.name))
        behind = now is None or (one.last - now.last) * one.step > 0
        if (one.schema, one.name) in known and behind:
            await connection.execute(
                sql.SQL("SELECT setval({}::regclass, {})").format(
                    sql.Literal(sql.Identifier(one.schema, one.name).as_string(connection)),
                    sql.Literal(one.last),
                )
            )
            moved += 1
    return moved


async def invalid_indexes(connection: Connection) -> list[str]:
    """Return the indexes that no query uses although every write maintains them: what is left of
    a CREATE INDEX CONCURRENTLY that broke off."""
    found = await rows(
        connection,
        "SELECT i.indexrelid::regclass::text FROM pg_index i"
        " JOIN pg_class c ON c.oid = i.indexrelid AND c.relkind = 'i'"
        " WHERE NOT i.indisvalid ORDER BY 1",
    )
    return [str(one[0]) for one in found]


async def ledger(connection: Connection, table: str) -> list[AppliedMigration]:
    """Return the migration ledger, newest first; empty when there is no such table yet."""
    schema, _, name = table.partition(".")
    there = await row(
        connection,
        "SELECT 1 FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace"
        " WHERE n.nspname = %s AND c.relname = %s",
        schema,
        name,
    )
    if there is None:
        return []
    cursor = await connection.execute(
        sql.SQL(
            "SELECT hash, created_at, coalesce(to_jsonb(kept) ->> 'name', '') FROM {} AS kept"
            " ORDER BY created_at DESC, id DESC LIMIT {}"
        ).format(sql.Identifier(schema, name), sql.Literal(_LONGEST_LEDGER + 1))
    )
    found = await cursor.fetchall()
    if len(found) > _LONGEST_LEDGER:
        raise SlipwayError(f"The ledger {table} holds more than {_LONGEST_LEDGER} rows.")
    return [
        AppliedMigration(hash=str(digest), created_at=int(when), name=str(name)[:300])
        for digest, when, name in found
    ]


async def schema_fingerprint(
    postgres: Sessions, target: Target, snapshot: str | None = None
) -> str:
    """Return the digest of a database's schema, as of an exported snapshot when one is given."""
    return schema_sha256(await schema_text(postgres, target, snapshot))


async def schema_text(postgres: Sessions, target: Target, snapshot: str | None = None) -> str:
    """Return a database's schema as SQL."""
    command = pg_commands.schema(postgres.tool("pg_dump"), target.where, snapshot)
    done = await postgres.run_tool(command, target, keep=_LARGEST_SCHEMA)
    if done.code:
        raise Unreachable(
            f"The schema of {target.name} cannot be read: {done.words}",
            "Check the role's rights and that no long lock is held, then retry.",
        )
    if len(done.stdout) >= _LARGEST_SCHEMA:
        raise SlipwayError(f"The schema of {target.name} is longer than 64 MiB.")
    return done.stdout
