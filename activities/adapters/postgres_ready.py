"""What the preflight wants to know of the database server: versions, rights, room, markers."""

from activities.adapters.postgres_sessions import Sessions, row
from slipway.errors import BadInput
from slipway.judgements.database_ready import DatabaseStanding
from slipway.plan import Database
from slipway.verdicts import Reason

_STANDING = """
SELECT current_database(), current_user::text,
       current_setting('server_version'), current_setting('server_version_num')::int / 10000,
       current_setting('wal_level'), pg_database_size(d.oid),
       coalesce(current_setting('slipway.local_stack', true), ''),
       r.rolsuper OR r.rolcreatedb, r.rolsuper OR r.rolcreaterole,
       pg_has_role('pg_signal_backend', 'USAGE'), pg_has_role(d.datdba, 'USAGE'),
       coalesce((SELECT pg_has_role(o.oid, 'USAGE') FROM pg_roles o WHERE o.rolname = %s), false),
       coalesce((SELECT pg_has_role(o.oid, 'USAGE WITH ADMIN OPTION')
                 FROM pg_roles o WHERE o.rolname = %s), false),
       pg_postmaster_start_time()::text
FROM pg_database d, pg_roles r
WHERE d.datname = current_database() AND r.rolname = current_user
"""
_SERVER = "SELECT current_database(), pg_postmaster_start_time()::text"


async def standing(sessions: Sessions, database: Database, staging: str) -> DatabaseStanding:
    """Look at every database of a plan with each of its references.

    Raises SlipwayErrors for one that cannot be opened.
    """
    owner = database.owner
    async with sessions.session(
        sessions.target(database.url), "preflight", read_only=True
    ) as connection:
        found = await row(connection, _STANDING, owner, owner)
    if found is None:
        raise BadInput("The server does not know its own database.", "Retry.")
    admin, admin_start = await _server(sessions, database.admin_url)
    probe, probe_start = await _server(sessions, database.probe_url)
    await _server(sessions, staging)
    return DatabaseStanding(
        database=found[0],
        role=found[1],
        server_version=found[2],
        server_major=found[3],
        tools_major=await sessions.tool_major(),
        wal_level=found[4],
        size=found[5],
        local_setting=found[6],
        may_create_databases=found[7],
        may_create_roles=found[8],
        may_end_sessions=found[9],
        owns_database=found[10],
        acts_as_owner=found[11],
        may_grant_owner=found[12],
        admin_database=admin,
        admin_elsewhere=admin_start != found[13],
        probe_elsewhere=probe_start != found[13] or probe != found[0],
        hosts={
            name: sessions.target(reference).host
            for name, reference in (
                ("database.url", database.url),
                ("database.admin_url", database.admin_url),
                ("database.probe_url", database.probe_url),
                ("staging.database", staging),
            )
        },
    )


async def _server(sessions: Sessions, reference: str) -> tuple[str, str]:
    """Return which database a reference opens, and when its server started."""
    async with sessions.session(sessions.target(reference), "preflight", read_only=True) as one:
        found = await row(one, _SERVER)
    if found is None:
        raise BadInput(f"{reference} opens nothing.", "Retry.", reason=Reason.ENVIRONMENT_NOT_READY)
    return str(found[0]), str(found[1])
