"""From the name people type, a deployment's ID or an environment's, to the workflow meant."""

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from pydantic import ValidationError

from slipway import names
from slipway.messages.record import Place
from slipway.messages.requests import DeploymentResult, MemoStatus
from slipway.status import StatusDocument
from starter.guard import REFUSED, Stop
from starter.query import query
from starter.session import MEMO_PLACE

if TYPE_CHECKING:
    from temporalio.api.workflowservice.v1 import DescribeWorkflowExecutionResponse
    from temporalio.client import Client, WorkflowExecutionDescription, WorkflowHandle

_ID = re.compile(r"[a-z][a-z0-9-]{0,62}-[0-9]{8}T[0-9]{6}Z-[0-9a-f]{6}")
_ENVIRONMENT = re.compile(r"[a-z][a-z0-9-]{0,62}")


@dataclass(frozen=True)
class Found:
    """One run of a deployment or rollback workflow."""

    client: "Client"
    handle: "WorkflowHandle[Any, DeploymentResult]"
    kind: str
    """The workflow's type."""
    ended: str
    """Empty while it runs, else how Temporal says it ended: `COMPLETED`, `TERMINATED`, …"""
    memo: MemoStatus
    place: Place | None
    described: "DescribeWorkflowExecutionResponse"
    """All that the server says of it, as it says it."""

    @property
    def id(self) -> str:
        """The deployment's ID."""
        return self.memo.id


def is_id(name: str) -> bool:
    """Whether a name has the form of a deployment's ID. Raises Stop for what cannot be a name."""
    if _ID.fullmatch(name):
        return True
    if _ENVIRONMENT.fullmatch(name):
        return False
    raise Stop(
        REFUSED,
        f"{name[:80]!r} is neither a deployment's ID (production-20261123T202134Z-1a2b3c) nor an "
        "environment's name. Give one of them.",
    )


async def find(client: "Client", name: str) -> Found:
    """Return the newest run of a deployment, or of an environment. Raises Stop when none is."""
    found = await find_or_none(client, name)
    if found is None:
        raise Stop(
            REFUSED,
            f"Temporal knows no deployment {name} in namespace {client.namespace}. Give the ID "
            "that `slipway start` printed or the environment's name. Where Temporal has lost it, "
            f"its record may still stand. By the plan: slipway why {name} --plan PLAN",
        )
    return found


async def find_or_none(client: "Client", name: str) -> Found | None:
    """Return the newest run of a deployment, or of an environment, or None."""
    environment = names.environment_of(name) if is_id(name) else name
    newest = await _newest(client, environment)
    if newest is None or not is_id(name) or newest.id == name:
        return newest
    return await _listed(client, names.deployment_workflow_id(environment), name)


async def _newest(client: "Client", environment: str) -> Found | None:
    from temporalio.service import RPCError, RPCStatusCode

    handle = client.get_workflow_handle(names.deployment_workflow_id(environment))
    try:
        return await _found(client, await handle.describe())
    except RPCError as error:
        if error.status is RPCStatusCode.NOT_FOUND and "amespace" not in error.message:
            return None
        raise


async def _listed(client: "Client", workflow_id: str, deployment: str) -> Found | None:
    """An earlier run: the workflow ID is the environment's, so visibility must tell."""
    query = f"WorkflowId = '{workflow_id}' AND {names.SEARCH_DEPLOYMENT} = '{deployment}'"
    runs = [one async for one in client.list_workflows(query, limit=50)]
    if not runs:
        return None
    newest = max(runs, key=lambda one: one.start_time)
    handle = client.get_workflow_handle(newest.id, run_id=newest.run_id)
    return await _found(client, await handle.describe())


async def refreshed(found: Found) -> Found:
    """Return the same run as it stands now. Raises Stop when its memo cannot be read."""
    return await _found(found.client, await found.handle.describe()) or found


async def ask(handle: "WorkflowHandle[Any, Any]") -> StatusDocument | None:
    """Return the answer of the query `status`; None when no worker gives one in time. Raises Stop
    when it gives one that cannot be read."""
    from temporalio.client import WorkflowQueryFailedError, WorkflowQueryRejectedError
    from temporalio.service import RPCError

    try:
        answer: dict[str, Any] | None = await query(handle, "status")
    except (TimeoutError, RPCError, WorkflowQueryFailedError, WorkflowQueryRejectedError):
        return None
    return None if answer is None else read_status(answer, f"The worker's answer for {handle.id}")


def read_status(data: dict[str, Any], what: str) -> StatusDocument:
    """Return a status document. Raises Stop, naming what it was, when it is none."""
    try:
        return StatusDocument.model_validate(data)
    except ValidationError as error:
        raise _unreadable(what, error) from None


async def _found(client: "Client", execution: "WorkflowExecutionDescription") -> Found | None:
    from temporalio.client import WorkflowExecutionStatus

    if names.MEMO_KEY not in execution.raw_description.workflow_execution_info.memo.fields:
        return None  # somebody else's workflow under this ID
    handle = client.get_workflow_handle(
        execution.id, run_id=execution.run_id, result_type=DeploymentResult
    )
    running = execution.status in (None, WorkflowExecutionStatus.RUNNING)
    return Found(
        client=client,
        handle=handle,
        kind=execution.workflow_type,
        ended="" if running or execution.status is None else execution.status.name,
        memo=await _memo(execution, handle),
        place=await _place(execution),
        described=execution.raw_description,
    )


_GARBAGE = (ValueError, TypeError, KeyError, RuntimeError)
"""What decoding a payload of any kind may raise (ValidationError is a ValueError)."""


async def _memo(
    execution: "WorkflowExecutionDescription", handle: "WorkflowHandle[Any, DeploymentResult]"
) -> MemoStatus:
    """The short status; where the memo holds something else, the worker is asked for it."""
    try:
        return MemoStatus.model_validate(await execution.memo_value(names.MEMO_KEY))
    except _GARBAGE as error:
        status = await ask(handle)
        if status is None:
            raise _unreadable(f"The memo of workflow {execution.id}", error) from None
    return MemoStatus(
        id=status.id,
        environment=status.environment,
        release=status.release,
        phase=status.phase,
        outcome=status.outcome,
        step=status.current.step,
        reason=status.current.reason,
    )


async def _place(execution: "WorkflowExecutionDescription") -> Place | None:
    try:
        place = await execution.memo_value(MEMO_PLACE, default=None)
        return Place.model_validate(place) if place else None
    except _GARBAGE:
        return None


def _unreadable(what: str, error: Exception) -> Stop:
    """Return the end of a command that was given what it cannot read."""
    place = ""
    if isinstance(error, ValidationError):
        first = error.errors(include_url=False, include_input=False, include_context=False)[0]
        place = f" ({'.'.join(str(part) for part in first['loc']) or 'the whole'})"
    return Stop(
        REFUSED,
        f"{what} cannot be read{place}: a newer slipway may have written it, or somebody else. "
        "Use the newest slipway, and see that a worker runs: python -m worker",
    )
