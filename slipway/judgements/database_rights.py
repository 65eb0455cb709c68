"""Every right that slipway's database roles need: what for, how it is asked, what grants it.

The preflight asks each of them of the server, and names the statement of each that is missing.
`check` is an SQL expression; `%(owner)s`, `%(ledger)s` and `%(database)s` are given to it.
"""

from dataclasses import dataclass, replace
from enum import StrEnum

BEFORE_OPTIONS = 15
"""The last major version in which a grant of a role had no INHERIT and SET options."""


class Login(StrEnum):
    """One of slipway's ways into a database, as a plan names it."""

    PRODUCTION = "database.url"
    CONTROL = "database.admin_url"
    PROBE = "database.probe_url"
    STAGING = "staging.database"
    RESTORE = "database.restore_server"
    """Only where the plan names one."""


@dataclass(frozen=True)
class DatabaseRight:
    """A right of one of the roles. In `grant` `{role}` is who lacks it."""

    login: Login
    what: str
    why: str
    check: str
    grant: str
    grant_15: str = ""
    """The same before PostgreSQL 16, where it was written otherwise."""
    blocks: bool = True
    """False: something cannot be looked at without it, nothing fails."""
    whose: str = "{role}"
    """Who lacks it."""

    def statement(self, major: int) -> str:
        """Return what grants it on a server of that major version."""
        return self.grant_15 if self.grant_15 and major <= BEFORE_OPTIONS else self.grant


def _attribute(name: str) -> str:
    return f"(SELECT rolsuper OR {name} FROM pg_roles WHERE rolname = current_user)"


def _of_owner(expression: str) -> str:
    """An expression about the owner `o`; false when there is no such role."""
    query = f"SELECT {expression} FROM pg_roles o WHERE o.rolname = %(owner)s"
    return f"coalesce(({query}), false)"


_DATABASE = "(SELECT d.datdba FROM pg_database d WHERE d.datname = current_database())"
_LEDGER = (
    "(SELECT c.oid FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace"
    " WHERE n.nspname || '.' || c.relname = %(ledger)s)"
)

RIGHTS = (
    DatabaseRight(
        Login.PRODUCTION,
        "create databases",
        "a backup is proved in a database of its own, and a rollback renames",
        _attribute("rolcreatedb"),
        "ALTER ROLE {role} CREATEDB;",
    ),
    DatabaseRight(
        Login.PRODUCTION,
        "create roles",
        "each attempt at migrating logs in as a role of its own, which can be shut out",
        _attribute("rolcreaterole"),
        "ALTER ROLE {role} CREATEROLE;",
    ),
    DatabaseRight(
        Login.PRODUCTION,
        "end sessions of others",
        "a rollback of the database ends them before it renames",
        "pg_has_role('pg_signal_backend', 'USAGE')",
        "GRANT pg_signal_backend TO {role};",
    ),
    DatabaseRight(
        Login.PRODUCTION,
        "rename database {database}",
        "only its owner may, and a rollback swaps names",
        # whether the membership is inherited is asked below, of the same role
        f"pg_has_role({_DATABASE}, 'MEMBER')",
        "ALTER DATABASE {database} OWNER TO {owner};",
    ),
    DatabaseRight(
        Login.PRODUCTION,
        "do what {owner} may",
        "it reads and replaces what that role owns",
        _of_owner("pg_has_role(o.oid, 'USAGE')"),
        "GRANT {owner} TO {role} WITH INHERIT TRUE;",
        grant_15="GRANT {owner} TO {role};",
    ),
    DatabaseRight(
        Login.PRODUCTION,
        "act as {owner}",
        "what is restored must belong to that role",
        _of_owner("pg_has_role(o.oid, '{set}')"),
        "GRANT {owner} TO {role} WITH SET TRUE;",
        grant_15="GRANT {owner} TO {role};",
    ),
    DatabaseRight(
        Login.PRODUCTION,
        "grant {owner} to others",
        "the role of an attempt at migrating acts as the owner",
        _of_owner("pg_has_role(o.oid, 'USAGE WITH ADMIN OPTION')"),
        "GRANT {owner} TO {role} WITH ADMIN TRUE;",
        grant_15="GRANT {owner} TO {role} WITH ADMIN OPTION;",
    ),
    DatabaseRight(
        Login.PRODUCTION,
        "create schemas in {database}",
        "the migration tool begins with CREATE SCHEMA IF NOT EXISTS, which asks for it also when "
        "the schema is there",
        _of_owner("has_database_privilege(o.oid, current_database(), 'CREATE')")
        # whose database it is comes first: the right goes with the ownership
        + f" OR NOT pg_has_role({_DATABASE}, 'MEMBER')",
        "GRANT CREATE ON DATABASE {database} TO {owner};",
        whose="{owner}",
    ),
    DatabaseRight(
        Login.PRODUCTION,
        "write the ledger {ledger}",
        "each migration is entered there",
        f"{_LEDGER} IS NULL OR " + _of_owner(f"has_table_privilege(o.oid, {_LEDGER}, 'INSERT')"),
        "GRANT INSERT ON {ledger} TO {owner};",
        whose="{owner}",
    ),
    DatabaseRight(
        Login.PRODUCTION,
        "see other sessions and the server's WAL",
        "workers that keep the database open, an autovacuum that a migration should wait out, and "
        "the room that WAL takes stay unseen without it",
        "pg_has_role('pg_monitor', 'USAGE')",
        "GRANT pg_monitor TO {role};",
        blocks=False,
    ),
    DatabaseRight(
        Login.PRODUCTION,
        "replicate",
        "without it the restored copy cannot follow, and a rollback of the database loses what "
        "was written since",
        _attribute("rolreplication"),
        "ALTER ROLE {role} REPLICATION;",
        blocks=False,
    ),
    DatabaseRight(
        Login.PRODUCTION,
        "set session_replication_role",
        "the restored copy that follows must not fire triggers a second time; without it a "
        "rollback of the database loses what was written since",
        "has_parameter_privilege('session_replication_role', 'SET')",
        "GRANT SET ON PARAMETER session_replication_role TO {role};",
        blocks=False,
    ),
    DatabaseRight(
        Login.CONTROL,
        "create a schema in {database}",
        "fences and attempts are kept there, where they are reached while production is closed",
        "has_database_privilege(current_database(), 'CREATE')",
        "GRANT CREATE ON DATABASE {database} TO {role};",
    ),
    DatabaseRight(
        Login.STAGING,
        "enter the schema of the ledger {ledger}",
        "a migration must have been applied in staging first",
        f"{_LEDGER} IS NULL OR has_schema_privilege(split_part(%(ledger)s, '.', 1), 'USAGE')",
        "GRANT USAGE ON SCHEMA {ledger_schema} TO {role};",
    ),
    DatabaseRight(
        Login.STAGING,
        "read the ledger {ledger}",
        "a migration must have been applied in staging first",
        f"{_LEDGER} IS NULL OR has_table_privilege({_LEDGER}, 'SELECT')",
        "GRANT SELECT ON {ledger} TO {role};",
    ),
)

_FOR_COPIES = (
    "create databases",
    "create roles",
    "end sessions of others",
    "do what {owner} may",
    "act as {owner}",
    "grant {owner} to others",
    "set session_replication_role",
    "create a schema in {database}",
)
RESTORE_RIGHTS = tuple(
    replace(one, login=Login.RESTORE) for one in RIGHTS if one.what in _FOR_COPIES
)
"""What copies need on the server that the plan keeps them on."""
