"""From the name people type, a deployment's ID or an environment's, to the workflow meant."""

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from slipway import names
from slipway.messages.record import Place
from slipway.messages.requests import DeploymentResult, MemoStatus
from starter.guard import REFUSED, Stop
from starter.session import MEMO_PLACE

if TYPE_CHECKING:
    from temporalio.client import Client, WorkflowExecution, WorkflowHandle

_ID = re.compile(r"[a-z][a-z0-9-]{0,62}-[0-9]{8}T[0-9]{6}Z-[0-9a-f]{6}")
_ENVIRONMENT = re.compile(r"[a-z][a-z0-9-]{0,62}")


@dataclass(frozen=True)
class Found:
    """One run of a deployment or rollback workflow."""

    handle: "WorkflowHandle[Any, DeploymentResult]"
    kind: str
    """The workflow's type."""
    ended: str
    """Empty while it runs, else how Temporal says it ended: `COMPLETED`, `TERMINATED`, …"""
    memo: MemoStatus
    place: Place | None

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
            "that `slipway start` printed or the environment's name; where Temporal has lost it, "
            "`status`, `report` and `rollback` find its record with --plan PLAN.",
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


async def _found(client: "Client", execution: "WorkflowExecution") -> Found | None:
    from temporalio.client import WorkflowExecutionStatus

    memo = await execution.memo()
    if names.MEMO_KEY not in memo:
        return None  # somebody else's workflow under this ID
    handle = client.get_workflow_handle(
        execution.id, run_id=execution.run_id, result_type=DeploymentResult
    )
    running = execution.status in (None, WorkflowExecutionStatus.RUNNING)
    place = memo.get(MEMO_PLACE)
    return Found(
        handle=handle,
        kind=execution.workflow_type,
        ended="" if running or execution.status is None else execution.status.name,
        memo=MemoStatus.model_validate(memo[names.MEMO_KEY]),
        place=Place.model_validate(place) if place else None,
    )
