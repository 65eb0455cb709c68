"""What a worker counts beside Temporal's own metrics: failed attempts of activities, and why."""

from typing import Any

from temporalio import activity
from temporalio.exceptions import ApplicationError
from temporalio.worker import ExecuteActivityInput

from activities.around import Execute
from slipway import names
from slipway.verdicts import Reason

FAILURES = "slipway_activity_failures_total"
"""Failed attempts. Labels, beside those the SDK gives (activity_type, task_queue, namespace):
`environment`; `reason`, the runbook's name; `given_up`, whether no attempt follows."""
_REASONS = frozenset(one.value for one in Reason)


async def counting(input_: ExecuteActivityInput, execute: Execute) -> Any:
    """Count an activity's failed attempts, for `Around`. It stands outside of `translating`, so
    that it sees the failure's type. Activities run once for each attempt: nothing is counted on
    replay."""
    try:
        return await execute(input_)
    except Exception as error:  # a cancellation is no failure, and no Exception
        _count(error)
        raise


def _count(error: Exception) -> None:
    labels = {
        "environment": names.environment_of_workflow(activity.info().workflow_id or ""),
        "reason": reason_of(error),
        "given_up": "true" if is_last(error, activity.info()) else "false",
    }
    meter = activity.metric_meter()
    meter.create_counter(FAILURES, "Failed attempts of activities.").add(1, labels)


def reason_of(error: Exception) -> str:
    """Return the runbook's name; whatever is no error of the domain is a step that fails."""
    kind = error.type if isinstance(error, ApplicationError) else None
    return kind if kind in _REASONS else Reason.STEP_OUT_OF_ATTEMPTS.value


def is_last(error: Exception, info: activity.Info) -> bool:
    """Return whether Temporal makes no attempt after this failure, as far as a worker knows: the
    end of the time for all attempts is the server's to see."""
    if isinstance(error, ApplicationError) and error.non_retryable:
        return True
    most = info.retry_policy.maximum_attempts if info.retry_policy else 0
    return 0 < most <= info.attempt
