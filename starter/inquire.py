"""What only the worker can see, asked of it by short workflows. `doctor` and `report` have files of
their own."""

import asyncio
import secrets
from datetime import timedelta
from typing import TYPE_CHECKING, TypeVar

from pydantic import BaseModel

from slipway import names
from slipway.checklist import verified
from slipway.messages.record import Place
from slipway.messages.requests import (
    FindRequest,
    FindResult,
    ReportRequest,
    ReportResult,
)
from slipway.status import StatusDocument
from starter.documents import Lost
from starter.guard import REFUSED, UNREACHABLE, Stop
from starter.lookup import find, find_or_none, is_id
from starter.session import task_queue
from starter.stand import Stand

if TYPE_CHECKING:
    from temporalio.client import Client

_LONGEST = 900.0
"""Seconds that verifying every artefact may take."""
_R = TypeVar("_R", bound=BaseModel)


async def ask_worker(
    client: "Client",
    workflow: str,
    request: BaseModel,
    result: type[_R],
    longest: float = _LONGEST,
) -> _R:
    """Run a short workflow and return its result. Raises Stop when no worker is there.

    `longest`: seconds after which Temporal ends it.
    """
    for queue in (task_queue(), names.privileged(task_queue())):
        if not await served(client, queue):
            raise Stop(
                UNREACHABLE,
                f"No worker listens on task queue {queue}, and only a worker can look there. "
                "Start one with: python -m worker",
            )
    done: _R = await client.execute_workflow(
        workflow,
        request,
        id=f"{workflow.lower()}-{secrets.token_hex(6)}",
        task_queue=task_queue(),
        result_type=result,
        execution_timeout=timedelta(seconds=longest),
    )
    return done


async def served(client: "Client", queue: str) -> bool:
    """Whether somebody polls a queue, for workflows or for activities."""
    from temporalio.api.enums.v1 import TaskQueueType
    from temporalio.api.taskqueue.v1 import TaskQueue
    from temporalio.api.workflowservice.v1 import DescribeTaskQueueRequest

    async def polled(kind: "TaskQueueType.ValueType") -> bool:
        request = DescribeTaskQueueRequest(
            namespace=client.namespace, task_queue=TaskQueue(name=queue), task_queue_type=kind
        )
        answer = await client.workflow_service.describe_task_queue(request)
        return bool(answer.pollers)

    kinds = (
        TaskQueueType.TASK_QUEUE_TYPE_ACTIVITY,
        TaskQueueType.TASK_QUEUE_TYPE_WORKFLOW,
    )
    return any(await asyncio.gather(*(polled(kind) for kind in kinds)))


async def place_of(client: "Client", name: str, lost: Lost) -> Place:
    """Return where the record of a deployment or of an environment's newest one is kept."""
    found = await find_or_none(client, name)
    if found is not None and found.place is not None:
        return found.place
    place = lost.place(name)
    if place is None:
        return (await find(client, name)).place or _no_place(name)
    if is_id(name):
        return place
    records = await ask_worker(client, names.FIND_TYPE, FindRequest(place=place), FindResult)
    if not records.records:
        raise Stop(REFUSED, f"There is no record of {name} in {place.bucket}/{place.prefix}.")
    return place.model_copy(update={"deployment": records.records[0].deployment})


def _no_place(name: str) -> Place:
    raise Stop(
        REFUSED,
        f"The workflow of {name} does not say where its record is kept. Add --plan PLAN "
        "(and --overlay FILE where one was used).",
    )


async def from_record(client: "Client", name: str, lost: Lost) -> Stand:
    """Return how a deployment stood when its record was written last."""
    place = await place_of(client, name, lost)
    result = await ask_worker(client, names.REPORT_TYPE, ReportRequest(place=place), ReportResult)
    note = "Read from the record in the bucket; its artefacts were verified again."
    return Stand(verified_status(result), "record", note)


def verified_status(result: ReportResult) -> StatusDocument:
    """Return the status document, each line of its checklist judged by what was read again."""
    status = StatusDocument.model_validate(result.status)
    return verified(status, result.states, result.verified_at)
