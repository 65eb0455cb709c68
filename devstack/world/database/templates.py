"""One template database per kind and size: migrated by the real command, filled, then copied."""

import hashlib
import os
import re
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import psycopg
from psycopg import sql

from devstack.world import drizzle
from devstack.world.database import access

if TYPE_CHECKING:
    from devstack.stack import Stack

PRODUCTION, STAGING = "production", "staging"
DEFAULT_MB = 50
_SEED = Path(__file__).with_name("seed.sql")
_FREE = 60.0
"""Seconds until nobody uses a database any more."""
_ROWS_PER_MB = 330
"""Users per megabyte of database, with all that hangs on them (measured)."""


def megabytes() -> int:
    """Return the size of a production database from DEVSTACK_DB_MB. Raises ValueError."""
    text = os.environ.get("DEVSTACK_DB_MB", str(DEFAULT_MB))
    if not text.isdigit() or not 10 <= int(text) <= 100_000:
        raise ValueError(f"DEVSTACK_DB_MB={text!r}: give megabytes between 10 and 100000")
    return int(text)


def ensure_template(stack: "Stack", kind: str, size_mb: int) -> str:
    """Return the name of the template of that kind and size, made if it is not there."""
    stamp = hashlib.sha256(_SEED.read_bytes() + drizzle.stamp().encode()).hexdigest()[:8]
    name = f"teei_template_{kind}_{size_mb}_{stamp}"
    with access.taking_turns(stack) as connection:
        access.ensure_roles(stack, connection)
        if access.exists(connection, name):
            return name
        scratch = f"{name}_building"
        drop(connection, scratch)
        create(connection, scratch)
        try:
            drizzle.migrate(stack, drizzle.shared_workspace(stack), scratch)
            _fill(stack, scratch, kind, size_mb)
        except BaseException:
            drop(connection, scratch)
            raise
        connection.execute(
            sql.SQL("ALTER DATABASE {} RENAME TO {}").format(
                sql.Identifier(scratch), sql.Identifier(name)
            )
        )
    return name


def create(connection: psycopg.Connection, database: str, template: str = "template0") -> None:
    """Create a database owned by the owner role, open to nobody else yet."""
    words = sql.SQL("CREATE DATABASE {} OWNER {} TEMPLATE {}").format(
        sql.Identifier(database), sql.Identifier(access.OWNER), sql.Identifier(template)
    )
    _when_free(lambda: connection.execute(words))
    connection.execute(
        sql.SQL("REVOKE ALL ON DATABASE {} FROM PUBLIC").format(sql.Identifier(database))
    )


def drop(connection: psycopg.Connection, database: str) -> None:
    """Drop a database with whoever is connected and its replication slots; nothing happens when
    there is none."""
    words = sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(sql.Identifier(database))

    def drop_with_slots() -> None:
        connection.execute(
            "SELECT pg_terminate_backend(active_pid) FROM pg_replication_slots"
            " WHERE database = %s AND active_pid IS NOT NULL",
            [database],
        )
        connection.execute(words)

    _when_free(drop_with_slots)


def _when_free(act: Callable[[], object]) -> None:
    """Do what the server does only to a database that nobody uses: sessions and slots' readers that
    were told to end may still be ending."""
    until = time.monotonic() + _FREE
    while True:
        try:
            act()
            return
        except psycopg.errors.ObjectInUse:
            if time.monotonic() > until:
                raise
        time.sleep(0.1)


def _fill(stack: "Stack", database: str, kind: str, size_mb: int) -> None:
    users = size_mb * _ROWS_PER_MB if kind == PRODUCTION else max(size_mb * _ROWS_PER_MB // 10, 900)
    numbers = {
        "users": users,
        "events": users * 4,
        "sessions": users,
        "production": int(kind == PRODUCTION),
    }
    names = "|".join(numbers)
    text = re.sub(rf":({names})\b", lambda found: str(numbers[found.group(1)]), _SEED.read_text())
    with access.superuser(stack, database, acting_as=access.OWNER) as connection:
        connection.execute(text)
