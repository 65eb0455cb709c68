"""Looks at the world from outside slipway: images, schema, rows, objects, audit log, writer."""

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import boto3
import psycopg

from devstack.stack import Stack
from devstack.world.database import access
from devstack.world.environment import Environment
from devstack.world.kube import Kube
from devstack.world.services.writer import acknowledged_keys, missing_keys

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
_ENOUGH = 20
"""Acknowledged writes below which a comparison would prove nothing."""
_STILL = ("users", "organisations", "buddy_matches")
"""Tables that nobody writes during a demo, so that their content must stay."""


@dataclass(frozen=True)
class Seen:
    """The world at one moment."""

    images: dict[str, str]
    ready: dict[str, bool]
    schema: str
    ledger: list[str]
    still: dict[str, str]
    """Content hash of tables that nobody writes."""
    audit: int
    """Size of the audit log in bytes: what comes after it belongs to the run."""


def look(stack: Stack, made: Environment) -> Seen:
    """Look at the world."""
    images, ready = _deployments(stack, made)
    with psycopg.connect(access.url(stack, access.ADMIN, made.database)) as connection:
        lines = [line for (line,) in connection.execute(_SCHEMA)]
        ledger = [
            hash_
            for (hash_,) in connection.execute(
                "SELECT hash FROM drizzle.__drizzle_migrations ORDER BY id"
            )
        ]
        still = {table: _content(connection, table) for table in _STILL}
    return Seen(
        images=images,
        ready=ready,
        schema=hashlib.sha256("\n".join(lines).encode()).hexdigest(),
        ledger=ledger,
        still=still,
        audit=Path(stack.kube_audit_log).stat().st_size,
    )


def writes(stack: Stack, made: Environment, since: int) -> dict[str, int]:
    """Return how often slipway changed the image of each Deployment, by the audit log."""
    counts: dict[str, int] = {}
    last: dict[str, str] = {}
    with Path(stack.kube_audit_log).open("rb") as log:
        log.seek(since)
        for raw in log:
            event = _event(raw, made)
            if event is None:
                continue
            name = event["objectRef"]["name"]
            image = event["responseObject"]["spec"]["template"]["spec"]["containers"][0]["image"]
            if last.get(name) != image:
                counts[name] = counts.get(name, 0) + 1
                last[name] = image
    return counts


def _event(raw: bytes, made: Environment) -> dict[str, Any] | None:
    try:
        event: dict[str, Any] = json.loads(raw)
    except ValueError:
        return None  # the line being written just now
    reference = event.get("objectRef", {})
    ours = (
        event.get("stage") == "ResponseComplete"
        and event.get("verb") in ("patch", "update")
        and event.get("user", {}).get("username") == "slipway"
        and reference.get("resource") == "deployments"
        and reference.get("namespace") == made.namespace
        and event.get("responseStatus", {}).get("code") == 200
        and "dryRun" not in event.get("requestURI", "")
        and "spec" in event.get("responseObject", {})
    )
    return event if ours else None


def deployed(stack: Stack, made: Environment, before: Seen, status: dict[str, Any]) -> list[str]:
    """Return what is not as a finished deployment must leave it, a sentence each."""
    now, wrong = look(stack, made), []
    for service in status["services"]:
        name = service["name"]
        if _digest(now.images[name]) != _digest(service["image_after"]):
            wrong.append(f"{name} runs {now.images[name]}, not {service['image_after']}")
        if not now.ready[name]:
            wrong.append(f"{name} is not ready")
    wrong += _counted(stack, made, before, {one["name"]: 1 for one in status["services"]})
    pending = [one["hash"] for one in status["migrations"]]
    if now.ledger != before.ledger + pending:
        wrong.append("the ledger does not hold exactly the old and the pending migrations")
    if now.still != before.still:
        wrong.append("tables that nobody writes have changed")
    return wrong + _backup(stack, status) + _lost(stack, made, status)


