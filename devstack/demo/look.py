"""The world at one moment, as an outsider sees it: images, schema, rows, objects."""

import hashlib
from dataclasses import dataclass
from typing import Any

import psycopg

from devstack.demo import audit, bucket
from devstack.stack import Stack
from devstack.world.database import access
from devstack.world.environment import Environment
from devstack.world.kube import Kube

_SCHEMA = """
SELECT table_schema || '.' || table_name || '.' || column_name || ':' || data_type
       || ':' || is_nullable || ':' || coalesce(column_default, '')
  FROM information_schema.columns
 WHERE table_schema NOT IN ('pg_catalog', 'information_schema')
UNION ALL
SELECT schemaname || '.' || indexname || ':' || indexdef FROM pg_indexes
 WHERE schemaname NOT IN ('pg_catalog', 'information_schema')
UNION ALL
SELECT conrelid::regclass || ':' || conname || ':' || pg_get_constraintdef(oid)
  FROM pg_constraint WHERE connamespace = 'public'::regnamespace
ORDER BY 1
"""
_STILL = ("users", "organisations", "buddy_matches")
"""Tables that nobody writes during a demo, so that their content must stay."""
IN_DATABASE = ("schema", "ledger", "still")


@dataclass(frozen=True)
class Contents:
    """What a database holds."""

    schema: str
    ledger: list[str]
    still: dict[str, str]
    """Content hash of tables that nobody writes."""


@dataclass(frozen=True)
class Seen:
    """The world at one moment."""

    images: dict[str, str]
    ready: dict[str, bool]
    database: Contents
    audit: int
    """Size of the audit log in bytes: what comes after it belongs to the run."""
    objects: frozenset[str]
    """Keys in the environment's part of the bucket."""


def look(stack: Stack, made: Environment) -> Seen:
    """Look at the world."""
    images, ready = _deployments(stack, made)
    return Seen(
        images=images,
        ready=ready,
        database=contents(access.url(stack, access.ADMIN, made.database)),
        audit=audit.size(stack),
        objects=frozenset(bucket.keys(stack, made.bucket_prefix)),
    )


def contents(address: str) -> Contents:
    """Look at one database."""
    with psycopg.connect(address) as connection:
        lines = [line for (line,) in connection.execute(_SCHEMA)]
        ledger = [
            hash_
            for (hash_,) in connection.execute(
                "SELECT hash FROM drizzle.__drizzle_migrations ORDER BY id"
            )
        ]
        still = {table: _content(connection, table) for table in _STILL}
    schema = hashlib.sha256("\n".join(lines).encode()).hexdigest()
    return Contents(schema, ledger, still)


def _deployments(stack: Stack, made: Environment) -> tuple[dict[str, str], dict[str, bool]]:
    path = f"/apis/apps/v1/namespaces/{made.namespace}/deployments"
    with Kube(stack) as kube:
        items = (kube.get(path) or {"items": []})["items"]
    images = {
        one["metadata"]["name"]: one["spec"]["template"]["spec"]["containers"][0]["image"]
        for one in items
    }
    ready = {
        one["metadata"]["name"]: one["status"].get("readyReplicas", 0) == one["spec"]["replicas"]
        for one in items
    }
    return images, ready


def _content(connection: "psycopg.Connection[Any]", table: str) -> str:
    query = f"SELECT coalesce(sum(hashtextextended(t::text, 0)::numeric), 0)::text FROM {table} t"  # noqa: S608 - the names are constants of this module
    row = connection.execute(query).fetchone()
    return row[0] if row else ""
