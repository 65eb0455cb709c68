"""How far a backup reaches: what is proved beyond tables, what is kept beside, what is neither."""

from dataclasses import dataclass, field

import psycopg
from psycopg import sql

from activities.adapters.postgres import catalog
from activities.adapters.postgres.sessions import Connection, row, rows
from slipway.judgements.backup import LARGE_OBJECTS, not_covered
from slipway.messages.backup import DatabaseIdentity, PublicationNoted
from slipway.messages.record import TableFingerprint

_LARGE = """
SELECT count(*),
       coalesce(sum(hashtextextended(m.oid::text || ':' || encode(sha256(lo_get(m.oid)), 'hex'), 0)
                    ::numeric), 0)::text
FROM pg_largeobject_metadata m"""
_VIEWS = """
SELECT n.nspname, c.relname FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE c.relkind = 'm' AND c.relispopulated AND n.nspname <> 'slipway_fallback'
ORDER BY 1, 2"""
_IDENTITY = """
SELECT (SELECT system_identifier::text FROM pg_control_system()), oid
FROM pg_database WHERE datname = current_database()"""

_UNCOVERED = """
SELECT 'foreign table', format('%I.%I', n.nspname, c.relname)
FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE c.relkind = 'f' AND n.nspname <> 'slipway_fallback'
UNION ALL
SELECT 'extension table', format('%I.%I', n.nspname, c.relname)
FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
JOIN pg_depend d ON d.classid = 'pg_class'::regclass AND d.objid = c.oid AND d.deptype = 'e'
WHERE c.relkind = 'r'
UNION ALL
SELECT 'cycling sequence', format('%I.%I', schemaname, sequencename)
FROM pg_sequences WHERE cycle
UNION ALL
SELECT 'prepared transaction', gid FROM pg_prepared_xacts WHERE database = current_database()
UNION ALL
SELECT 'subscription', subname FROM pg_subscription s JOIN pg_database d ON d.oid = s.subdbid
WHERE d.datname = current_database()
ORDER BY 1, 2"""

_PUBLICATIONS = """
SELECT p.oid, p.pubname, p.puballtables, p.pubviaroot,
       concat_ws(', ', CASE WHEN pubinsert THEN 'insert' END, CASE WHEN pubupdate THEN 'update' END,
                 CASE WHEN pubdelete THEN 'delete' END, CASE WHEN pubtruncate THEN 'truncate' END)
FROM pg_publication p WHERE p.pubname !~ '^slipway' ORDER BY 2"""
_OBJECTS = """
SELECT format('TABLE ONLY %%I.%%I', n.nspname, c.relname)
       || coalesce((SELECT ' (' || string_agg(quote_ident(a.attname), ', ' ORDER BY a.attnum) || ')'
                    FROM pg_attribute a WHERE a.attrelid = c.oid AND a.attnum = ANY(r.prattrs)), '')
       || coalesce(' WHERE (' || pg_get_expr(r.prqual, c.oid) || ')', '')
FROM pg_publication_rel r JOIN pg_class c ON c.oid = r.prrelid
JOIN pg_namespace n ON n.oid = c.relnamespace WHERE r.prpubid = %s
UNION ALL
SELECT format('TABLES IN SCHEMA %%I', n.nspname)
FROM pg_publication_namespace s JOIN pg_namespace n ON n.oid = s.pnnspid WHERE s.pnpubid = %s
ORDER BY 1"""


@dataclass(frozen=True)
class Extent:
    """What a snapshot holds beside its tables, and what a backup of it does not speak for."""

    identity: DatabaseIdentity | None = None
    views: list[TableFingerprint] = field(default_factory=list)
    """Materialized views with their content."""
    publications: list[PublicationNoted] = field(default_factory=list)
    not_covered: list[str] = field(default_factory=list)


async def contents(session: Connection) -> tuple[list[TableFingerprint], Extent]:
    """Return the fingerprints of everything that a dump carries, and its extent."""
    tables = await catalog.fingerprints(session)
    large, left_out = await _large_objects(session)
    uncovered = await rows(session, _UNCOVERED)
    return [*tables, *large], Extent(
        identity=await identity(session),
        views=await views(session),
        publications=await publications(session),
        not_covered=[*not_covered([(str(kind), str(name)) for kind, name in uncovered]), *left_out],
    )


async def like(session: Connection, wanted: list[TableFingerprint]) -> list[TableFingerprint]:
    """Return the fingerprints of a copy, to be compared with `wanted`: of large objects only where
    `wanted` has them (older backups and those with too large ones have not)."""
    tables = await catalog.fingerprints(session)
    if any(one.table == LARGE_OBJECTS for one in wanted):
        tables += (await _large_objects(session))[0]
    return tables


async def identity(session: Connection) -> DatabaseIdentity | None:
    """Return which database this is; None where the role may not ask."""
    try:
        async with session.transaction():
            found = await row(session, _IDENTITY)
    except psycopg.errors.InsufficientPrivilege:
        return None
    return DatabaseIdentity(system=str(found[0]), oid=int(found[1])) if found else None


async def views(session: Connection) -> list[TableFingerprint]:
    """Return rows and content hash of every materialized view that holds any."""
    return [
        await catalog.fingerprint_of(session, schema, name)
        for schema, name in await rows(session, _VIEWS)
    ]


async def _large_objects(session: Connection) -> tuple[list[TableFingerprint], list[str]]:
    """Return one fingerprint of all large objects together, or why there is none."""
    try:
        async with session.transaction():
            count, total = await row(session, _LARGE) or (0, "0")
    except (psycopg.errors.ProgramLimitExceeded, psycopg.errors.OutOfMemory):
        return [], ["large objects: their content is not compared, one is too large"]
    found = [TableFingerprint(table=LARGE_OBJECTS, rows=count, hash=total)] if count else []
    return found, []


async def publications(session: Connection) -> list[PublicationNoted]:
    """Return the publications of a database, but for slipway's own, as statements."""
    found = []
    for oid, name, everything, via_root, operations in await rows(session, _PUBLICATIONS):
        objects = [str(one[0]) for one in await rows(session, _OBJECTS, oid, oid)]
        options = sql.SQL(" WITH (publish = {}, publish_via_partition_root = {})").format(
            sql.Literal(operations), sql.Literal(via_root)
        )
        what = " FOR ALL TABLES" if everything else f" FOR {', '.join(objects)}" if objects else ""
        words = sql.SQL("CREATE PUBLICATION {}").format(sql.Identifier(name)).as_string(session)
        definition = f"{words}{what}{options.as_string(session)};"
        found.append(PublicationNoted(name=name, definition=definition))
    return found


async def copy_publications(source: Connection, copy: Connection) -> list[str]:
    """Make a database's publications in a copy of it that has none; return, a sentence each,
    which could not be made, such as one that names a table the copy lacks."""
    missing = []
    for one in await publications(source):
        if await row(copy, "SELECT 1 FROM pg_publication WHERE pubname = %s", one.name):
            continue
        try:
            await copy.execute(one.definition.encode())
        except psycopg.Error as error:
            words = error.diag.message_primary or "refused"
            missing.append(f"publication {one.name}: {words}")
    return missing
