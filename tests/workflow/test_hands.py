"""An SRE's hands in the Temporal UI or CLI, through the raw API, in three phases of a run. Each
ends in a state that `status` describes truly and that people can leave."""

import asyncio
import contextlib
import uuid
from datetime import timedelta

import pytest
from google.protobuf.duration_pb2 import Duration
from google.protobuf.field_mask_pb2 import FieldMask
from temporalio.api.activity.v1 import ActivityOptions
from temporalio.api.common.v1 import WorkflowExecution
from temporalio.api.enums.v1 import PendingActivityState
from temporalio.api.workflowservice.v1 import (
    PauseActivityRequest,
    ResetActivityRequest,
    UnpauseActivityRequest,
    UpdateActivityOptionsRequest,
)
from temporalio.client import WorkflowExecutionStatus, WorkflowFailureError
from temporalio.service import RPCError

from slipway.messages.controls import Reply
from slipway.messages.requests import DeploymentResult
from slipway.states import Outcome, Phase
from slipway.status import StatusDocument
from slipway.verdicts import Kind, Reason
from tests.fakes.world import says
from tests.workflow.harness import Harness, reset_before
from tests.workflow.holds import Hold, images, nothing
from tests.workflow.waiting import PATIENCE

PAUSED = PendingActivityState.PENDING_ACTIVITY_STATE_PAUSED
PHASES = ("backup", "roll_out", "roll_back")
HELD = {"backup": "backup.take", "roll_out": "rollout.wait", "roll_back": "rollout.wait"}
"""The activity in flight when the hands come."""
IN_FLIGHT = {"backup": Phase.BACKUP, "roll_out": Phase.ROLL_OUT, "roll_back": Phase.ROLL_BACK}


class Scene:
    """A run that stands in a phase with one activity in flight."""

    def __init__(self, harness: Harness, phase: str) -> None:
        self.harness = harness
        self.phase = phase
        self.hold = Hold()
        self.type = HELD[phase]
        self.result: asyncio.Task[DeploymentResult] | None = None

    async def begin(self) -> None:
        """Start the run and wait until the activity is in flight."""
        world = self.harness.world
        if self.phase == "backup":
            world.trouble["backup.take"] = [self.hold]
        elif self.phase == "roll_out":
            world.trouble["rollout.wait:analytics"] = [self.hold]
        else:
            bad = says(Kind.ROLLBACK, Reason.UNHEALTHY, "analytics")
            world.trouble["monitor:analytics"] = [bad]
            world.trouble["rollout.wait:analytics"] = [nothing, self.hold]
        await self.harness.start()
        if self.phase != "backup":
            await self.harness.approve()
            self.result = asyncio.create_task(self.harness.result())
        await self.hold.met()
        status = await self.harness.status()
        assert status.phase is IN_FLIGHT[self.phase]

    async def ended(self) -> DeploymentResult:
        """Let the run go on to its end."""
        self.hold.released.set()
        if self.result is None:
            await self.harness.approve()
            self.result = asyncio.create_task(self.harness.result())
        return await self.result

    @property
    def execution(self) -> WorkflowExecution:
        """The run, as the raw API names it."""
        return WorkflowExecution(workflow_id=self.harness.handle.id)

    @property
    def good(self) -> Outcome:
        """How the run ends when nobody disturbs it."""
        return Outcome.ROLLED_BACK if self.phase == "roll_back" else Outcome.DEPLOYED

    def whole(self, outcome: Outcome) -> None:
        """Assert that the world is wholly new or wholly old, as the outcome says."""
        side = "new" if outcome is Outcome.DEPLOYED else "old"
        assert images(self.harness) == [side, side]
        assert self.harness.world.schema == side


@pytest.fixture(params=PHASES)
async def scene(request: pytest.FixtureRequest, harness: Harness) -> Scene:
    """A run in each phase."""
    one = Scene(harness, request.param)
    await one.begin()
    return one


async def test_cancel_takes_back_what_was_changed(scene: Scene) -> None:
    await scene.harness.handle.cancel()
    scene.hold.released.set()
    result = await (scene.result or scene.harness.result())

    expected = Outcome.STOPPED if scene.phase == "backup" else Outcome.ROLLED_BACK
    assert result.outcome is expected
    scene.whole(expected)
    assert scene.harness.world.holder == ""


async def test_terminate_leaves_the_record_and_rollback_takes_it_from_there(scene: Scene) -> None:
    harness = scene.harness
    await harness.handle.terminate("an SRE's hand")
    scene.hold.released.set()
    if scene.result is not None:
        with pytest.raises(WorkflowFailureError):
            await scene.result
    described = await harness.handle.describe()
    assert described.status is WorkflowExecutionStatus.TERMINATED

    await harness.start_rollback()
    result = await harness.result()
    assert result.outcome is Outcome.ROLLED_BACK
    scene.whole(Outcome.ROLLED_BACK)
    assert harness.world.holder == ""


