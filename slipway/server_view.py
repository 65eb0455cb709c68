"""A run as the Temporal server sees it: what the workflow itself cannot know."""

from datetime import datetime

from slipway.base import Message
from slipway.states import TroubleKind


class Change(Message):
    """One option of an activity that somebody changed while it runs."""

    name: str
    """As the option of `temporal activity update-options` is called, without dashes."""
    was: str
    now: str


class PendingActivity(Message):
    """One activity in flight, as the server sees it."""

    id: str
    type: str
    title: str = ""
    """Its summary, such as `apply analytics`."""
    queue: str = ""
    attempt: int = 1
    most: int = 0
    """Attempts it may have; 0: no limit."""
    started: bool = False
    due: datetime | None = None
    """When it was, or will be, handed to a worker."""
    expires: datetime | None = None
    failure: str = ""
    progress: str = ""
    """What its worker said with its last heartbeat."""
    paused: bool = False
    paused_by: str = ""
    paused_why: str = ""
    paused_at: datetime | None = None
    changes: list[Change] = []

    @property
    def named(self) -> str:
        """How a person recognises it."""
        return f"“{self.title}” ({self.type})" if self.title else self.type


class FailingTask(Message):
    """A workflow task that is tried again: the code that decides what comes next."""

    attempt: int
    message: str = ""
    at: datetime | None = None
    misfit: bool = False
    """The code does not fit the run's history."""


class Queue(Message):
    """One task queue and who listens to it."""

    name: str
    privileged: bool
    alive: bool
    seen: datetime | None = None
    """When a worker was seen last; None: not within the server's memory."""


class Ending(Message):
    """How Temporal says that a run ended, and what stands in its last event."""

    kind: TroubleKind
    by: str = ""
    because: str = ""
    at: datetime | None = None


class ServerView(Message):
    """A run as the Temporal server sees it."""

    workflow_id: str
    run_id: str
    deployment: str
    rollback: bool = False
    """Whether it is a `Rollback` of the deployment rather than the deployment itself."""
    pinned: str = ""
    """The worker build that alone may run it; empty: any."""
    activities: list[PendingActivity] = []
    task: FailingTask | None = None
    queues: list[Queue] = []
    ending: Ending | None = None
    reset_at: datetime | None = None
