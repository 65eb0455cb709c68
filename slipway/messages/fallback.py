"""The warm fallback: the restored copy that follows production on the old schema.

The side database that proved a backup goes on from the backup's snapshot through a logical
replication slot, so that a rollback takes no restore and loses no later write.
"""

from slipway.base import Message, added
from slipway.messages.record import BackupTaken
from slipway.plan import Database, Plan
from slipway.states import FallbackState


class FollowFallback(Message):
    """Keep a backup's side database current until the fallback ends or is lost."""

    deployment: str
    database: Database
    backup: BackupTaken
    steady: float = added(0.0)
    """Return once it has followed for so many seconds, in state `following`; 0: never for that."""


class Followed(Message):
    """Why following ended."""

    state: FallbackState
    """`swapped`, `ended` or `lost`; `following` where the question was whether it can."""
    because: str = ""


class EndFallback(Message):
    """Drop slot, publication and side database of a fallback; by the names slipway gave them."""

    deployment: str
    database: Database
    backup: BackupTaken


class FallbackEnded(Message):
    """What was dropped: `slot`, `publication`, `database`."""

    dropped: list[str]


class FallbackRequest(Message):
    """Start of the workflow `Fallback`: one a deployment."""

    deployment: str
    plan: Plan
    release: str
    backup: BackupTaken
    follow: bool
    """False: the side database is kept as it is, and catches up only when a rollback wants it."""
    keep: float
    """Seconds until it ends by itself, unless it is told another time."""


class KeepFallback(Message):
    """Signal `keep`: how many seconds from now the fallback is still needed; 0 ends it."""

    seconds: float
    because: str


class FallbackReport(Message):
    """What the query `status` of the workflow `Fallback` tells."""

    deployment: str
    state: FallbackState
    because: str = ""
