"""What people ask of a running deployment: approve, acknowledge, resolve, pause, abort, …

Updates carry the same models; signals carry them as JSON. Each has a `request` ID made by the
sender, so that a repeated one is answered as before.
"""

from typing import Literal

from pydantic import Field

from slipway.base import Document, Line, Name, Person, Sha256
from slipway.states import Choice

RequestId = Line


class Approve(Document):
    """An approver's yes (or no, for `reject`) to exactly this digest."""

    request: RequestId
    person: Person
    role: Name
    digest: Sha256
    reason: Line = "approved"
    accept: list[Name] = Field(default=[], max_length=50)
    """Rules about the pending migrations that are accepted by name."""


class Reject(Approve):
    """An approver's no."""

    reason: Line


class Acknowledge(Document):
    """A person confirms an item that no program can know."""

    request: RequestId
    person: Person
    item: Name
    note: Line = "confirmed"


class Resolve(Document):
    """A person decides about the parked step. `step` guards against deciding about another one."""

    request: RequestId
    person: Person
    choice: Choice
    step: Line
    reason: Line


class Control(Document):
    """pause, resume, abort or rollback."""

    request: RequestId
    person: Person
    reason: Line


class Reply(Document):
    """What came of a request: accepted or refused, in one sentence, what happens next, and what
    state production is in."""

    request: RequestId
    kind: Literal[
        "approve",
        "reject",
        "acknowledge",
        "resolve",
        "pause",
        "resume",
        "abort",
        "rollback",
        "other",
    ]
    accepted: bool
    because: str = Field(max_length=500)
    next: str = Field(default="", max_length=300)
    world: str = Field(default="", max_length=1000)
    """What has been changed in production so far."""
