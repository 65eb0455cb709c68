"""Writes the committed histories anew: `python -m tests.replay.record` (starts the stack)."""

import asyncio
import json
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

from temporalio.client import Client

from devstack.testing import release, running_stack
from slipway import names
from slipway.errors import ForeignChange, MigrationFailed, SlipwayError
from slipway.messages.controls import Reject
from slipway.messages.observe import LabelRequest
from slipway.states import Choice
from slipway.verdicts import Kind, Reason
from tests.fakes.observing import BEGAN, looked, rollout
from tests.fakes.plans import small_plan, small_release
from tests.fakes.world import fails, says
from tests.workflow.harness import Harness, connect
from tests.workflow.observed import QUICK, Observed

FOLDER = Path(__file__).parent / "histories"
Story = Callable[[Harness], Awaitable[object]]


async def deployed(harness: Harness) -> None:
    """The happy path."""
    await harness.carry_out()


async def rejected(harness: Harness) -> None:
    """An approver says no."""
    await harness.start()
    status = await harness.reaches_approval()
    no = Reject(
        request="no", person="cto@teei.example", role="cto", digest=status.digest, reason="no"
    )
    await harness.update("reject", no)
    await harness.result()


async def expired(harness: Harness) -> None:
    """Nobody approves."""
    await harness.start()
    await harness.result()


async def rolled_back(harness: Harness) -> None:
    """A bad second service."""
    harness.world.trouble["monitor:analytics"] = [
        says(Kind.ROLLBACK, Reason.ERROR_RATE_TOO_HIGH, "analytics")
    ]
    await harness.carry_out()


async def migration_failed(harness: Harness) -> None:
    """The migration fails."""
    harness.world.trouble["migrations.apply"] = [fails(MigrationFailed("23514", "Fix it."))]
    await harness.carry_out()


async def held_and_skipped(harness: Harness) -> None:
    """A HOLD that a person accepts."""
    harness.world.trouble["monitor:analytics"] = [
        says(Kind.HOLD, Reason.ERROR_RATE_RAISED, "analytics")
    ]
    harness.somebody_answers()
    await harness.start()
    await harness.approve()
    ending = asyncio.create_task(harness.result())
    await harness.resolve(Choice.SKIP)
    await ending


async def aborted(harness: Harness) -> None:
    """An abort before any change, after a pause and a signal nobody can read."""
    await harness.start()
    await harness.reaches_approval()
    await harness.handle.signal("approve", args=["two", "values"])
    await harness.signal("pause")
    await harness.reaches(lambda one: one.current.step == "pause")
    await harness.signal("abort")
    await harness.result()


async def cancelled(harness: Harness) -> None:
    """A Temporal cancel after the change."""
    harness.world.always["monitor:api-gateway"] = says(
        Kind.HOLD, Reason.LATENCY_TOO_HIGH, "api-gateway"
    )
    harness.somebody_answers()
    await harness.start()
    await harness.approve()
    ending = asyncio.create_task(harness.result())
    await harness.reaches(lambda one: any(wait.kind == "operator" for wait in one.waiting_for))
    await harness.handle.cancel()
    await harness.answer()
    await ending


async def rollback_from_record(harness: Harness) -> None:
    """`Rollback` after the end."""
    await harness.carry_out()
    await harness.start_rollback()
    await harness.result()


async def aftercare(harness: Harness) -> None:
    """The week after."""
    await harness.carry_out()
    harness.handle = harness.client.get_workflow_handle(
        names.aftercare_workflow_id(harness.deployment)
    )
    await harness.result()


async def observed(harness: Harness) -> None:
    """A rollout that is judged bad and taken back, two at once of which one is overtaken, a look
    that fails, a label, a stop."""
    seen = Observed(harness.client, small_plan(timings=QUICK))
    seen.world.trouble["observe:analytics"] = [
        says(Kind.ROLLBACK, Reason.ERROR_RATE_TOO_HIGH, "analytics")
    ]
    seen.world.trouble["rollout.wait:api-gateway"] = [fails(ForeignChange("Another.", "Look."))]
    async with seen.working():
        await seen.start()
        await seen.sees(
            looked(1, rollout("analytics", "1.1.0", "1.0.0"), rollout("api-gateway", "2", "1"))
        )
        await seen.judged(1)
        await seen.judged(2)
        undo = rollout("analytics", "1.0.0", "1.1.0", born=0.0, began=BEGAN + 100, back=True)
        await seen.sees(looked(101, undo), SlipwayError("no right", "Add it."))
        await seen.judged(3)
        await seen.reaches(lambda one: bool(one.trouble))
        await seen.asks("label", LabelRequest.model_validate(_LABEL))
        await seen.stop()
    harness.handle = seen.handle  # type: ignore[assignment] # only its history is read


_LABEL = {
    "request": "label-1",
    "observation": "api-gateway-2",
    "truth": "good",
    "person": "sre@teei.example",
    "because": "it was",
}
STORIES: tuple[Story, ...] = (
    deployed,
    rejected,
    expired,
    rolled_back,
    migration_failed,
    held_and_skipped,
    aborted,
    cancelled,
    rollback_from_record,
    aftercare,
    observed,
)


def plain(value: Any) -> Any:
    """Leave out what names the machine that recorded: stack traces and worker identities."""
    if isinstance(value, dict):
        hidden = {"stackTrace": "", "identity": "worker"}
        return {key: hidden.get(key, plain(one)) for key, one in value.items()}
    return [plain(one) for one in value] if isinstance(value, list) else value


async def record(client: Client, story: Story) -> None:
    """Run one story and write its history."""
    async with Harness(client, small_plan(), small_release()).workers() as harness:
        await story(harness)
        history = await harness.handle.fetch_history()
    text = json.dumps(plain(json.loads(history.to_json())), separators=(",", ": "), indent=0)
    (FOLDER / f"{story.__name__}.json").write_text(text + "\n")


async def main() -> None:
    """Write every history."""
    client = await connect(running_stack().temporal_address)
    for story in STORIES:
        await record(client, story)
        print(story.__name__, flush=True)


if __name__ == "__main__":
    try:
        asyncio.run(main())
    finally:
        release()
