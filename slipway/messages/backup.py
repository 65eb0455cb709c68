"""Taking the mandatory backup and proving that it restores."""

from slipway.base import Message
from slipway.plan import Backup, Database


class TakeBackup(Message):
    """Dump from one exported snapshot, read every byte back, restore into a side database, compare
    row fingerprints and schema, upload with object lock, read back, write the manifest last."""

    deployment: str
    database: Database
    backup: Backup
    requester: str
    attempt_tag: str
    """Makes the side database's name unique: `1` for the first backup, `2` when retaken."""


class DropSide(Message):
    """Drop a side or kept database when its undo window has ended. Only names slipway made."""

    database: Database
    name: str


class Dropped(Message):
    """Whether it was there."""

    existed: bool
