"""Taking the mandatory backup and proving that it restores; what stands in the bucket of it."""

from slipway.base import Instant, Message, Sha256, added
from slipway.messages.record import BackupTaken
from slipway.plan import Backup, Database

LARGEST_MANIFEST = 16 * 1024 * 1024
"""Bytes."""


class TakeBackup(Message):
    """Dump from one exported snapshot, read every byte back, restore into a side database, compare
    row fingerprints and schema, upload with object lock, read back, write the manifest last."""

    deployment: str
    database: Database
    backup: Backup
    requester: str
    attempt_tag: str
    """Makes the side database's name unique: `1` for the first backup, `2` when retaken."""
    # left out while it is the default, as in what was recorded before there were fallbacks
    follow: str = added("")
    """The migration ledger, when the side database is to follow production from the snapshot on;
    empty: it stays as it is."""


class SequenceNoted(Message):
    """How far a sequence had come about when the snapshot was taken."""

    sequence: str
    last: int
    step: int = 1


class PublicationNoted(Message):
    """A publication of the source. A copy has none, so its definition is kept beside the dump."""

    name: str
    definition: str
    """SQL that makes it again."""


class DatabaseIdentity(Message):
    """Which database it was, whatever its name: no other server and no other database has it."""

    system: str
    """The server's system identifier."""
    oid: int


class KeptObject(Message):
    """An object that belongs to a backup."""

    key: str
    sha256: Sha256
    size: int
    """Bytes."""
    version: str = ""
    """In a bucket that keeps versions."""


class Manifest(Message):
    """What stands beside a dump. It is written last: a dump without it is no backup."""

    backup: BackupTaken
    deployment: str
    requester: str
    attempt_tag: str
    plain_sha256: str
    """Digest of the dump before compression."""
    plain_size: int
    version: str
    """The dump's version in a bucket that keeps versions."""
    sequences: list[SequenceNoted]
    database_size: int = 0
    """Bytes of the database itself: with `backup.seconds` the pace of later backups. 0: unknown."""
    identity: DatabaseIdentity | None = None
    roles: KeptObject | None = None
    """Roles without passwords, memberships, settings and grants, as SQL."""
    publications: list[PublicationNoted] = []
    locked_until: Instant | None = None
    recipients: list[str] = []
    """age keys that the stored dump is encrypted to."""
    packed_sha256: str = ""
    """Digest of the compressed dump before it was encrypted; empty where it was not."""
    seal: str = ""
    """Digest of all the rest: a manifest that was altered is seen to be. Empty: an older one."""
