"""Reviewing, applying and taking back database migrations."""

from typing import Literal

from slipway.base import Instant, Message, added
from slipway.messages.record import BackupTaken, TableFingerprint
from slipway.plan import Database, Migrations, Staging
from slipway.release import MigrationSet

Severity = Literal["refuse", "block", "note"]
"""`refuse`: must not be applied. `block`: approvers must know it. `note`: good to know."""


class MigrationFinding(Message):
    """One thing about pending migrations that a person should know."""

    rule: str
    """Such as `drop-table`; what `--accept` takes."""
    severity: Severity
    about: str
    """The migration's tag, the table or the check concerned."""
    what: str
    """One sentence with its numbers."""
    remedy: str = ""
    """What a person does about it."""

    @property
    def name(self) -> str:
        """What makes two findings the same, whatever their numbers: rule and object."""
        return f"{self.rule} {self.about}"


class AppliedMigration(Message):
    """A row of the ledger, newest first."""

    hash: str
    created_at: int
    """Milliseconds, as the journal's `when`."""
    tag: str = ""
    """Known when the workspace holds its file."""
    name: str = ""
    """The folder's name in a ledger of drizzle 1.x; empty in older ones."""


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
    findings: list[MigrationFinding] = []
    """What a linter and our own rules say about the pending SQL."""


class DatabaseState(Message):
    """The database as it stands."""

    ledger: list[AppliedMigration]
    schema_sha256: str


class Expected(Message):
    """What the rehearsal on the restored backup says of production."""

    schema_before: str
    """Digest of the schema that was migrated."""
    schema_after: str
    """Digest that production's schema must have afterwards."""
    slowest: float
    """Seconds of the slowest statement."""
    changed: list[str] = added([])
    """Tables (`schema.table`) whose old columns held other values afterwards."""
    locked: list[str] = added([])
    """Tables (`schema.table`) of old services on which it held a lock that an autovacuum's keeps
    out."""


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
    rehearsed: Expected | None = None
    """None: nothing was rehearsed (a run that began before there were rehearsals)."""
    slot: str = added("")
    """Of the copy that follows; empty where none does."""


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
    # these are left out while they are the default, as in histories from before there were any
    lossless: bool = added(False)
    """Swap only to a copy that has followed production: raise FallbackLost where there is none,
    so that a person decides about the later writes. False: to the backup, whatever it lacks."""
    catch_up: float = added(0.0)
    """Seconds that a copy may take to catch up."""
    folder: str = added("")
    """Key prefix in the bucket for the file of rows that the old schema could not take."""
    accepted: bool = added(False)
    """A person knows that rows of the copy differ from production's, and wants the swap."""


class TableDifference(Message):
    """How a table of production differs from the backup, by its rows' keys."""

    table: str
    missing: int = 0
    """Rows that only production has: going back to the backup loses them."""
    changed: int = 0
    """Rows that both have, with other content."""
    gone: int = 0
    """Rows that only the backup has."""
    keys: list[str] = []
    """The first of them, such as `id=5 (changed)`."""


class TableCompared(Message):
    """How a table of the copy that follows compares with production, by the old schema's columns
    that production still has."""

    table: str
    rows: int = 0
    """Of the copy."""
    recorded: int = 0
    """Rows that differ and stand in the conflict file."""
    migrated: int = 0
    """Rows that differ because a migration itself wrote or removed them: the copy keeps the old."""
    unexplained: int = 0
    """Rows that differ, and nothing says why."""
    keys: list[str] = []
    """The first of the unexplained ones."""
    without: list[str] = []
    """Columns that could not be compared: another type, or production has dropped them."""
    left: str = ""
    """Why it was not compared at all; empty: it was."""
    closed: bool = False
    """It was compared when production was closed: nothing was written to it afterwards."""

    @property
    def equal(self) -> bool:
        """Whether every row was compared and none differs."""
        return not (self.left or self.recorded or self.migrated or self.unexplained)


class DatabaseCompared(Message):
    """What was written to production since the backup, shown before a person decides."""

    tables: list[TableDifference] = []
    """Those that differ in anything."""
    side: str
    """The database that was compared with: the backup, restored."""
    key: str = ""
    """The file of all these rows in the bucket; empty where none differ."""
    because: str


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
    followed: bool = added(False)
    """The copy that was swapped in had followed production to its last commit."""
    conflicts: int = added(0)
    """Rows that the old schema could not take, or took altered: each is in the conflict file."""
    aside: int = added(0)
    """Rows with values in added columns or tables, for which the old schema has no place: they
    are in the conflict file."""
    conflicts_key: str = added("")
    """The conflict file in the bucket."""
    lost_key: str = added("")
    """The file of later writes that are missing, and of rows that differ, in the bucket."""
    conflicts_sha256: str = added("")
    lost_sha256: str = added("")
    """Digests of these files: only what has them is written again."""
    compared: list[TableCompared] = added([])
    """How the copy that followed compared with production before the swap."""
    because: str

    @property
    def lost_rows(self) -> int:
        """Rows lost in all tables together."""
        return sum(table.rows for table in self.lost)
