"""Turns the domain's errors into Temporal failures, in one place for every activity."""

from typing import Any

from temporalio.exceptions import ApplicationError
from temporalio.worker import (
    ActivityInboundInterceptor,
    ExecuteActivityInput,
    Interceptor,
)

from slipway.errors import SlipwayError


def as_failure(error: SlipwayError) -> ApplicationError:
    """Return the failure of a domain error: its type is the runbook's name."""
    return ApplicationError(
        str(error), error.remedy, type=error.reason.value, non_retryable=error.final
    )


class _Inbound(ActivityInboundInterceptor):
    async def execute_activity(self, input: ExecuteActivityInput) -> Any:  # noqa: A002 - the SDK's name
        try:
            return await self.next.execute_activity(input)
        except SlipwayError as error:
            raise as_failure(error) from None


class DomainFailures(Interceptor):
    """Worker interceptor: a `SlipwayError` becomes an `ApplicationError` without its traceback."""

    def intercept_activity(
        self,
        next: ActivityInboundInterceptor,  # noqa: A002 - the SDK's name
    ) -> ActivityInboundInterceptor:
        """Wrap every activity of the worker."""
        return _Inbound(next)
