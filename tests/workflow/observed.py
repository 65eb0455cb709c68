"""One environment's observer on the real Temporal server, and the looks it is going to take."""

import asyncio
import contextlib
import uuid
from collections.abc import AsyncIterator, Callable
from datetime import timedelta
from typing import Any

from temporalio.client import Client, WorkflowHandle
from temporalio.worker import Worker

from activities.around import Around
from activities.failures import translating
from activities.heartbeat import beating
from slipway import names
from slipway.messages.controls import Reply
from slipway.messages.observe import (
    Fate,
    Observation,
    ObserveRequest,
    ObserveState,
    StopObserving,
)
from slipway.plan import Plan
from tests.fakes.observing import FakeLooks, looked, observing_activities, standing
from tests.fakes.world import FakeWorld
from tests.workflow.waiting import PATIENCE, until
from workflows.registry import OBSERVING

QUICK = {"settle": "50ms", "monitor": "100ms", "slice": "50ms"}


class Observed:
    """One environment's observer, and the world it looks at."""

    def __init__(self, client: Client, plan: Plan) -> None:
        token = uuid.uuid4().hex[:10]
        self.client = client
        self.plan = plan.model_copy(update={"environment": f"o{token}"})
        self.queue = names.observing(f"slipway-test-{token}")
        self.world, self.looks = FakeWorld(), FakeLooks()
        self.handle: WorkflowHandle[Any, ObserveState]

    @contextlib.asynccontextmanager
    async def working(self, **options: Any) -> AsyncIterator["Observed"]:
        """Run the observing worker."""
        worker = Worker(
            self.client,
            task_queue=self.queue,
            workflows=OBSERVING,
            activities=observing_activities(self.looks, self.world),
            interceptors=[Around(beating), Around(translating)],
            # A look that is thought dead would take the next one's place: many beats a timeout.
            max_heartbeat_throttle_interval=timedelta(seconds=1),
            default_heartbeat_throttle_interval=timedelta(seconds=1),
            **options,
        )
        async with worker:
            yield self

    async def start(self, state: ObserveState | None = None) -> None:
        """Start observing, with two services as they stand."""
        self.handle = await self.client.start_workflow(
            names.OBSERVE_TYPE,
            ObserveRequest(plan=self.plan, state=state),
            id=names.observe_workflow_id(self.plan.environment),
            task_queue=self.queue,
            result_type=ObserveState,
        )
        if state is None:
            await self.meets()

    async def meets(self) -> None:
        """Let the first look find two services at rest."""
        await self.sees(
            looked(-100, standing("api-gateway", "1.0.0"), standing("analytics", "1.0.0"))
        )

    async def sees(self, *planned: Any) -> None:
        """Let the next looks see this."""
        for one in planned:
            await self.looks.planned.put(one)

    async def state(self) -> ObserveState:
        """Ask for everything seen."""
        found: ObserveState = await self.handle.query("observations", result_type=ObserveState)
        return found

    async def reaches(self, condition: Callable[[ObserveState], bool]) -> ObserveState:
        """Wait until the state fulfils a condition."""
        return await until(self.state, condition)

    async def judged(self, number: int = 1) -> Observation:
        """Wait for the verdict on a rollout."""
        state = await self.reaches(
            lambda one: (
                len(one.observations) >= number and one.observations[number - 1].verdict is not None
            )
        )
        return state.observations[number - 1]

    async def over(self, number: int = 1) -> Observation:
        """Wait until something has become of a rollout."""
        state = await self.reaches(
            lambda one: (
                len(one.observations) >= number
                and one.observations[number - 1].fate is not Fate.OPEN
            )
        )
        return state.observations[number - 1]

    async def asks(self, update: str, request: Any) -> Reply:
        """Send an update."""
        reply: Reply = await self.handle.execute_update(update, request, result_type=Reply)
        return reply

    async def stop(self) -> ObserveState:
        """End observing; return what it leaves behind."""
        await self.asks("stop", StopObserving(request="stop-1", person="sre@teei.example"))
        async with asyncio.timeout(PATIENCE):
            return await self.handle.result()
