"""What `slipway observe` asks of Temporal: starting, following, labelling, ending."""

import asyncio
import contextlib
import getpass
import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from slipway import names
from slipway.addresses import addresses_of, not_loopback
from slipway.base import utc_text
from slipway.digest import sha256_of
from slipway.messages.controls import Reply
from slipway.messages.observe import (
    LabelRequest,
    News,
    ObserveMemo,
    ObserveRequest,
    ObserveState,
    StopObserving,
    Truth,
)
from slipway.observed import summarise
from slipway.plan import Plan
from starter import patience
from starter.failures import is_away
from starter.guard import OK, REFUSED, UNREACHABLE, Stop
from starter.inquire import served
from starter.loading import load_plan
from starter.observed_lines import summary_lines
from starter.people import answered, new_request, tell
from starter.query import query
from starter.render import brief, printable
from starter.session import connect, task_queue

if TYPE_CHECKING:
    from temporalio.client import Client, WorkflowExecutionDescription, WorkflowHandle

    Handle = WorkflowHandle[Any, ObserveState]

_EVERY = 1.0
_MISSES = 120
"""Looks in a row without an answer before following ends; observing does not."""
_AT_FIRST = 2
"""The same before the first answer."""


@dataclass(frozen=True)
class Wanted:
    """The plan that is observed by, and how answers are printed."""

    file: Path
    overlay: Path | None
    as_json: bool

    def plan(self) -> Plan:
        """Return the plan. Raises BadInput, and Stop for compressed time elsewhere than here."""
        plan = load_plan(self.file, self.overlay)
        far = not_loopback(addresses_of(plan)) if plan.time_scale > 1 else []
        if far:
            raise Stop(
                REFUSED,
                f"time_scale is {plan.time_scale:g}, but {', '.join(far[:3])} is not on this "
                "machine. Remove time_scale: it is for the local stack only.",
            )
        return plan


async def observe(wanted: Wanted, *, follow: bool) -> int:
    """Start observing, or join whoever observes already; then follow."""
    plan = wanted.plan()
    client = await connect()
    await _need_a_worker(client)
    handle = _handle(client, plan)
    described = await _described(handle)
    if described is not None and _runs(described):
        said = await _joined(described, plan)
    else:
        said = await _start(client, plan, await _earlier(handle, described))
    if not wanted.as_json:
        print(printable(said), flush=True)
    elif not follow:
        print(json.dumps({"workflow_id": handle.id, "environment": plan.environment}), flush=True)
    return await _follow(handle, wanted) if follow else OK


async def summary(wanted: Wanted) -> int:
    """Print what the observations so far say; as JSON with all of them."""
    state = await _observations(await _found(wanted))
    done = summarise(state)
    if wanted.as_json:
        document = {
            "summary": done.model_dump(mode="json"),
            "watched": sorted(state.known),
            "absent": state.absent,
            "observations": [one.model_dump(mode="json") for one in state.observations],
        }
        print(json.dumps(document, indent=2))
    else:
        print("\n".join(printable(line) for line in summary_lines(done, state)))
    return OK


async def label(wanted: Wanted, name: str, truth: str, because: str, *, person: str | None) -> int:
    """Keep a person's word on a version."""
    request = LabelRequest(
        request=new_request("label"),
        observation=name,
        truth=Truth.GOOD if truth == "good" else Truth.BAD,
        person=person or getpass.getuser(),
        because=because,
    )
    return tell(await _asked(await _running(wanted), "label", request), wanted.as_json)


async def stop(wanted: Wanted, *, person: str | None) -> int:
    """End observing. What was seen stays with it, and goes on when it is started again."""
    request = StopObserving(request=new_request("stop"), person=person or getpass.getuser())
    handle = await _running(wanted)
    reply = await _asked(handle, "stop", request)
    with contextlib.suppress(TimeoutError):  # accepted is accepted; what is in flight ends soon
        await asyncio.wait_for(handle.result(), patience.REPLY)
    return tell(reply, wanted.as_json)


async def _start(client: "Client", plan: Plan, earlier: ObserveState | None) -> str:
    from temporalio.common import WorkflowIDConflictPolicy, WorkflowIDReusePolicy
    from temporalio.exceptions import WorkflowAlreadyStartedError

    try:
        await client.start_workflow(
            names.OBSERVE_TYPE,
            ObserveRequest(plan=plan, state=earlier),
            id=names.observe_workflow_id(plan.environment),
            task_queue=names.observing(task_queue()),
            id_conflict_policy=WorkflowIDConflictPolicy.FAIL,
            id_reuse_policy=WorkflowIDReusePolicy.ALLOW_DUPLICATE,
            static_summary=f"Observing {plan.environment}",
        )
    except WorkflowAlreadyStartedError:
        return f"{plan.environment} is observed already."
    known = len(earlier.observations) if earlier else 0
    before = f"; it goes on from {known} rollouts seen before" if known else ""
    return (
        f"Observing {plan.environment}: {len(plan.services)} services in namespace "
        f"{plan.kubernetes.namespace}; nothing is written{before}."
    )


