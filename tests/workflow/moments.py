"""Moments of a run: before an activity has done anything, and after it has done everything."""

from collections.abc import Awaitable, Callable
from typing import Any

from temporalio import activity
from temporalio.worker import (
    ActivityInboundInterceptor,
    ExecuteActivityInput,
    Interceptor,
)

Seen = Callable[[str, int, ExecuteActivityInput], Awaitable[None]]


class Moments(Interceptor):
    """Calls `seen(where, number, input)` at each moment; numbers count activities from 1."""

    def __init__(self, seen: Seen) -> None:
        self.seen = seen
        self.count = 0

    def intercept_activity(
        self,
        next: ActivityInboundInterceptor,  # noqa: A002 - the SDK's name
    ) -> ActivityInboundInterceptor:
        """Wrap every activity of the worker."""
        return _Inbound(next, self)


class _Inbound(ActivityInboundInterceptor):
    def __init__(self, next_: ActivityInboundInterceptor, moments: Moments) -> None:
        super().__init__(next_)
        self._moments = moments

    async def execute_activity(self, input: ExecuteActivityInput) -> Any:  # noqa: A002 - the SDK's name
        moments = self._moments
        moments.count += activity.info().attempt == 1
        number = moments.count
        await moments.seen("before", number, input)
        result = await self.next.execute_activity(input)
        await moments.seen("after", number, input)
        return result
