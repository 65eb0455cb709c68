"""Worker interceptors that are one function around every activity."""

from collections.abc import Awaitable, Callable
from typing import Any

from temporalio.worker import ActivityInboundInterceptor, ExecuteActivityInput, Interceptor

Execute = Callable[[ExecuteActivityInput], Awaitable[Any]]
Act = Callable[[ExecuteActivityInput, Execute], Awaitable[Any]]


class Around(Interceptor):
    """Runs `act(input, execute)` in place of every activity; `execute(input)` runs the activity."""

    def __init__(self, act: Act) -> None:
        self._act = act

    def intercept_activity(
        self,
        next: ActivityInboundInterceptor,  # noqa: A002 - the SDK's name
    ) -> ActivityInboundInterceptor:
        """Wrap every activity of the worker."""
        return _Inbound(next, self._act)


class _Inbound(ActivityInboundInterceptor):
    def __init__(self, following: ActivityInboundInterceptor, act: Act) -> None:
        super().__init__(following)
        self._act = act

    async def execute_activity(self, input: ExecuteActivityInput) -> Any:  # noqa: A002 - the SDK's name
        return await self._act(input, self.next.execute_activity)
