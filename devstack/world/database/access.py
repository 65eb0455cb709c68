"""Roles of the databases and how to connect as each of them."""

import secrets
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, LiteralString
from urllib.parse import quote

import psycopg
from psycopg import sql

from devstack.world import layout

if TYPE_CHECKING:
    from collections.abc import Iterator

    from devstack.stack import Stack

OWNER = "teei_owner"
"""Owns the databases and everything in them; nobody logs in as it."""
APP = "teei_app"
PROBE = "teei_probe"
EXPORTER = "teei_exporter"
ADMIN = "slipway_admin"
STAGING = "slipway_staging"
CONTROL = "slipway"
"""The database from which production can always be reopened."""

LOGINS: dict[str, LiteralString] = {
    APP: "LOGIN CONNECTION LIMIT 120",
    PROBE: "LOGIN CONNECTION LIMIT 20",
    EXPORTER: "LOGIN CONNECTION LIMIT 10",
    ADMIN: "LOGIN CREATEDB CREATEROLE REPLICATION CONNECTION LIMIT 60",
    STAGING: "LOGIN CONNECTION LIMIT 20",
}
_MEMBERSHIPS: tuple[LiteralString, ...] = (
    "GRANT teei_owner TO slipway_admin WITH ADMIN TRUE, INHERIT TRUE, SET TRUE",
    "GRANT pg_signal_backend TO slipway_admin",
    "GRANT pg_monitor TO slipway_admin",
    # copied to the database that a rollback swaps in; a setting unknown to the server needs it
    "GRANT SET ON PARAMETER slipway.local_stack TO slipway_admin",
    # the side database that follows production fires no trigger a second time
    "GRANT SET ON PARAMETER session_replication_role TO slipway_admin",
    "GRANT pg_monitor TO teei_exporter",
    "GRANT pg_read_all_data TO teei_probe",
    "GRANT pg_read_all_data TO slipway_staging",
    "ALTER ROLE teei_probe SET default_transaction_read_only = on",
    "ALTER ROLE slipway_staging SET default_transaction_read_only = on",
)
_LOCK = 7_117_001
"""Advisory lock: environments made side by side take turns with what they share."""


def password(stack: "Stack", role: str) -> str:
    """Return a role's password, made once and kept with the stack's secrets."""
    path = layout.root(stack) / "secrets" / f"{role}.password"
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        layout.write_text(path, secrets.token_urlsafe(24), mode=0o600)
    return path.read_text().strip()


def url(stack: "Stack", role: str, database: str) -> str:
    """Return the connection address of a role, password included."""
    word = quote(password(stack, role), safe="")
    return f"postgresql://{role}:{word}@{stack.pg_host}:{stack.pg_port}/{database}"


def url_file(stack: "Stack", folder: Path, role: str, database: str) -> Path:
    """Write a role's address to a private file and return it, for `file:` references."""
    path = folder / f"{role}@{database}.url"
    layout.write_text(path, url(stack, role, database) + "\n", mode=0o600)
    return path


def superuser(
    stack: "Stack", database: str = "postgres", *, acting_as: str | None = None
) -> psycopg.Connection:
    """Connect as the server's superuser, optionally acting as another role; autocommit."""
    options = "-c statement_timeout=300s" + (f" -c role={acting_as}" if acting_as else "")
    return psycopg.connect(
        host=stack.pg_host,
        port=stack.pg_port,
        user=stack.pg_superuser,
        password=stack.pg_superuser_password,
        dbname=database,
        autocommit=True,
        connect_timeout=60,
        options=options,
    )


@contextmanager
def taking_turns(stack: "Stack") -> "Iterator[psycopg.Connection]":
    """Hold the lock on what all environments share (roles, templates)."""
    with superuser(stack) as connection:
        connection.execute("SELECT pg_advisory_lock(%s)", [_LOCK])
        yield connection


def ensure_roles(stack: "Stack", connection: psycopg.Connection) -> None:
    """Create the roles and the control database, or bring them to what they should be."""
    _ensure_role(connection, OWNER, sql.SQL("NOLOGIN"))
    for role, rights in LOGINS.items():
        words = sql.SQL("{} PASSWORD {}").format(
            sql.SQL(rights), sql.Literal(password(stack, role))
        )
        _ensure_role(connection, role, words)
    for statement in _MEMBERSHIPS:
        connection.execute(statement)
    if not exists(connection, CONTROL):
        connection.execute("CREATE DATABASE slipway OWNER slipway_admin")
    connection.execute("REVOKE CONNECT ON DATABASE slipway FROM PUBLIC")
    connection.execute("GRANT CONNECT ON DATABASE slipway TO teei_exporter")


def exists(connection: psycopg.Connection, database: str) -> bool:
    """Return whether the server has the database."""
    query = "SELECT 1 FROM pg_database WHERE datname = %s"
    return connection.execute(query, [database]).fetchone() is not None


def _ensure_role(connection: psycopg.Connection, role: str, rights: sql.Composable) -> None:
    known = connection.execute("SELECT 1 FROM pg_roles WHERE rolname = %s", [role]).fetchone()
    verb = sql.SQL("ALTER ROLE" if known else "CREATE ROLE")
    connection.execute(sql.SQL("{} {} {}").format(verb, sql.Identifier(role), rights))
