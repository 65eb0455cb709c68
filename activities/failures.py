"""Turns the domain's errors into Temporal failures, in one place for every activity."""

from typing import Any

from temporalio.exceptions import ApplicationError
from temporalio.worker import ExecuteActivityInput

from activities.around import Execute
from slipway.errors import SlipwayError


def as_failure(error: SlipwayError) -> ApplicationError:
    """Return the failure of a domain error: its type is the runbook's name."""
    return ApplicationError(
        str(error), error.remedy, type=error.reason.value, non_retryable=error.final
    )


async def translating(input_: ExecuteActivityInput, execute: Execute) -> Any:
    """Turn an activity's `SlipwayError` into an `ApplicationError` without its traceback, for
    `Around`."""
    try:
        return await execute(input_)
    except SlipwayError as error:
        raise as_failure(error) from None
