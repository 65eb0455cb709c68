"""A hundred aborts at random moments: between the acknowledgement and the resume that a person asks
for, nothing goes forward."""

import asyncio
import random
import uuid
from contextlib import suppress
from dataclasses import dataclass, field

from temporalio.client import Client, WorkflowUpdateFailedError
from temporalio.service import RPCError
from temporalio.worker import ExecuteActivityInput

from activities.around import Around
from slipway.messages.controls import Control, Reply, Resolve
from slipway.messages.notice import SendNotice
from slipway.states import AbortState, Choice, Outcome
from slipway.status import StatusDocument
from tests.fakes.plans import small_plan, small_release
from tests.workflow.harness import Harness
from tests.workflow.moments import Moments

FORWARD = ("apply ", "migrate ")
ABORTS = 100
IN_A_RUN = 20
"""Aborts of one run at most: an abort before the first change ends it."""
FIRST_CHANGE, LAST = 28, 140
"""Activities of a run: the first change comes after so many, the last ones are not reached."""
STILL = 0.3
"""Seconds that a forward write gets to show itself after an acknowledgement."""
TOGETHER = 4
SEED = 20261123


@dataclass
class Aborted:
    """One run, aborted again and again, as an outsider sees it."""

    number: int
    harness: Harness
    honoured: int = 0
    forward: list[str] = field(default_factory=list)
    """Forward changes between an acknowledgement and its resume."""

    _answers: "dict[str, asyncio.Task[None]]" = field(default_factory=dict)

    def __post_init__(self) -> None:
        rng = random.Random(SEED + self.number)
        first = 1 if self.number % 4 == 0 else FIRST_CHANGE
        numbers = rng.sample(range(first, LAST), IN_A_RUN)
        self.moments = {(rng.choice(("before", "after")), number) for number in numbers}

    async def seen(self, where: str, number: int, input_: ExecuteActivityInput) -> None:
        """Abort at the chosen moments; answer what the abort parks."""
        if (where, number) in self.moments:
            wish = Control(request=uuid.uuid4().hex, person="sre@teei.example", reason="stop it")
            with suppress(RPCError):  # the run has just ended
                await self.harness.handle.signal("abort", wish)
        argument = input_.args[0]
        told = isinstance(argument, SendNotice) and argument.notice.title == "Parked: abort"
        if told and where == "before":
            await asyncio.shield(self._acknowledged_once(argument.notice.key))

    def _acknowledged_once(self, key: str) -> "asyncio.Task[None]":
        """Answer a question once, also when the attempt that tells it is given up meanwhile."""
        if key not in self._answers:
            self._answers[key] = asyncio.create_task(self._acknowledged())
        return self._answers[key]

    async def _acknowledged(self) -> None:
        effects = self.harness.world.effects
        before = len(effects)
        await asyncio.sleep(STILL)
        self.forward += [one for one in effects[before:] if one.startswith(FORWARD)]
        self.honoured += 1
        request = Resolve(
            request=uuid.uuid4().hex,
            person="sre@teei.example",
            choice=Choice.RESUME,
            step="abort",
            reason="go on",
        )
        await self.harness.handle.execute_update("resolve", request, result_type=Reply)

    async def carry_out(self) -> None:
        """Run to the end and judge the world by the outcome."""
        harness = self.harness
        async with harness.workers(Around(Moments(self.seen).around)):
            await harness.start()
            status = await harness.reaches(
                lambda one: bool(one.digest) or one.outcome is not Outcome.RUNNING
            )
            if status.digest:
                with suppress(WorkflowUpdateFailedError, RPCError):  # refused: the run has ended
                    await harness.approve()
            result = await harness.result()
        status = StatusDocument.model_validate(result.status)
        images = {one.image.startswith("old/") for one in harness.world.deployments.values()}
        if result.outcome is Outcome.STOPPED:
            self.honoured += status.abort is AbortState.ACKNOWLEDGED
            self.forward += [one for one in harness.world.effects if one.startswith(FORWARD)]
            assert (images, harness.world.schema) == ({True}, "old"), status
        else:
            assert result.outcome is Outcome.DEPLOYED, status
            assert (images, harness.world.schema) == ({False}, "new"), status


async def test_nothing_goes_forward_after_an_acknowledged_abort(client: Client) -> None:
    done: list[Aborted] = []
    while (honoured := sum(one.honoured for one in done)) < ABORTS:
        assert len(done) < ABORTS, f"only {honoured} aborts in {len(done)} runs"
        batch = [
            Aborted(len(done) + number, Harness(client, small_plan(), small_release()))
            for number in range(TOGETHER)
        ]
        await asyncio.gather(*(one.carry_out() for one in batch))
        done += batch
    print(f"{honoured} aborts honoured in {len(done)} runs")  # shown by pytest -s

    assert [(one.number, one.forward) for one in done if one.forward] == []
