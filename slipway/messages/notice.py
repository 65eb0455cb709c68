"""Notices to people and the incident record."""

from typing import Any, Literal

from slipway.base import Message
from slipway.plan import Contacts, Notices

NoticeKind = Literal[
    "started", "approval", "waiting", "parked", "deployed", "rolled_back", "stopped", "aftercare"
]


class Notice(Message):
    """One announcement. `key` makes it idempotent for the receiver."""

    key: str
    kind: NoticeKind
    deployment: str
    environment: str
    release: str
    title: str
    text: str
    next: str = ""
    """A command to paste."""
    contacts: Contacts | None = None
    data: dict[str, Any] = {}


class SendNotice(Message):
    """Send a notice to the plan's receiver."""

    to: Notices
    notice: Notice


class Sent(Message):
    """What the receiver said: kept as proof that the team was notified."""

    status: int
    receipt: str = ""
