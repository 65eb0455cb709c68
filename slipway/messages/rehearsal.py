"""Rehearsing pending migrations on a copy of the restored backup, and what was seen there."""

from typing import Literal

from slipway.base import Instant, Message, Sha256, added
from slipway.messages.migration import Expected, MigrationFinding, PendingMigration
from slipway.plan import CorruptionProbe, Database, Migrations
from slipway.release import MigrationSet


class RehearseMigrations(Message):
    """Copy the restored backup, migrate the copy by the project's own command, look at what it
    did, drop the copy, do it again. Production is only read."""

    deployment: str
    database: Database
    migrations: Migrations
    release: MigrationSet
    pending: list[PendingMigration]
    corruption: list[CorruptionProbe] = []
    """Run on the migrated copy as well."""
    backup_key: str
    taken_at: Instant
    """The backup's snapshot."""
    side_database: str
    """The restored backup that is copied."""
    schema_sha256: Sha256
    """The backup's schema."""
    tag: str
    """The backup's attempt: the copy is named after it."""
    # left out while it is the default, as in histories from before there was one
    followed: bool = added(False)
    """Whether the restored copy follows production, which then publishes its tables."""


BESIDE_VACUUM = ("AccessShareLock", "RowShareLock", "RowExclusiveLock")
"""Locks that a vacuum's does not keep out."""


class LockHeld(Message):
    """The strongest lock that the migration held on a table that old services use."""

    table: str
    mode: str
    """As in pg_locks, such as AccessExclusiveLock."""
    seconds: float
    """At most so long: from the last look without it to the first look without it again."""
    statement: str = ""
    """The statement that took it, shortened."""
    size: int = 0
    """Bytes of the table with its indexes, before."""
    rows: int = 0
    """Its rows, as the server estimates."""


class StatementTook(Message):
    """How long one statement ran on the server."""

    statement: str
    seconds: float


class TableTouched(Message):
    """What the migration did to one table, seen in the catalogue and in the rows."""

    table: str
    change: Literal["new", "dropped", "recreated", "renamed", "altered"]
    """`recreated`: the same name, another table."""
    renamed_to: str = ""
    rewritten: bool = False
    """Whether its rows were written anew to another file."""
    size: int = 0
    """Bytes with indexes, before."""
    rows: int = 0
    """Rows before, as the server estimates."""
    inserted: int = 0
    updated: int = 0
    deleted: int = 0
    dropped_columns: list[str] = []
    changed_columns: list[str] = []
    """Old columns of which old services read another content afterwards."""
    key_lost: bool = added(False)
    """It had a primary key and has none any more."""

    @property
    def changes_values(self) -> bool:
        """Whether rows that stay hold other values in old columns."""
        stays = self.change in ("altered", "renamed")
        return stays and bool(self.changed_columns) and bool(self.updated or self.rewritten)


class Rehearsal(Message):
    """What happened when the pending migrations ran on the restored backup."""

    backup_key: str
    taken_at: Instant
    error: str = ""
    """Why it failed: SQLSTATE and the server's sentence. Empty: it succeeded."""
    seconds: float = 0.0
    """How long the command took, its own start included."""
    busiest: list[StatementTook] = []
    """The slowest statements, slowest first."""
    locks: list[LockHeld] = []
    tables: list[TableTouched] = []
    broken: list[str] = []
    """Read checks and corruption probes that ran before and do not afterwards, in sentences."""
    schema_before: str = ""
    schema_after: str = ""
    """Digest of the schema that production must have after the migration."""
    schema_again: str = ""
    """The same after the copy was dropped, made anew and migrated once more."""
    error_again: str = ""
    """Why it failed the second time; empty: it succeeded."""
    schema_diff: str = ""
    """Unified diff of the schemas, bounded."""
    followed: bool = added(False)
    """Whether production's tables are published meanwhile."""
    notes: list[str] = []
    """What the rehearsal could not do as it should."""
    findings: list[MigrationFinding] = []

    @property
    def refused(self) -> list[MigrationFinding]:
        """Findings for which production must not be migrated."""
        return [one for one in self.findings if one.severity == "refuse"]

    @property
    def blocking(self) -> list[MigrationFinding]:
        """Findings that approvers must know."""
        return [one for one in self.findings if one.severity == "block"]

    @property
    def expected(self) -> Expected:
        """What production's migration is held to."""
        return Expected(
            schema_before=self.schema_before,
            schema_after=self.schema_after,
            slowest=self.slowest,
            changed=[one.table for one in self.tables if one.changes_values],
            locked=[one.table for one in self.locks if one.mode not in BESIDE_VACUUM],
        )

    @property
    def slowest(self) -> float:
        """Seconds of the slowest statement; of the whole command where none was seen."""
        return self.busiest[0].seconds if self.busiest else self.seconds
