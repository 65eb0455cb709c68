"""What aftercare has seen: the answer of its query `status` and its artefact `aftercare.json`."""

from datetime import datetime

from slipway.base import Message


class Look(Message):
    """One look at everything: when, and what was found."""

    at: datetime
    kind: str
    """health, errors, daily or weekly."""
    healthy: bool
    because: str


class AftercareState(Message):
    """What aftercare has seen so far."""

    deployment: str
    phase: str
    looks: list[Look] = []
    items: dict[str, str] = {}
    """Human items: owner, and by whom they were acknowledged."""
    superseded_by: str = ""
