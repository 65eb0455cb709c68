"""Backups as they stand in the bucket: listed, verified, restored elsewhere; what a run left."""

from typing import Annotated, Literal

from pydantic import StringConstraints

from slipway.base import Instant, Message, Reference
from slipway.messages.record import BackupTaken, Place
from slipway.plan import Database

DATABASE_NAME = r"^[a-z_][a-z0-9_]{0,62}$"
DatabaseName = Annotated[str, StringConstraints(pattern=DATABASE_NAME)]


class ListBackups(Message):
    """List the newest backups below a prefix (`deployment` in `place` is ignored)."""

    place: Place
    limit: int = 50


class ShelvedBackup(Message):
    """One backup as its manifest tells of it."""

    manifest_key: str
    stored_at: Instant
    key: str = ""
    deployment: str = ""
    attempt_tag: str = ""
    database: str = ""
    requester: str = ""
    taken_at: Instant | None = None
    locked_until: Instant | None = None
    size: int = 0
    """Bytes stored."""
    rows: int = 0
    tables: int = 0
    server_version: str = ""
    seconds: float = 0.0
    """What taking and proving it took."""
    not_covered: list[str] = []
    faults: list[str] = []
    """Why the manifest cannot be true, by itself; its objects were not looked at."""


class BackupList(Message):
    """Backups, newest first."""

    backups: list[ShelvedBackup]


class FindBackup(Message):
    """Which backup: of a deployment, or where it has several its newest."""

    place: Place
    attempt_tag: str = ""
    """`1` for a run's first backup, `2` when retaken; empty: the newest."""
    database: Database | None = None
    """Of the plan; None: not known, then the backup's database is not compared with it."""
    recorded: BackupTaken | None = None
    """The backup as the deployment's record names it; None: it names none."""
    digests: dict[str, str] = {}
    """SHA-256 by key of every dump that the record names."""


class BackupRequest(Message):
    """Start of `VerifyBackup`, `RestoreBackup` and `TidyBackups`: the rest is in the record."""

    place: Place
    attempt_tag: str = ""
    database: Database | None = None
    """By the plan that was given; counts where there is no record."""
    identity: Reference | None = None
    """By the plan that was given: what decrypts an encrypted backup."""
    name: DatabaseName | Literal[""] = ""
    """Of the new database, for `RestoreBackup`."""


class VerifiedBackup(Message):
    """What reading everything again found."""

    backup: ShelvedBackup
    sound: bool
    faults: list[str] = []
    """Why it is no good backup; empty when it is one."""
    notes: list[str] = []
    seconds: float = 0.0


class RestoreBackup(Message):
    """Restore a backup into a new database beside production, and prove it."""

    wanted: FindBackup
    database: Database
    name: DatabaseName
    """Of the new database."""
    identity: Reference | None = None
    """What decrypts it; None: the one that was named when it was taken."""


class RestoredBackup(Message):
    """A new database that equals a backup."""

    backup: ShelvedBackup
    name: str
    rows: int
    tables: int
    seconds: float
    notes: list[str] = []


class TidyRun(Message):
    """Drop what a run that changed nothing left: side databases, files, objects of no backup."""

    place: Place
    database: Database


class Tidied(Message):
    """What is gone now, and what was left and why."""

    slots: list[str] = []
    """Replication slots and publications."""
    databases: list[str] = []
    objects: list[str] = []
    left: list[str] = []
