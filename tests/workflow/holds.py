"""Keeping an activity in flight, and looking at the world in memory."""

import asyncio
from collections.abc import Awaitable

from temporalio import activity

from tests.workflow.harness import Harness
from tests.workflow.waiting import PATIENCE


class Hold:
    """Keeps an activity in flight until the test lets it go."""

    def __init__(self) -> None:
        self.reached = asyncio.Event()
        self.released = asyncio.Event()

    async def _wait(self) -> None:
        self.reached.set()
        while not self.released.is_set():
            activity.heartbeat("held by the test")
            await asyncio.sleep(0.05)

    def __call__(self) -> Awaitable[None]:
        return self._wait()

    async def met(self) -> None:
        """Wait until the activity is in flight."""
        await asyncio.wait_for(self.reached.wait(), PATIENCE)


def nothing() -> None:
    """A call that goes well."""


def images(harness: Harness) -> list[str]:
    """Return what runs now, as `old` or `new`."""
    deployments = harness.world.deployments.values()
    return ["old" if one.image.startswith("old/") else "new" for one in deployments]
