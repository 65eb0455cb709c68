"""How a deployment stands: from its query, its result, or, when no worker answers, its memo."""

import asyncio
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Literal

from slipway import names
from slipway.messages.requests import MemoStatus
from slipway.run import Wait
from slipway.states import ServiceState
from slipway.status import Current, ServiceStatus, StatusDocument
from starter.lookup import Found

PATIENCE = 3.0
"""Seconds that a worker gets to answer a query."""
_PEOPLE = ("approval", "acknowledge", "operator", "resume")


@dataclass(frozen=True)
class Stand:
    """A status document and where it came from."""

    status: StatusDocument
    source: Literal["query", "result", "memo", "record"]
    note: str = ""
    """One sentence where the reader must know more than the document says."""

    def as_json(self) -> dict[str, Any]:
        """Return the status document with its source, as plain data."""
        data = self.status.model_dump(mode="json")
        return {**data, "source": self.source, "note": self.note}


async def stand_of(found: Found) -> Stand:
    """Return how a found deployment stands now."""
    if found.ended == "COMPLETED":
        result = await found.handle.result()
        return Stand(StatusDocument.model_validate(result.status), "result")
    status = await asked(found)
    note = _ended_note(found)
    if status is not None:
        return Stand(status, "query", note)
    silent = f"No worker answered within {PATIENCE:.0f} s; this is what stands in the memo."
    return Stand(from_memo(found), "memo", f"{note} {silent}".strip())


async def asked(found: Found) -> StatusDocument | None:
    """Return the answer of the query `status`; None when no worker gives one in time."""
    from temporalio.client import WorkflowQueryFailedError, WorkflowQueryRejectedError
    from temporalio.service import RPCError

    try:
        async with asyncio.timeout(PATIENCE):
            answer: dict[str, Any] | None = await found.handle.query("status")
    except (TimeoutError, RPCError, WorkflowQueryFailedError, WorkflowQueryRejectedError):
        return None
    return StatusDocument.model_validate(answer) if answer is not None else None


def from_memo(found: Found) -> StatusDocument:
    """Return as much of a status document as the memo holds."""
    memo = found.memo
    return StatusDocument(
        id=memo.id,
        workflow_id=found.handle.id,
        environment=memo.environment,
        release=memo.release,
        requester="",
        started_at=_started(memo),
        phase=memo.phase,
        outcome=memo.outcome,
        current=Current(step=memo.step, reason=memo.reason, until=memo.until),
        waiting_for=[Wait(kind="operator", what=one, until=memo.until) for one in memo.waiting_for],
        abort=memo.abort,
        digest=memo.digest,
        services=[_service(name, state) for name, state in memo.services.items()],
        migrations=[],
        checklist=[],
        undo=[],
        timeline=[],
    )


def waits_for_person(status: StatusDocument) -> bool:
    """Whether the deployment goes on only when a person answers."""
    return any(wait.kind in _PEOPLE for wait in status.waiting_for)


def _started(memo: MemoStatus) -> datetime:
    """The ID holds when the deployment was started."""
    stamp = memo.id.removesuffix(f"-{memo.id.rpartition('-')[2]}").rpartition("-")[2]
    return datetime.strptime(stamp, "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC)


def _service(name: str, state: str) -> ServiceStatus:
    return ServiceStatus(
        name=name, state=ServiceState(state), image_before="", image_after="", verdict=""
    )


def _ended_note(found: Found) -> str:
    if not found.ended:
        return ""
    what = "rollback" if found.kind == names.ROLLBACK_TYPE else "deployment"
    return (
        f"The {what}'s workflow ended as {found.ended} without finishing: what it changed stands. "
        f"Take it back with: slipway rollback {found.id}"
    )
