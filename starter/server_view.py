"""What the Temporal server itself knows of a run, asked by its raw interface: pending activities,
a failing workflow task, who listens to the queues, how the run was ended."""

import asyncio
import json
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from slipway import names
from slipway.base import say_length
from slipway.server_view import Change, Ending, FailingTask, PendingActivity, ServerView
from slipway.states import TroubleKind
from starter.lookup import Found
from starter.queues import queue_of

if TYPE_CHECKING:
    from temporalio.api.history.v1 import HistoryEvent
    from temporalio.api.workflow.v1 import PendingActivityInfo
    from temporalio.api.workflowservice.v1 import DescribeWorkflowExecutionResponse

_PAGE = 200
"""Events read backwards: what is pending was scheduled lately."""
_ENDINGS = {
    "TERMINATED": TroubleKind.TERMINATED,
    "CANCELED": TroubleKind.CANCELED,
    "TIMED_OUT": TroubleKind.TIMED_OUT,
    "FAILED": TroubleKind.FAILED,
}


_TIMEOUTS = (
    "schedule_to_close_timeout",
    "schedule_to_start_timeout",
    "start_to_close_timeout",
    "heartbeat_timeout",
)


async def view_of(found: Found) -> ServerView:
    """Return what the server knows of a run. Raises RPCError when it does not say."""
    view = ServerView(
        workflow_id=found.handle.id,
        run_id=found.described.workflow_execution_info.execution.run_id,
        deployment=found.id,
        rollback=found.kind == names.ROLLBACK_TYPE,
        pinned=_pinned(found.described),
    )
    seen = await (_ended(found, view) if found.ended else _running(found, view))
    return view.model_copy(update=seen)


async def copy_of(found: Found) -> list[PendingActivity]:
    """Return what is in flight for the restored copy of a deployment, which outlives it. Raises
    RPCError when the server does not say."""
    from temporalio.api.common.v1 import WorkflowExecution
    from temporalio.api.workflowservice.v1 import DescribeWorkflowExecutionRequest
    from temporalio.service import RPCError, RPCStatusCode

    request = DescribeWorkflowExecutionRequest(
        namespace=found.client.namespace,
        execution=WorkflowExecution(workflow_id=names.fallback_workflow_id(found.id)),
    )
    try:
        described = await found.client.workflow_service.describe_workflow_execution(request)
    except RPCError as error:
        if error.status is RPCStatusCode.NOT_FOUND:
            return []
        raise
    return [_activity(one, []) for one in described.pending_activities]


async def _ended(found: Found, view: ServerView) -> dict[str, Any]:
    """Of a run that has ended: how, and whether a worker can still be asked about it."""
    queue = found.described.execution_config.task_queue.name
    served, events = await asyncio.gather(
        queue_of(found.client, queue, privileged=False, build=view.pinned), _events(found, 1)
    )
    return {"ending": _ending(found.ended, events), "queues": [served]}


async def _running(found: Found, view: ServerView) -> dict[str, Any]:
    described, queue = found.described, found.described.execution_config.task_queue.name
    served, privileged, events = await asyncio.gather(
        queue_of(found.client, queue, privileged=False, build=view.pinned),
        queue_of(found.client, names.privileged(queue), privileged=True, build=""),
        _events_if_needed(found),
    )
    return {
        "queues": [served, privileged],
        "task": _failing_task(described, events),
        "activities": [_activity(one, events) for one in described.pending_activities],
        "reset_at": _time(described.workflow_extended_info.last_reset_time),
    }


def _pinned(described: "DescribeWorkflowExecutionResponse") -> str:
    from temporalio.api.enums.v1 import VersioningBehavior

    info = described.workflow_execution_info.versioning_info
    if info.behavior != VersioningBehavior.VERSIONING_BEHAVIOR_PINNED:
        return ""
    return info.deployment_version.build_id


async def _events_if_needed(found: Found) -> "list[HistoryEvent]":
    described = found.described
    if described.pending_activities or described.pending_workflow_task.attempt > 1:
        return await _events(found, _PAGE)
    return []


async def _events(found: Found, most: int) -> "list[HistoryEvent]":
    """The newest events, newest first."""
    from temporalio.api.workflowservice.v1 import GetWorkflowExecutionHistoryReverseRequest

    request = GetWorkflowExecutionHistoryReverseRequest(
        namespace=found.client.namespace,
        execution=found.described.workflow_execution_info.execution,
        maximum_page_size=most,
    )
    answer = await found.client.workflow_service.get_workflow_execution_history_reverse(request)
    return list(answer.history.events)


