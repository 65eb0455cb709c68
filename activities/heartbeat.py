"""Heartbeats for long activities: they make cancellation arrive and tell how far the work is."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from temporalio import activity


class Progress:
    """What the activity is doing now; its text is the heartbeat's details, seen in the UI."""

    def __init__(self) -> None:
        self.text = "starting"

    def say(self, text: str) -> None:
        """Replace the progress text; sent with the next beat."""
        self.text = text


@asynccontextmanager
async def heartbeating() -> AsyncIterator[Progress]:
    """Beat at a third of the activity's heartbeat timeout until the block ends.

    The SDK cancels the activity's task when the server answers a beat with a cancellation.
    """
    progress = Progress()
    timeout = activity.info().heartbeat_timeout
    every = max(0.1, timeout.total_seconds() / 3) if timeout else 10.0
    beats = asyncio.create_task(_beat(progress, every))
    try:
        yield progress
    finally:
        beats.cancel()
        await asyncio.gather(beats, return_exceptions=True)


async def _beat(progress: Progress, every: float) -> None:
    while True:
        activity.heartbeat(progress.text)
        await asyncio.sleep(every)


async def in_thread(call: Any, *args: Any, **kwargs: Any) -> Any:
    """Run one blocking client call in a thread. Calls must have their own short timeouts."""
    return await asyncio.to_thread(call, *args, **kwargs)
