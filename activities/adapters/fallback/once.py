"""Work beside following, once for each epoch; its failure never ends the following."""

import asyncio
import time
from collections.abc import Awaitable, Callable

import psycopg

from slipway.errors import SlipwayError

_AGAIN = 60.0
"""Seconds until what has failed is tried again."""


class Once:
    """Runs one piece of work in the background."""

    def __init__(self, work: Callable[[], Awaitable[str]]) -> None:
        """`work` returns what it has found, in words."""
        self._work = work
        self._task: asyncio.Task[None] | None = None
        self._done = 0
        """The epoch that it is done for."""
        self._not_before = 0.0
        self.words = ""
        """What came of it; empty before."""

    def begin(self, epoch: int) -> None:
        """Begin, unless it is under way, or done for this epoch."""
        busy = self._task is not None and not self._task.done()
        if epoch != self._done and not busy and time.monotonic() >= self._not_before:
            self._task = asyncio.create_task(self._run(epoch))

    async def _run(self, epoch: int) -> None:
        try:
            self.words = f"; {await self._work()}"
            self._done = epoch
        except (SlipwayError, psycopg.Error) as error:
            self.words = f"; not compared: {error}"[:300]
            self._not_before = time.monotonic() + _AGAIN

    async def stop(self) -> None:
        """End it, and wait until it has ended; it may begin again."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
