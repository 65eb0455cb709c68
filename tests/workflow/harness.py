"""A deployment on the real Temporal server with time skipping and a world in memory."""

import asyncio
import contextlib
import uuid
from collections.abc import AsyncIterator, Callable
from datetime import UTC, datetime, timedelta
from typing import Any

from temporalio.api.common.v1 import WorkflowExecution
from temporalio.api.enums.v1 import EventType
from temporalio.api.workflowservice.v1 import ResetWorkflowExecutionRequest
from temporalio.client import Client, WorkflowHandle
from temporalio.contrib.pydantic import pydantic_data_converter
from temporalio.service import RPCError
from temporalio.testing import TimeSkipper, TimeSkippingConfig
from temporalio.worker import Interceptor

from slipway import names
from slipway.messages.controls import Acknowledge, Approve, Control, Reject, Reply, Resolve
from slipway.messages.requests import DeploymentRequest, DeploymentResult, RollbackRequest
from slipway.plan import Plan
from slipway.release import Release
from slipway.run import new_run
from slipway.states import Choice
from slipway.status import StatusDocument
from tests.fakes.world import FakeDeployment, FakeWorld
from tests.workflow.waiting import PATIENCE, until
from tests.workflow.workers import worker

_OFF = TimeSkippingConfig(enabled=False, max_session_skip_count=10_000)
_ON = TimeSkippingConfig(enabled=True, max_session_skip_count=10_000)


