"""Damaged, foreign and forged backups, made from a good one on the real server and store."""

import hashlib
import subprocess
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import zstandard

from slipway.digest import canonical
from slipway.judgements.backup import dump_key, manifest_key, roles_key, sealed
from slipway.messages.backup import KeptObject, Manifest
from slipway.messages.record import BackupTaken, Place
from slipway.messages.shelf import FindBackup
from tests.integration.data_world import DataWorld


@dataclass(frozen=True)
class Good:
    """A good backup, as bytes."""

    dump: bytes
    plain: bytes
    roles: bytes
    manifest: Manifest

    @property
    def taken(self) -> BackupTaken:
        """As the run knows it."""
        return self.manifest.backup


def read(world: DataWorld, taken: BackupTaken) -> Good:
    """Read a good backup from the bucket."""

    def content(key: str) -> bytes:
        body: bytes = world.s3.get_object(Bucket=world.stack.bucket, Key=key)["Body"].read()
        return body

    manifest = Manifest.model_validate_json(content(taken.manifest_key))
    dump = content(taken.key)
    assert manifest.roles is not None
    return Good(dump, unpacked(dump), content(manifest.roles.key), manifest)


def packed(plain: bytes) -> bytes:
    """Compress as slipway does."""
    return zstandard.ZstdCompressor(level=3, write_checksum=True).compress(plain)


def unpacked(content: bytes) -> bytes:
    """Decompress a whole dump."""
    return zstandard.ZstdDecompressor().decompressobj().decompress(content)


def sha(content: bytes) -> str:
    """Return the SHA-256."""
    return hashlib.sha256(content).hexdigest()


def flipped(content: bytes, at: float) -> bytes:
    """Flip one bit at a share of the length."""
    position = min(int(len(content) * at), len(content) - 1)
    return content[:position] + bytes([content[position] ^ 4]) + content[position + 1 :]


@dataclass(frozen=True)
class Kit:
    """What stands in the bucket in the place of a good backup."""

    dump: bytes | None
    roles: bytes | None
    manifest: Manifest
    raw: bytes | None = None
    """Instead of the manifest."""
    no_manifest: bool = False
    digests: int = 0
    """How far the manifest was made to fit: 1 the stored dump, 2 the plain dump as well."""
    locked: bool = True
    recorded: bool = False
    """Whether the run's record is there to compare with."""
    hits_dump: bool = False
    """Whether `after` changes the dump itself."""
    after: Callable[["Placed"], None] | None = field(default=None, repr=False)
    """What happens to the objects once they stand."""


@dataclass(frozen=True)
class Placed:
    """A kit in the bucket."""

    world: DataWorld
    prefix: str
    manifest: Manifest
    wanted: FindBackup

    def put(self, key: str, content: bytes) -> None:
        """Write over an object."""
        self.world.s3.put_object(Bucket=self.world.stack.bucket, Key=key, Body=content)

    def rewrite(self, old: bytes, new: bytes) -> None:
        """Alter the manifest as bytes."""
        text = canonical(self.manifest)
        assert old in text
        self.put(self.manifest.backup.manifest_key, text.replace(old, new, 1))

    def delete(self, key: str) -> None:
        """Delete an object as people do: older versions stay."""
        self.world.s3.delete_object(Bucket=self.world.stack.bucket, Key=key)


def kit(good: Good, **changes: Any) -> Kit:
    """Return a good backup with changes."""
    return replace(Kit(good.dump, good.roles, good.manifest), **changes)


def with_plain(good: Good, plain: bytes, digests: int = 2, **changes: Any) -> Kit:
    """Return a backup whose dump holds something else, with digests that fit it."""
    return kit(good, dump=packed(plain), digests=digests, **changes)


