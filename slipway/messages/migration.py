"""Reviewing, applying and taking back database migrations."""

from slipway.base import Instant, Message
from slipway.messages.record import BackupTaken, TableFingerprint
from slipway.plan import Database, Migrations, Staging
from slipway.release import MigrationSet


class AppliedMigration(Message):
    """A row of the ledger, newest first."""

    hash: str
    created_at: int
    """Milliseconds, as the journal's `when`."""
    tag: str = ""
    """Known when the workspace holds its file."""


class PendingMigration(Message):
    """A migration of the workspace that production's ledger does not hold."""

    tag: str
    hash: str
    when: int
    sql: str
    in_staging: bool
    """Whether staging's ledger holds the same hash."""


class ReviewMigrations(Message):
    """Compare journal, production's ledger and staging's ledger as sets of (hash, when)."""

    database: Database
    staging: Staging
    migrations: Migrations
    release: MigrationSet


class MigrationReview(Message):
    """What is applied, what is pending, what must not be applied."""

    applied: list[AppliedMigration]
    """The last ten."""
    pending: list[PendingMigration]
    refused: list[str] = []
    """Sentences: why these migrations must not be applied as they stand. Empty: they may."""
    notes: list[str] = []


class DatabaseState(Message):
    """The database as it stands."""

    ledger: list[AppliedMigration]
    schema_sha256: str


class ApplyMigrations(Message):
    """Apply pending migrations by the project's own command.

    Each attempt logs in as a role of its own, made in the same transaction that checks the fence,
    so that an undo (which sets all of them NOLOGIN) is final also for attempts frozen before they
    connected.
    """

    deployment: str
    database: Database
    migrations: Migrations
    release: MigrationSet
    pending: list[PendingMigration]
    fence: int
    op_id: str


class MigrationsApplied(Message):
    """Ledger equals journal."""

    state: DatabaseState
    applied_at: Instant
    seconds: float
    attempts: int


class FenceDatabase(Message):
    """End every migration attempt of this deployment and refuse later ones: roles NOLOGIN,
    backends ended, fence written."""

    deployment: str
    database: Database
    fence: int
    op_id: str


class Fenced(Message):
    """How many attempts were ended."""

    ended_backends: int
    closed_roles: int


class RollBackDatabase(Message):
    """Put the database back to its backup: fence first; when schema and ledger equal the backup's
    and `only_if_changed`, nothing is restored; else swap to the kept side database (restored again
    from the bucket if it is gone)."""

    deployment: str
    database: Database
    migrations: Migrations
    backup: BackupTaken
    bucket: str
    fence: int
    op_id: str
    only_if_changed: bool = True


class DatabaseRolledBack(Message):
    """What was done to the database, and what was lost."""

    changed: bool
    """False: proved equal to the backup's schema and ledger, nothing restored."""
    schema_equal: bool
    rows_equal: bool
    """Rows of the swapped-in database equal the backup's, table by table."""
    kept_as: str = ""
    """The database that was swapped out and kept for inspection."""
    lost: list[TableFingerprint] = []
    """Later writes lost, table by table: `rows` counts rows in the kept database that are missing
    after the swap. `hash` is empty."""
    outage: float = 0.0
    """Seconds from fence to swap."""
    because: str

    @property
    def lost_rows(self) -> int:
        """Rows lost in all tables together."""
        return sum(table.rows for table in self.lost)