class Harness:
    """One environment with its own queue, workflow IDs and world."""

    def __init__(self, client: Client, plan: Plan, release: Release) -> None:
        token = uuid.uuid4().hex[:10]
        self.environment = f"t{token}"
        self.plan = plan.model_copy(update={"environment": self.environment})
        self.release = release
        self.queue = f"slipway-test-{token}"
        self.world = FakeWorld(
            deployments={
                service.name: FakeDeployment(image=f"old/{service.name}@sha256:{'0' * 64}")
                for service in plan.services
            }
        )
        self._plain = client
        self._skipper = TimeSkipper(client, config=_OFF)
        self.client = self._skipper.client
        self.deployment = names.deployment_id(self.environment, datetime.now(UTC), token)
        self.handle: WorkflowHandle[Any, DeploymentResult]
        self.answered = asyncio.Event()
        self.answered.set()
        self._held = False

    @contextlib.asynccontextmanager
    async def workers(self, *interceptors: Interceptor) -> AsyncIterator["Harness"]:
        """Run both workers."""
        workflow_worker, privileged = (
            worker(
                self._plain,
                self.queue,
                self.world,
                privileged=one,
                interceptors=interceptors,
                beats=0.2,
            )
            for one in (False, True)
        )
        async with workflow_worker, privileged:
            yield self

    async def start(self) -> None:
        """Start the deployment; its clock stands still until `result` or `skip`."""
        self._skipper.config = _OFF  # an earlier run of this harness may have let it skip
        self.handle = await self.client.start_workflow(
            names.DEPLOYMENT_TYPE,
            DeploymentRequest(deployment=self.deployment, plan=self.plan, release=self.release),
            id=names.deployment_workflow_id(self.environment),
            task_queue=self.queue,
            result_type=DeploymentResult,
        )

    async def start_rollback(self, reason: str = "we want it back") -> None:
        """Start `Rollback` from the record."""
        run = new_run(
            deployment=self.deployment,
            workflow_id=names.deployment_workflow_id(self.environment),
            plan=self.plan,
            release=self.release,
            started_at=datetime.now(UTC),
        )
        self.handle = await self.client.start_workflow(
            names.ROLLBACK_TYPE,
            RollbackRequest(place=run.place, person="sre@teei.example", reason=reason),
            id=names.deployment_workflow_id(self.environment),
            task_queue=self.queue,
            result_type=DeploymentResult,
        )

    async def status(self) -> StatusDocument:
        """Query the status document; again while a busy worker does not answer in time."""
        return await self.reaches(lambda _: True)

    async def _status(self) -> StatusDocument:
        status: StatusDocument = await self.handle.query("status", result_type=StatusDocument)
        return status

    async def reaches(self, condition: Callable[[StatusDocument], bool]) -> StatusDocument:
        """Wait (real time, no skipping) until the status fulfils a condition."""
        return await until(self._status, condition)

    async def reaches_approval(self) -> StatusDocument:
        """Wait until the run asks for approval."""
        return await self.reaches(lambda one: bool(one.digest))

    async def confirm(self) -> None:
        """Confirm every item that needs a person."""
        for item, people in self.plan.approvals.confirm.items():
            request = Acknowledge(request=f"ack-{item}", person=people[0], item=item)
            await self.update("acknowledge", request)

    async def approve(self, request: str = "yes") -> None:
        """Confirm and approve as the plan's people."""
        status = await self.reaches_approval()
        await self.confirm()
        role, people = next(iter(sorted(self.plan.approvals.roles.items())))
        await self.update(
            "approve",
            Approve(request=request, person=people[0], role=role, digest=status.digest),
        )

    async def update(self, name: str, request: Approve | Reject | Acknowledge | Resolve) -> Reply:
        """Send an update."""
        reply: Reply = await self.handle.execute_update(
            name, request, id=request.request, result_type=Reply
        )
        return reply

    async def signal(self, name: str, reason: str = "because") -> None:
        """Send a control signal."""
        request = Control(request=f"{name}-1", person="sre@teei.example", reason=reason)
        await self.handle.signal(name, request)

    def somebody_answers(self) -> None:
        """Let the clock stand still while a step is parked, until `resolve` has answered."""
        answered = self.answered = asyncio.Event()

        async def hold() -> None:
            if not answered.is_set():  # nothing is skipped while this notice is pending
                await self.hold_clock()

        self.world.always["notice.send:parked"] = hold

    async def resolve(self, choice: Choice) -> Reply:
        """Decide about the parked step, once there is one."""
        status = await self.reaches(
            lambda one: any(wait.kind == "operator" for wait in one.waiting_for)
        )
        request = Resolve(
            request=f"resolve-{uuid.uuid4().hex[:6]}",
            person="sre@teei.example",
            choice=choice,
            step=status.current.step,
            reason="decided",
        )
        reply = await self.update("resolve", request)
        if not self.answered.is_set():
            await self.answer()
        return reply

    async def answer(self) -> None:
        """Somebody has answered: time is skipped again, and no later question stops it."""
        self.answered.set()
        self._held = False
        with contextlib.suppress(RPCError):  # that was the end already
            await self._skipper._update_time_skipping_config(self.handle, _ON)

    async def skip(self, seconds: float) -> None:
        """Let virtual time pass."""
        await self._skipper.fast_forward(self.handle, timedelta(seconds=seconds))

    async def hold_clock(self) -> None:
        """Let virtual time run no faster than real time again."""
        self._held = True
        # The SDK has no public way to switch skipping off for a running workflow.
        await self._skipper._update_time_skipping_config(self.handle, _OFF)

    async def result(self) -> DeploymentResult:
        """Skip every wait to the end, unless the clock is held meanwhile, and return the result."""
        self._skipper.config = _ON
        self._held = False
        async with asyncio.timeout(PATIENCE * 2):
            while not await self._skipped_to_the_end():
                pass
        return await self.handle.result()

    async def _skipped_to_the_end(self) -> bool:
        """False when the server lost the place in the history up to which it had been read."""
        if self._held:
            await asyncio.sleep(0.1)
            return (await self.handle.describe()).close_time is not None
        try:
            await self._skipper.fast_forward(self.handle)
        except RPCError as error:
            if "versioned transitions, don't match" in str(error):
                return False
            if "already completed" not in str(error):
                raise
        return True

    async def carry_out(self) -> DeploymentResult:
        """Start, approve, and skip to the end."""
        await self.start()
        await self.approve()
        return await self.result()


async def connect(address: str) -> Client:
    """Connect as tests do."""
    return await Client.connect(address, data_converter=pydantic_data_converter)


async def reset_before(harness: Harness, activity_type: str) -> None:
    """Reset the run, as an SRE may, to before its first activity of a type."""
    history = await harness.handle.fetch_history()
    completed, decided = 0, 0
    for event in history.events:
        if event.event_type == EventType.EVENT_TYPE_WORKFLOW_TASK_COMPLETED:
            completed = event.event_id
        attributes = event.activity_task_scheduled_event_attributes
        if attributes.activity_type.name == activity_type:
            decided = completed
            break
    assert decided, "the activity was scheduled"
    handle = harness.handle
    execution = WorkflowExecution(workflow_id=handle.id)
    answer = await harness.client.workflow_service.reset_workflow_execution(
        ResetWorkflowExecutionRequest(
            namespace=harness.client.namespace,
            workflow_execution=execution,
            reason="an SRE's hand",
            workflow_task_finish_event_id=decided,
            request_id=uuid.uuid4().hex,
        )
    )
    harness.handle = harness.client.get_workflow_handle(
        handle.id, run_id=answer.run_id, result_type=DeploymentResult
    )