async def test_a_run_terminated_while_it_took_the_environment_gives_it_back(
    harness: Harness,
) -> None:
    hold = Hold()
    harness.world.trouble["lease.acquire"] = [hold]
    await harness.start()
    await hold.met()
    await harness.handle.terminate("an SRE's hand")
    hold.released.set()
    await harness.start_rollback()
    result = await harness.result()

    assert result.outcome is Outcome.ROLLED_BACK
    assert images(harness) == ["old", "old"]
    assert harness.world.holder == ""


async def test_reset_goes_on_behind_the_record(scene: Scene) -> None:
    harness = scene.harness
    before = "backup.take" if scene.phase == "backup" else "watch.slice"
    await harness.hold_clock()
    scene.hold.released.set()
    if scene.result is not None:
        scene.result.cancel()
        await asyncio.gather(scene.result, return_exceptions=True)
    await reset_before(harness, before)
    if scene.phase == "backup":
        await harness.approve()
    result = await harness.result()

    assert result.outcome in (Outcome.DEPLOYED, Outcome.ROLLED_BACK)
    scene.whole(result.outcome)
    assert harness.world.holder == ""


async def test_a_paused_activity_waits_and_goes_on_after_unpause(scene: Scene) -> None:
    service = scene.harness.client.workflow_service
    namespace = scene.harness.client.namespace
    await service.pause_activity(
        PauseActivityRequest(
            namespace=namespace, execution=scene.execution, type=scene.type, reason="let me look"
        )
    )
    assert await _paused(scene)
    scene.hold.released.set()
    await service.unpause_activity(
        UnpauseActivityRequest(namespace=namespace, execution=scene.execution, type=scene.type)
    )
    result = await scene.ended()

    assert result.outcome is scene.good
    scene.whole(scene.good)


async def test_a_reset_activity_is_done_once(scene: Scene) -> None:
    await scene.harness.client.workflow_service.reset_activity(
        ResetActivityRequest(
            namespace=scene.harness.client.namespace, execution=scene.execution, type=scene.type
        )
    )
    result = await scene.ended()

    assert result.outcome is scene.good
    scene.whole(scene.good)
    writes = [one.writes for one in scene.harness.world.deployments.values()]
    most = 2 if scene.phase == "roll_back" else 1
    assert all(len(one) == most for one in writes)


async def test_other_options_of_an_activity_change_nothing_else(scene: Scene) -> None:
    longer = Duration()
    longer.FromTimedelta(timedelta(seconds=90))
    await scene.harness.client.workflow_service.update_activity_options(
        UpdateActivityOptionsRequest(
            namespace=scene.harness.client.namespace,
            execution=scene.execution,
            type=scene.type,
            activity_options=ActivityOptions(start_to_close_timeout=longer),
            update_mask=FieldMask(paths=["start_to_close_timeout"]),
        )
    )
    result = await scene.ended()

    assert result.outcome is scene.good
    scene.whole(scene.good)


async def test_signals_of_another_shape_are_answered_and_ignored(scene: Scene) -> None:
    shapes: list[list[object]] = [[], ["one"], ["one", 2], [{"request": "1"}]]
    for args in shapes:
        await scene.harness.handle.signal("resume", args=args)
    status = await scene.harness.reaches(lambda one: len(_to_resume(one)) == len(shapes))
    assert not any(one.accepted for one in _to_resume(status))
    result = await scene.ended()

    assert result.outcome is scene.good


async def test_two_hundred_signals_at_once_are_one_abort(scene: Scene) -> None:
    handle = scene.harness.handle
    wishes = (
        {"request": uuid.uuid4().hex, "person": "sre@teei.example", "reason": "stop it"}
        for _ in range(200)
    )

    async def send(wish: dict[str, str]) -> None:
        with contextlib.suppress(RPCError):  # the first has ended the run already
            await handle.signal("abort", wish)

    await asyncio.gather(*(send(one) for one in wishes))
    scene.hold.released.set()
    result = await (scene.result or scene.harness.result())
    status = StatusDocument.model_validate(result.status)

    expected = Outcome.STOPPED if scene.phase == "backup" else Outcome.ROLLED_BACK
    assert result.outcome is expected
    scene.whole(expected)
    assert len(status.replies) <= 200
    assert sum("Abort acknowledged" in one.text for one in status.timeline) <= 1


def _to_resume(status: StatusDocument) -> list[Reply]:
    return [one for one in status.replies if one.kind == "resume"]


async def _paused(scene: Scene) -> bool:
    """Whether Temporal pauses the activity, after a moment: its attempt in flight has ended."""
    deadline = asyncio.get_running_loop().time() + PATIENCE
    while asyncio.get_running_loop().time() < deadline:
        described = await scene.harness.handle.describe()
        pending = described.raw_description.pending_activities
        if any(one.activity_type.name == scene.type and one.state == PAUSED for one in pending):
            return True
        await asyncio.sleep(0.05)
    return False
