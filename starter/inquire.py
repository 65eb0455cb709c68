"""What only the worker can see, asked of it by short workflows: report, records, and `doctor`
(which has a file of its own)."""

import asyncio
import json
import secrets
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeVar

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
from slipway.report import report_data, report_markdown
from slipway.status import StatusDocument
from starter.documents import Lost
from starter.guard import OK, REFUSED, UNREACHABLE, Stop
from starter.lookup import find, find_or_none, is_id
from starter.session import connect, task_queue
from starter.stand import Stand, stand_of

if TYPE_CHECKING:
    from temporalio.client import Client

_LONGEST = 900.0
"""Seconds that verifying every artefact may take."""
_R = TypeVar("_R", bound=BaseModel)


async def ask_worker(client: "Client", workflow: str, request: BaseModel, result: type[_R]) -> _R:
    """Run a short workflow and return its result. Raises Stop when no worker is there."""
    for queue in (task_queue(), names.privileged(task_queue())):
        if not await _served(client, queue):
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
        execution_timeout=timedelta(seconds=_LONGEST),
    )
    return done


async def _served(client: "Client", queue: str) -> bool:
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
    return Stand(_verified(result), "record", note)


async def report(
    name: str, lost: Lost, *, form: Literal["json", "markdown"], output: Path | None
) -> int:
    """Print the report, every artefact of its checklist verified again."""
    client = await connect()
    found = await find_or_none(client, name)
    if found is not None and not found.ended:
        status = (await stand_of(found)).status
        because = "the deployment is still running; ask again when it has ended."
        text = _formed(status, None, because, form)
    else:
        place = await place_of(client, name, lost)
        request = ReportRequest(place=place)
        result = await ask_worker(client, names.REPORT_TYPE, request, ReportResult)
        text = _formed(_verified(result), result, "", form)
    _write(text, output)
    return OK


def _write(text: str, output: Path | None) -> None:
    if output is None:
        print(text)
        return
    try:
        output.write_text(text + "\n", encoding="utf-8")
    except OSError as error:
        said = f"{output}: it cannot be written: {error.strerror}. Choose another --output."
        raise Stop(REFUSED, said) from None
    print(f"Wrote {output}.")


def _verified(result: ReportResult) -> StatusDocument:
    status = StatusDocument.model_validate(result.status)
    return verified(status, result.states, result.verified_at)


def _formed(
    status: StatusDocument,
    result: ReportResult | None,
    because: str,
    form: Literal["json", "markdown"],
) -> str:
    at = result.verified_at if result else None
    if form == "markdown":
        return report_markdown(status, at, because=because)
    data: dict[str, Any] = report_data(status, at, because=because)
    data["artefacts"] = [one.model_dump(mode="json") for one in result.states] if result else []
    return json.dumps(data, indent=2)
