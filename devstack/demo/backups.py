"""A backup that slipway calls good is in the bucket as it says, and restores to what was there."""

import secrets
import tempfile
from pathlib import Path
from typing import Any

from botocore.exceptions import ClientError

from devstack.demo import bucket
from devstack.demo.look import IN_DATABASE, Contents, Seen, contents
from devstack.stack import Stack
from devstack.world.database import access, templates
from devstack.world.environment import Environment

CHEAP = 400_000_000
"""Bytes of a stored dump up to which it is restored to see whether it can be."""


def judge(stack: Stack, made: Environment, before: Seen, status: dict[str, Any]) -> list[str]:
    """Return what is wrong with the backup that the run relies on, a sentence each."""
    backup = status["backup"]
    if backup is None:
        needed = status["outcome"] in ("deployed", "rolled_back")
        return ["there is no backup"] if needed else []
    with tempfile.TemporaryDirectory(dir=stack.run_dir) as folder:
        packed = Path(folder) / "dump.zst"
        try:
            found = bucket.fetch(stack, backup["key"], packed)
        except ClientError as error:
            return [f"backup {backup['key']} cannot be read: {error}"]
        if found != backup["sha256"]:
            return [f"backup {backup['key']} has another digest"]
        if packed.stat().st_size > CHEAP:
            return []
        return _restored(stack, made, packed, before.database)


def _restored(stack: Stack, made: Environment, packed: Path, wanted: Contents) -> list[str]:
    """Restore into a database of its own, and compare with what was there before the run."""
    scratch = f"look_{made.name}_{secrets.token_hex(3)}"
    with access.superuser(stack) as connection:
        templates.create(connection, scratch)
        try:
            complaint = bucket.restore(stack, packed, scratch)
            if complaint:
                return [f"the backup does not restore: {complaint}"]
            found = contents(access.url(stack, access.ADMIN, scratch))
        finally:
            templates.drop(connection, scratch)
    return [
        f"the restored backup's {what} differs from before the run"
        for what in IN_DATABASE
        if getattr(found, what) != getattr(wanted, what)
    ]