async def _joined(described: "WorkflowExecutionDescription", plan: Plan) -> str:
    memo = await _memo(described)
    since = f" since {utc_text(memo.since)}" if memo else ""
    said = f"{plan.environment} is observed{since}."
    if memo is not None and memo.plan_sha256 != sha256_of(plan):
        said += " It is judged by another state of the plan: end it with --stop, and start it anew."
    return said


async def _earlier(
    handle: "Handle", described: "WorkflowExecutionDescription | None"
) -> ObserveState | None:
    """Return what an observer that has ended had seen, so that nothing is lost by a stop."""
    if described is None:
        return None
    return await _observations(handle)


async def _follow(handle: "Handle", wanted: Wanted) -> int:
    """Print line after line until observing ends."""
    shown: int | None = None
    misses = 0
    while True:
        news: list[News] = []
        try:
            shown = await _last(handle) if shown is None else shown
            news = await _news(handle, shown)
            misses = 0
        except TimeoutError:
            misses += 1
            if misses > (_MISSES if shown is not None else _AT_FIRST):
                raise _nobody_tells() from None
        except Exception as error:
            misses += 1
            if misses > _MISSES or not is_away(error):
                raise
        for one in news:
            shown = one.number
            print(_line(one, as_json=wanted.as_json), flush=True)
        described = None if news else await _described(handle)
        if described is not None and not _runs(described):
            return OK
        await asyncio.sleep(_EVERY)


def _line(one: News, *, as_json: bool) -> str:
    if as_json:
        return json.dumps(one.model_dump(mode="json"))
    return brief(f"{one.at:%H:%M:%SZ} {one.kind:<8} {one.text}")


async def _last(handle: "Handle") -> int:
    """Return the number of the line before those that are worth showing to who joins now."""
    news = await _news(handle, 0)
    return max(0, news[-1].number - _SHOWN) if news else 0


_SHOWN = 20
"""Lines of the past that are shown to who joins."""


async def _news(handle: "Handle", after: int) -> list[News]:
    found: list[News] = await query(handle, "news", after, result_type=list[News])
    return found


async def _observations(handle: "Handle") -> ObserveState:
    """Return everything seen. Raises Stop when no worker answers."""
    try:
        state: ObserveState = await query(handle, "observations", result_type=ObserveState)
    except TimeoutError:
        raise _nobody_tells() from None
    return state


def _nobody_tells() -> Stop:
    return Stop(
        UNREACHABLE,
        "What was seen is kept in Temporal, but no worker answers to tell it. Start one with: "
        "python -m worker --role observe",
    )


async def _asked(handle: "Handle", name: str, request: LabelRequest | StopObserving) -> Reply:
    unanswered = (
        f"No worker took the request within {patience.REPLY:.0f} s. Start one with: "
        "python -m worker --role observe"
    )
    return await answered(handle, name, request, unanswered)


async def _need_a_worker(client: "Client") -> None:
    queue = names.observing(task_queue())
    if not await served(client, queue):
        raise Stop(
            UNREACHABLE,
            f"No worker listens on task queue {queue}. Start one, with reading rights only: "
            "python -m worker --role observe",
        )


async def _found(wanted: Wanted) -> "Handle":
    """Return the environment's observer, which may have ended. Raises Stop when there is none."""
    return await _of(wanted, lambda _: True)


async def _running(wanted: Wanted) -> "Handle":
    """Return the environment's observer. Raises Stop when none is running."""
    return await _of(wanted, _runs)


async def _of(wanted: Wanted, fits: "Callable[[WorkflowExecutionDescription], bool]") -> "Handle":
    plan = wanted.plan()
    handle = _handle(await connect(), plan)
    described = await _described(handle)
    if described is None or not fits(described):
        raise Stop(
            REFUSED,
            f"{plan.environment} is not observed. Start it with: slipway observe {wanted.file}",
        )
    return handle


def _handle(client: "Client", plan: Plan) -> "Handle":
    return client.get_workflow_handle(
        names.observe_workflow_id(plan.environment), result_type=ObserveState
    )


async def _described(handle: "Handle") -> "WorkflowExecutionDescription | None":
    from temporalio.service import RPCError, RPCStatusCode

    try:
        return await handle.describe()
    except RPCError as error:
        if error.status is RPCStatusCode.NOT_FOUND and "amespace" not in error.message:
            return None
        raise


def _runs(described: "WorkflowExecutionDescription") -> bool:
    from temporalio.client import WorkflowExecutionStatus

    return described.status in (None, WorkflowExecutionStatus.RUNNING)


async def _memo(described: "WorkflowExecutionDescription") -> ObserveMemo | None:
    try:
        memo = await described.memo_value(names.OBSERVE_MEMO, default=None)
        return ObserveMemo.model_validate(memo) if memo else None
    except (ValueError, TypeError, KeyError, RuntimeError):
        return None  # somebody else's memo: it only says since when