def rolled_back(stack: Stack, made: Environment, before: Seen, status: dict[str, Any]) -> list[str]:
    """Return what is not as a rollback must leave it, a sentence each."""
    now, wrong = look(stack, made), []
    for name, image in before.images.items():
        if now.images[name] != image:
            wrong.append(f"{name} runs {now.images[name]}, not {image} as before")
        if not now.ready[name]:
            wrong.append(f"{name} is not ready")
    touched = {
        one["step"].partition(":")[2] for one in status["undo"] if one["step"].startswith("rollout")
    }
    wrong += _counted(stack, made, before, dict.fromkeys(touched, 2))
    for what in ("schema", "ledger", "still"):
        if getattr(now, what) != getattr(before, what):
            wrong.append(f"{what} of the database differs from before")
    return wrong + _backup(stack, status) + _lost(stack, made, status)


def stopped(stack: Stack, made: Environment, before: Seen, status: dict[str, Any]) -> list[str]:
    """Return what a run that stopped before any change has changed, a sentence each."""
    now = look(stack, made)
    wrong = [
        f"{what} differs from before"
        for what in ("images", "schema", "ledger", "still")
        if getattr(now, what) != getattr(before, what)
    ]
    return wrong + _counted(stack, made, before, {}) + _lost(stack, made, status)


def _counted(stack: Stack, made: Environment, before: Seen, wanted: dict[str, int]) -> list[str]:
    counts = writes(stack, made, before.audit)
    return [
        f"{name}: {counts.get(name, 0)} image change(s) in the audit log, not {wanted.get(name, 0)}"
        for name in sorted({*counts, *wanted})
        if counts.get(name, 0) != wanted.get(name, 0)
    ]


def _lost(stack: Stack, made: Environment, status: dict[str, Any]) -> list[str]:
    """Compare the writer's own log with what was reported as lost.

    A row whose commit the writer never heard of (the fence ended its session) is in no log; it is
    looked for in the database that was swapped out. Only one such row can be, per fence.
    """
    acknowledged = set(acknowledged_keys(made))
    if len(acknowledged) < _ENOUGH:
        return ["the writer has hardly written: a comparison with its log proves nothing"]
    reported = (status["lost_writes"] or {}).get("public.ingestion_events", 0)
    missing = set(missing_keys(stack, made))
    kept = status.get("kept_database", "")
    gone = _keys(stack, kept) - _keys(stack, made.database) if kept else set()
    unheard = {key for key in gone - acknowledged if key.startswith("w-")}
    wrong = []
    if missing - gone:
        wrong.append(f"{len(missing - gone)} acknowledged writes are in no database any more")
    if len(gone) != reported:
        wrong.append(f"{len(gone)} writes are missing; {reported} were reported")
    if len(unheard) > 1:
        wrong.append(f"{len(unheard)} writes of the writer are in no log: it cannot be")
    return wrong


def _keys(stack: Stack, database: str) -> set[str]:
    with psycopg.connect(access.url(stack, access.ADMIN, database)) as connection:
        return {key for (key,) in connection.execute("SELECT key FROM ingestion_events")}


def _backup(stack: Stack, status: dict[str, Any]) -> list[str]:
    if status["backup"] is None:
        return ["there is no backup"]
    store = object_store(stack)
    key, wanted = status["backup"]["key"], status["backup"]["sha256"]
    try:
        body = store.get_object(Bucket=stack.bucket, Key=key)["Body"]
    except store.exceptions.NoSuchKey:
        return [f"backup {key} is not in the bucket"]
    found = hashlib.sha256()
    for chunk in body.iter_chunks(1 << 20):
        found.update(chunk)
    return [] if found.hexdigest() == wanted else [f"backup {key} has another digest"]


def object_store(stack: Stack) -> Any:
    """Return a client of the stack's object store."""
    return boto3.client(
        "s3",
        endpoint_url=stack.s3_endpoint,
        aws_access_key_id=stack.s3_access_key,
        aws_secret_access_key=stack.s3_secret_key,
        region_name="us-east-1",
    )


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


def _digest(image: str) -> str:
    return image.partition("@")[2]
