"""How a deployment stands: from its query, its result, or, when no worker answers, its memo."""

import asyncio
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Literal

from slipway.messages.requests import MemoStatus
from slipway.run import Wait
from slipway.server_view import ServerView
from slipway.states import Phase, ServiceState
from slipway.status import Current, ServiceStatus, StatusDocument
from slipway.trouble import Trouble, copy_troubles, troubles
from starter import patience
from starter.lookup import Found, ask, read_status
from starter.server_view import copy_of, view_of

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
    """Return how a found deployment stands now, by what the workflow and the server say."""
    if found.ended == "COMPLETED":
        result = await found.handle.result()
        known = read_status(result.status, f"The result of {found.handle.id}")
        return Stand(known.model_copy(update={"trouble": await _copy(found)}), "result")
    question = asyncio.ensure_future(asked(found))
    view, copy = await asyncio.gather(_view(found), _copy(found))
    if view is not None and _nobody(view):
        question.cancel()
    await asyncio.wait({question})
    status = None if question.cancelled() else question.result()
    answered = status is not None
    known = status or from_memo(found.memo, found.handle.id)
    wrong = (
        troubles(view, datetime.now(UTC), answered=answered, began=_began(known)) if view else []
    )
    current = known.current.model_copy(update={"progress": _progress(view) if view else ""})
    return Stand(
        known.model_copy(update={"trouble": [*wrong, *copy], "current": current}),
        "query" if answered else "memo",
        "" if answered else _SILENT,
    )


_SILENT = "The run did not answer; this is what stands in its memo."


async def _view(found: Found) -> ServerView | None:
    """What the server knows; None when it does not say in time. It is asked beside the query."""
    from temporalio.service import RPCError

    try:
        async with asyncio.timeout(patience.ANSWER):
            return await view_of(found)
    except (TimeoutError, RPCError):
        return None


async def _copy(found: Found) -> list[Trouble]:
    """What keeps the restored copy from following; nothing when the server does not say in time."""
    from temporalio.service import RPCError

    try:
        async with asyncio.timeout(patience.ANSWER):
            return copy_troubles(await copy_of(found), datetime.now(UTC))
    except (TimeoutError, RPCError):
        return []


def _progress(view: ServerView) -> str:
    """What the worker says of long work in flight; short work says nothing but that it began."""
    told = [one.progress for one in view.activities if one.started]
    return next((one for one in told if one not in ("", "starting")), "")


def _nobody(view: ServerView) -> bool:
    """Whether waiting for an answer is in vain: nobody is there to give it."""
    return any(not queue.alive and not queue.privileged for queue in view.queues)


def _began(status: StatusDocument) -> bool:
    return bool(status.timeline or status.current.step or status.phase is not Phase.PREFLIGHT)


async def asked(found: Found) -> StatusDocument | None:
    """Return the answer of the query `status`; None when no worker gives one in time."""
    return await ask(found.handle)


def from_memo(memo: MemoStatus, workflow_id: str) -> StatusDocument:
    """Return as much of a status document as the memo holds."""
    return StatusDocument(
        id=memo.id,
        workflow_id=workflow_id,
        environment=memo.environment,
        release=memo.release,
        requester="",
        started_at=_started(memo),
        phase=memo.phase,
        outcome=memo.outcome,
        current=Current(step=memo.step, reason=memo.reason, until=memo.until),
        waiting_for=[_wait(one, memo) for one in memo.waiting_for],
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


_KINDS: dict[str, Literal["approval", "acknowledge", "operator", "window", "resume"]] = {
    "approve": "approval",
    "acknowledge": "acknowledge",
    "resolve": "operator",
    "resume": "resume",
    "abort": "window",
}


def _wait(line: str, memo: MemoStatus) -> Wait:
    """The memo keeps of a wait what it is for and the command that answers it, in one line."""
    what, slipway, command = line.partition("slipway ")
    return Wait(
        kind=_KINDS.get(command.partition(" ")[0], "operator"),
        what=what.strip(),
        until=memo.until,
        command=slipway + command,
    )