def place(world: DataWorld, number: int, made: Kit) -> Placed:
    """Put a kit into the bucket, below a prefix of its own."""
    prefix = f"{world.backup.prefix}c{number}/"
    manifest = _moved(made.manifest, prefix)
    until = datetime.now(UTC).replace(microsecond=0) + timedelta(seconds=120)
    taken, roles = manifest.backup, manifest.roles
    assert roles is not None
    version = _put(world, taken.key, made.dump, until if made.locked else None)
    roles_version = _put(world, roles.key, made.roles, until if made.locked else None)
    changes: dict[str, Any] = {"version": version, "locked_until": until}
    changes["roles"] = roles.model_copy(update={"version": roles_version})
    if made.digests and made.dump is not None:
        update = {"sha256": sha(made.dump), "size": len(made.dump)}
        changes["backup"] = taken.model_copy(update=update)
    if made.digests > 1 and made.dump is not None:
        plain = unpacked(made.dump)
        changes |= {"plain_sha256": sha(plain), "plain_size": len(plain)}
    manifest = sealed(manifest.model_copy(update=changes))
    content = canonical(manifest) if made.raw is None else made.raw
    if not made.no_manifest:
        _put(world, manifest.backup.manifest_key, content, None)
    recorded = _moved(made.manifest, prefix).backup if made.recorded else None
    wanted = FindBackup(
        place=Place(
            bucket=world.stack.bucket,
            prefix=prefix,
            environment="production",
            deployment=made.manifest.deployment,
        ),
        attempt_tag=made.manifest.attempt_tag,
        database=world.database,
        recorded=recorded,
        digests={recorded.key: recorded.sha256} if recorded else {},
    )
    placed = Placed(world, prefix, manifest, wanted)
    if made.after is not None:
        made.after(placed)
    return placed


def _moved(manifest: Manifest, prefix: str) -> Manifest:
    taken = manifest.backup
    key = dump_key(prefix, taken.taken_at, manifest.deployment)
    if not taken.key.endswith(key.rpartition("/")[2]):
        key = prefix + taken.key.rpartition("/")[2]  # it names another one's on purpose
    wanted = manifest_key(prefix, manifest.deployment, manifest.attempt_tag)
    update = {"key": key, "manifest_key": wanted}
    roles = manifest.roles
    assert roles is not None
    return manifest.model_copy(
        update={
            "backup": taken.model_copy(update=update),
            "roles": KeptObject(key=roles_key(key), sha256=roles.sha256, size=roles.size),
        }
    )


def _put(world: DataWorld, key: str, content: bytes | None, until: datetime | None) -> str:
    if content is None:
        return ""
    done = world.s3.put_object(Bucket=world.stack.bucket, Key=key, Body=content)
    version = str(done.get("VersionId", ""))
    if until is not None:
        world.s3.put_object_retention(
            Bucket=world.stack.bucket,
            Key=key,
            VersionId=version,
            Retention={"Mode": "COMPLIANCE", "RetainUntilDate": until},
        )
    return version


def playbook_says_good(pg_bin: str, content: bytes | None, folder: Path) -> bool:
    """What the playbook asks: `pg_restore --list`, of the dump as far as it can be unpacked."""
    file = folder / "listed.dump"
    plain = b""
    if content is not None:
        stream = zstandard.ZstdDecompressor().decompressobj()
        try:
            for start in range(0, len(content), 1024):
                plain += stream.decompress(content[start : start + 1024])
        except zstandard.ZstdError:
            pass
    file.write_bytes(plain)
    done = subprocess.run(
        [f"{pg_bin}/pg_restore", "--list", str(file)], capture_output=True, check=False
    )
    return done.returncode == 0


def dumped(world: DataWorld, *options: str, database: str = "") -> bytes:
    """Return a plain dump, as slipway's own command makes it."""
    stack = world.stack
    done = subprocess.run(
        [
            f"{stack.pg_bin}/pg_dump",
            f"--host={stack.pg_host}",
            f"--port={stack.pg_port}",
            f"--username={stack.pg_superuser}",
            f"--dbname={database or world.name}",
            "--format=custom",
            "--compress=0",
            *options,
        ],
        env={"PGPASSWORD": stack.pg_superuser_password, "PATH": ""},
        capture_output=True,
        check=True,
    )
    return done.stdout


def produced(programs: Path) -> bytes:
    """Return what a program put in pg_dump's place leaves behind."""
    done = subprocess.run(
        [str(programs / "pg_dump"), "--format=custom"], capture_output=True, check=False
    )
    return done.stdout
