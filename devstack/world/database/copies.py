"""The databases of one environment: copies of the templates with their grants and settings."""

from typing import TYPE_CHECKING

import psycopg
from psycopg import sql

from devstack.world.database import access, templates

if TYPE_CHECKING:
    from devstack.stack import Stack

MARKER = "slipway.local_stack"
"""Database setting that says: this is the local stack, lengths may be divided."""
_STATEMENT_TIMEOUT = "120s"


def ensure_production(stack: "Stack", database: str, size_mb: int) -> None:
    """Create an environment's production database; keep it when it is there."""
    template = templates.ensure_template(stack, templates.PRODUCTION, size_mb)
    _ensure(stack, database, template, (access.APP, access.PROBE, access.ADMIN))


def ensure_staging(stack: "Stack", database: str, size_mb: int) -> None:
    """Create an environment's staging database; keep it when it is there."""
    template = templates.ensure_template(stack, templates.STAGING, size_mb)
    _ensure(stack, database, template, (access.APP, access.STAGING, access.ADMIN))


def drop_all(stack: "Stack", prefix: str) -> None:
    """Drop a production database, its staging twin and everything a rollback left beside them."""
    _forget_fences(stack, prefix)  # first: whoever follows the database then ends
    with access.taking_turns(stack) as connection:
        rows = connection.execute(
            "SELECT datname FROM pg_database WHERE datname = %s OR starts_with(datname, %s)",
            [prefix, f"{prefix}_"],
        ).fetchall()
        for (name,) in rows:
            templates.drop(connection, name)


def _forget_fences(stack: "Stack", database: str) -> None:
    """A database made anew begins without the fences of the one before, as its Lease does."""
    with psycopg.connect(access.url(stack, access.ADMIN, access.CONTROL)) as connection:
        for table in ("fence", "attempt", "database_swap", "migration_start", "fallback"):
            known = connection.execute("SELECT to_regclass(%s)", [f"slipway.{table}"]).fetchone()
            if known and known[0]:
                connection.execute(
                    sql.SQL("DELETE FROM slipway.{} WHERE database = %s").format(
                        sql.Identifier(table)
                    ),
                    [database],
                )


def _ensure(stack: "Stack", database: str, template: str, logins: tuple[str, ...]) -> None:
    with access.taking_turns(stack) as connection:
        if access.exists(connection, database):
            return
        templates.create(connection, database, template)
        _settle(connection, database, logins)


def _settle(connection: psycopg.Connection, database: str, logins: tuple[str, ...]) -> None:
    """Give grants and settings that live outside the database and follow no dump."""
    name = sql.Identifier(database)
    for login in logins:
        connection.execute(
            sql.SQL("GRANT CONNECT ON DATABASE {} TO {}").format(name, sql.Identifier(login))
        )
    settings = {
        "timezone": "UTC",
        "statement_timeout": _STATEMENT_TIMEOUT,
        MARKER: "true",
    }
    for key, value in settings.items():
        connection.execute(
            sql.SQL("ALTER DATABASE {} SET {} = {}").format(
                name, sql.SQL(".").join(map(sql.Identifier, key.split("."))), sql.Literal(value)
            )
        )
