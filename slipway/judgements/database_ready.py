"""Whether the database server offers what backup, migration and rollback need."""

from collections.abc import Mapping
from dataclasses import dataclass

from slipway.messages.preflight import Finding
from slipway.plan import Database


@dataclass(frozen=True)
class DatabaseStanding:
    """The server as slipway's roles see it. Sizes in bytes."""

    database: str
    role: str
    server_version: str
    server_major: int
    tools_major: int
    wal_level: str
    size: int
    local_setting: str
    may_create_databases: bool
    may_create_roles: bool
    may_end_sessions: bool
    owns_database: bool
    acts_as_owner: bool
    may_grant_owner: bool
    admin_database: str
    admin_elsewhere: bool
    """Whether admin_url leads to another server."""
    probe_elsewhere: bool
    hosts: Mapping[str, str]
    """Host by name of the reference."""


def judge_database(standing: DatabaseStanding, database: Database) -> list[Finding]:
    """Return what is missing, each with the statement that grants it."""
    role, owner = standing.role, database.owner
    rights = (
        (standing.may_create_databases, "create databases", f"ALTER ROLE {role} CREATEDB;"),
        (standing.may_create_roles, "create roles", f"ALTER ROLE {role} CREATEROLE;"),
        (standing.may_end_sessions, "end sessions", f"GRANT pg_signal_backend TO {role};"),
        (
            standing.owns_database,
            f"rename database {standing.database}",
            f"ALTER DATABASE {standing.database} OWNER TO {owner};",
        ),
        (standing.acts_as_owner, f"act as {owner}", f"GRANT {owner} TO {role};"),
        (
            standing.may_grant_owner,
            f"grant {owner} to a migration's own role",
            f"GRANT {owner} TO {role} WITH ADMIN OPTION;",
        ),
    )
    found = [
        _block(f"Role {role} may not {what}.", f"Run as administrator: {remedy}")
        for given, what, remedy in rights
        if not given
    ]
    return [*found, *_addresses(standing, database), *_versions(standing)]


def _addresses(standing: DatabaseStanding, database: Database) -> list[Finding]:
    found = []
    if standing.database != database.name:
        found.append(
            _block(
                f"database.url opens {standing.database}, the plan names {database.name}.",
                "Correct the reference or the name.",
            )
        )
    if standing.admin_elsewhere or standing.admin_database == database.name:
        found.append(
            _block(
                f"database.admin_url opens {standing.admin_database}.",
                "Let it open another database of the same server: it must stay open while "
                f"{database.name} is closed and renamed.",
            )
        )
    if standing.probe_elsewhere:
        found.append(
            _block(
                "database.probe_url opens another database than database.url.",
                "Correct the reference: the probes would look at other data.",
            )
        )
    return found


def _versions(standing: DatabaseStanding) -> list[Finding]:
    found = []
    if standing.tools_major != standing.server_major:
        found.append(
            _block(
                f"pg_dump is version {standing.tools_major}, the server is version "
                f"{standing.server_major}.",
                f"Install the PostgreSQL {standing.server_major} client tools and set "
                "SLIPWAY_PG_BIN to their folder.",
            )
        )
    if standing.wal_level != "logical":
        found.append(
            Finding(
                severity="note",
                what=f"wal_level is {standing.wal_level}.",
                remedy="With `logical` later versions can keep writes through a rollback.",
            )
        )
    return found


def _block(what: str, remedy: str) -> Finding:
    return Finding(severity="block", what=what, remedy=remedy)
