"""The bucket as an outsider reads it: a deployment's record, dumps, manifests."""

import hashlib
import json
import os
import subprocess
import tempfile
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import boto3
import zstandard

from devstack.stack import Stack
from devstack.world.environment import Environment

CHUNK = 1 << 20


@dataclass(frozen=True)
class Entry:
    """One entry of a record and when it was stored."""

    sequence: int
    kind: str
    step: str
    body: dict[str, Any]
    at: datetime
    """To the second, rounded down."""


@dataclass(frozen=True)
class Kept:
    """All that a bucket holds of one deployment."""

    entries: list[Entry]
    artefacts: dict[str, dict[str, Any]]
    """JSON artefacts by name."""
    manifests: list[dict[str, Any]]


def client(stack: Stack) -> Any:
    """Return a client of the stack's object store."""
    return boto3.client(
        "s3",
        endpoint_url=stack.s3_endpoint,
        aws_access_key_id=stack.s3_access_key,
        aws_secret_access_key=stack.s3_secret_key,
        region_name="us-east-1",
    )


def keys(stack: Stack, prefix: str) -> dict[str, datetime]:
    """Return every object below a prefix with the time it was stored."""
    pages = client(stack).get_paginator("list_objects_v2")
    return {
        one["Key"]: one["LastModified"].replace(microsecond=0)
        for page in pages.paginate(Bucket=stack.bucket, Prefix=prefix)
        for one in page.get("Contents", [])
    }


def kept(stack: Stack, made: Environment, deployment: str) -> Kept:
    """Read a deployment's record, its artefacts and the manifests of its backups."""
    folder = f"{made.bucket_prefix}records/{made.name}/{deployment}/"
    entries, artefacts = [], {}
    for key, at in keys(stack, folder).items():
        name = key.removeprefix(folder)
        if name.startswith("artefacts/"):
            if name.endswith(".json"):
                artefacts[name.removeprefix("artefacts/")] = _json(stack, key)
            continue
        body = _json(stack, key)
        entries.append(Entry(body["sequence"], body["kind"], body["step"], body, at))
    manifests = [
        _json(stack, key) for key in keys(stack, f"{made.bucket_prefix}manifests/{deployment}-")
    ]
    return Kept(sorted(entries, key=lambda one: one.sequence), artefacts, manifests)


def fetch(stack: Stack, key: str, file: Path) -> str:
    """Copy an object to a file and return its SHA-256. Raises NoSuchKey of the client."""
    body = client(stack).get_object(Bucket=stack.bucket, Key=key)["Body"]
    found = hashlib.sha256()
    with file.open("wb") as target:
        for chunk in body.iter_chunks(CHUNK):
            found.update(chunk)
            target.write(chunk)
    return found.hexdigest()


def restore(stack: Stack, packed: Path, database: str) -> str:
    """Restore a compressed dump into an empty database; return what pg_restore complains of."""
    with tempfile.NamedTemporaryFile(dir=packed.parent) as plain:
        with packed.open("rb") as source:
            zstandard.ZstdDecompressor().copy_stream(source, plain)
        plain.flush()
        where = ("--host", stack.pg_host, "--port", str(stack.pg_port))
        who = ("--username", stack.pg_superuser, "--dbname", database)
        done = subprocess.run(
            [str(Path(stack.pg_bin) / "pg_restore"), "--exit-on-error", *where, *who, plain.name],
            env={**os.environ, "PGPASSWORD": stack.pg_superuser_password},
            capture_output=True,
            text=True,
            check=False,
        )
    return done.stderr.strip()[-400:] if done.returncode else ""


def _json(stack: Stack, key: str) -> Any:
    return json.loads(client(stack).get_object(Bucket=stack.bucket, Key=key)["Body"].read())
