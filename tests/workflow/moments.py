"""Moments of a run: before an activity has done anything, and after it has done everything."""

from collections.abc import Awaitable, Callable
from typing import Any

from temporalio import activity
from temporalio.worker import ExecuteActivityInput

from activities.around import Execute

Seen = Callable[[str, int, ExecuteActivityInput], Awaitable[None]]


class Moments:
    """Calls `seen(where, number, input)` at each moment; numbers count activities from 1."""

    def __init__(self, seen: Seen) -> None:
        self.seen = seen
        self.count = 0

    async def around(self, input_: ExecuteActivityInput, execute: Execute) -> Any:
        """Run an activity between its two moments."""
        self.count += activity.info().attempt == 1
        number = self.count
        await self.seen("before", number, input_)
        result = await execute(input_)
        await self.seen("after", number, input_)
        return result
