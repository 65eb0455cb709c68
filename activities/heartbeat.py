"""Heartbeats of every activity: they tell that its worker lives, make cancellation arrive, and say
how far the work is."""

import asyncio
from contextvars import ContextVar
from typing import Any

from temporalio import activity
from temporalio.worker import ExecuteActivityInput

from activities.around import Execute


class Progress:
    """What the activity is doing now; its text is the heartbeat's details, seen in the UI."""

    def __init__(self, kept: str = "") -> None:
        self.text = "starting"
        self.kept = kept
        """What an earlier attempt wanted its successor to know."""

    def say(self, text: str) -> None:
        """Replace the progress text; sent with the next beat."""
        self.text = text

    def keep(self, kept: str) -> None:
        """Let the next attempt, should there be one, know this; sent at once."""
        self.kept = kept
        if activity.in_activity():
            activity.heartbeat(*self.details)

    @property
    def details(self) -> tuple[str, ...]:
        """What is sent: the text, and what is kept."""
        return (self.text, self.kept) if self.kept else (self.text,)


_current: ContextVar[Progress] = ContextVar("progress")


def current_progress() -> Progress:
    """Return the progress of the running activity; outside a worker nobody listens to it."""
    return _current.get(Progress())


async def beating(input_: ExecuteActivityInput, execute: Execute) -> Any:
    """Let an activity beat at a third of its heartbeat timeout, for `Around`.

    The SDK cancels the activity's task when the server answers a beat with a cancellation.
    """
    timeout = activity.info().heartbeat_timeout
    if not timeout:
        return await execute(input_)
    current = Progress(_kept_before())
    _current.set(current)
    beats = asyncio.create_task(_beat(current, timeout.total_seconds() / 3))
    try:
        return await execute(input_)
    finally:
        beats.cancel()
        await asyncio.gather(beats, return_exceptions=True)


def _kept_before() -> str:
    details = activity.info().heartbeat_details
    return str(details[1]) if len(details) > 1 else ""


async def _beat(current: Progress, every: float) -> None:
    while True:
        activity.heartbeat(*current.details)
        await asyncio.sleep(every)
