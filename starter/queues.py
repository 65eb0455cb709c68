"""Who listens to a task queue, as the Temporal server knows it."""

import asyncio
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from slipway.server_view import Queue

if TYPE_CHECKING:
    from temporalio.client import Client

_FRESH = 70.0
"""A worker asks for work at least once a minute; one not seen for longer is gone."""
_NEVER = datetime.min.replace(tzinfo=UTC)


async def queue_of(client: "Client", name: str, *, privileged: bool, build: str) -> Queue:
    """Return who listens to a queue; with `build`, of that worker build alone. Raises RPCError."""
    from temporalio.api.enums.v1 import TaskQueueType
    from temporalio.api.taskqueue.v1 import TaskQueue
    from temporalio.api.workflowservice.v1 import DescribeTaskQueueRequest

    kind = (
        TaskQueueType.TASK_QUEUE_TYPE_ACTIVITY
        if privileged
        else TaskQueueType.TASK_QUEUE_TYPE_WORKFLOW
    )
    request = DescribeTaskQueueRequest(
        namespace=client.namespace, task_queue=TaskQueue(name=name), task_queue_type=kind
    )
    described, leaving = await asyncio.gather(
        client.workflow_service.describe_task_queue(request), _leaving(client, name)
    )
    pollers = [
        one
        for one in described.pollers
        if not build or one.deployment_options.build_id in ("", build)
    ]
    seen = {one.identity: one.last_access_time.ToDatetime(tzinfo=UTC) for one in pollers}
    now = datetime.now(UTC)
    alive = any(
        (now - at).total_seconds() < _FRESH and at > leaving.get(who, _NEVER)
        for who, at in seen.items()
    )
    return Queue(
        name=name, privileged=privileged, alive=alive, seen=max(seen.values(), default=None)
    )


async def _leaving(client: "Client", queue: str) -> dict[str, datetime]:
    """When workers said goodbye: the list of pollers names them for minutes after. A server that
    keeps no list of workers knows of no goodbye."""
    from temporalio.api.enums.v1 import WorkerStatus
    from temporalio.api.workflowservice.v1 import ListWorkersRequest
    from temporalio.service import RPCError

    request = ListWorkersRequest(namespace=client.namespace, query=f"TaskQueue='{queue}'")
    try:
        listed = await client.workflow_service.list_workers(request)
    except RPCError:
        return {}
    beats = [one.worker_heartbeat for one in listed.workers_info]
    running = {
        beat.worker_identity for beat in beats if beat.status == WorkerStatus.WORKER_STATUS_RUNNING
    }
    return {
        beat.worker_identity: beat.heartbeat_time.ToDatetime(tzinfo=UTC)
        for beat in beats
        if beat.worker_identity not in running
    }