def _failing_task(
    described: "DescribeWorkflowExecutionResponse", events: "list[HistoryEvent]"
) -> FailingTask | None:
    """The pending task when the newest finished one failed; a worker that died is no failure."""
    from temporalio.api.enums.v1 import WorkflowTaskFailedCause as Cause

    attempt = described.pending_workflow_task.attempt
    if attempt <= 1:
        return None
    for event in events:
        if event.HasField("workflow_task_timed_out_event_attributes"):
            return None
        if event.HasField("workflow_task_completed_event_attributes"):
            return None
        if event.HasField("workflow_task_failed_event_attributes"):
            failed = event.workflow_task_failed_event_attributes
            if failed.cause == Cause.WORKFLOW_TASK_FAILED_CAUSE_RESET_WORKFLOW:
                return None
            return FailingTask(
                attempt=attempt,
                message=_short(failed.failure.message),
                at=_instant(event.event_time),
                misfit=failed.cause == Cause.WORKFLOW_TASK_FAILED_CAUSE_NON_DETERMINISTIC_ERROR,
            )
    return None


def _activity(pending: "PendingActivityInfo", events: "list[HistoryEvent]") -> PendingActivity:
    from temporalio.api.enums.v1 import PendingActivityState as State

    event = _scheduled(pending.activity_id, events)
    pause = pending.pause_info
    return PendingActivity(
        id=pending.activity_id,
        type=pending.activity_type.name,
        title=_text(event.user_metadata.summary.data) if event else "",
        queue=pending.activity_options.task_queue.name,
        attempt=pending.attempt,
        most=pending.maximum_attempts,
        started=pending.state
        not in (State.PENDING_ACTIVITY_STATE_SCHEDULED, State.PENDING_ACTIVITY_STATE_PAUSED),
        due=_time(pending.next_attempt_schedule_time) or _time(pending.scheduled_time),
        expires=_time(pending.expiration_time),
        failure=_said(pending.last_failure),
        progress=_progress(pending),
        paused=pending.paused,
        paused_by=pause.manual.identity or pause.rule.identity,
        paused_why=pause.manual.reason or pause.rule.reason,
        paused_at=_time(pause.pause_time),
        changes=_changes(pending, event) if event else [],
    )


def _progress(pending: "PendingActivityInfo") -> str:
    payloads = pending.heartbeat_details.payloads
    return _text(payloads[0].data) if payloads else ""


def _scheduled(activity_id: str, events: "Iterable[HistoryEvent]") -> "HistoryEvent | None":
    for event in events:
        if event.activity_task_scheduled_event_attributes.activity_id == activity_id:
            return event
    return None


def _changes(pending: "PendingActivityInfo", event: "HistoryEvent") -> list[Change]:
    """What differs from how the workflow scheduled the activity."""
    was, now = event.activity_task_scheduled_event_attributes, pending.activity_options
    pairs = [
        (name.replace("_", "-"), _length(getattr(was, name)), _length(getattr(now, name)))
        for name in _TIMEOUTS
    ]
    pairs += [
        ("task-queue", was.task_queue.name, now.task_queue.name),
        (
            "retry-maximum-attempts",
            str(was.retry_policy.maximum_attempts),
            str(now.retry_policy.maximum_attempts),
        ),
        (
            "retry-maximum-interval",
            _length(was.retry_policy.maximum_interval),
            _length(now.retry_policy.maximum_interval),
        ),
    ]
    return [Change(name=name, was=old, now=new) for name, old, new in pairs if old != new]


def _ending(how: str, events: "list[HistoryEvent]") -> Ending:
    """Who ended it and why stand in the last event."""
    kind = _ENDINGS.get(how, TroubleKind.FAILED)
    if not events:
        return Ending(kind=kind)
    event = events[0]
    ended = event.workflow_execution_terminated_event_attributes
    because = ended.reason
    details = [_text(one.data) for one in ended.details.payloads]
    if event.HasField("workflow_execution_failed_event_attributes"):
        because = _innermost(event.workflow_execution_failed_event_attributes.failure).message
    if event.HasField("workflow_execution_timed_out_event_attributes"):
        because = "It had an execution timeout, which slipway never sets, and that has passed."
    said = " ".join(one for one in (because, *details) if one)
    return Ending(kind=kind, by=ended.identity, because=_short(said), at=_instant(event.event_time))


def _said(failure: Any) -> str:
    """A failure in one sentence; Temporal's own words for a timeout are translated."""
    if failure.HasField("timeout_failure_info"):
        return f"{failure.message or 'It timed out'}: the worker was gone, or it hung."
    return _short(_innermost(failure).message)


def _innermost(failure: Any) -> Any:
    while failure.HasField("cause"):
        failure = failure.cause
    return failure


def _short(text: str) -> str:
    return " ".join(text.split())[:300]


def _text(data: bytes) -> str:
    try:
        value = json.loads(data) if data else ""
    except ValueError:
        return ""
    return value if isinstance(value, str) else ""


def _instant(stamp: Any) -> datetime:
    at: datetime = stamp.ToDatetime(tzinfo=UTC)
    return at


def _time(stamp: Any) -> datetime | None:
    """A time of the server; None where it has none (it writes year 1)."""
    return _instant(stamp) if stamp.seconds > 0 else None


def _length(duration: Any) -> str:
    length: timedelta = duration.ToTimedelta()
    return say_length(length.total_seconds()) if length else "0s"
