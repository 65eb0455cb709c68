"""The undo window, to its last moment nothing is lost; after it there is no way back."""

import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from temporalio.client import Client, WorkflowHandle
from temporalio.worker import Worker

from activities.around import Around
from activities.failures import translating
from activities.fallbacks import Fallbacks
from activities.heartbeat import beating
from slipway import names
from slipway.errors import FallbackLost
from slipway.messages.fallback import FallbackRequest, KeepFallback
from slipway.messages.record import BackupTaken
from slipway.states import FallbackState
from tests.fakes.plans import small_plan
from tests.integration.data_world import DataWorld
from tests.integration.test_database_rollback import _is_open, _migrate, _until, _writing
from tests.integration.test_lossless_rollback import roll_back, slots, take
from tests.workflow.harness import connect
from worker.registry import activities_of
from workflows.registry import WORKFLOWS

pytestmark = pytest.mark.stack
A_DAY = 86400.0
LEFT = 60.0
"""Seconds of the day that are left when a rollback begins."""


@asynccontextmanager
async def kept(
    world: DataWorld, taken: BackupTaken, seconds: float
) -> "AsyncIterator[WorkflowHandle[Any, Any]]":
    """Keep the copy as after a deployment's end, by the workflow and a worker of the real code."""
    client: Client = await connect(world.stack.temporal_address)
    queue = f"w-{uuid.uuid4().hex[:8]}"
    plan = small_plan().model_copy(update={"database": world.database})
    around = [Around(translating), Around(beating)]
    serving = activities_of(Fallbacks(world.postgres))
    privileged = names.privileged(queue)
    async with (
        Worker(client, task_queue=queue, workflows=WORKFLOWS, interceptors=around),
        Worker(client, task_queue=privileged, activities=serving, interceptors=around),
    ):
        yield await client.start_workflow(
            names.FALLBACK_TYPE,
            FallbackRequest(
                deployment=world.deployment,
                plan=plan,
                release="1",
                backup=taken,
                follow=True,
                keep=seconds,
            ),
            id=names.fallback_workflow_id(world.deployment),
            task_queue=queue,
        )


async def test_in_the_last_moment_of_the_window_nothing_is_lost(world: DataWorld) -> None:
    with _writing(world) as writer:
        taken = await take(world)
        async with kept(world, taken, A_DAY) as copy:
            _migrate(world)
            for _ in range(5):  # what happens in a day
                for one in ("CHECKPOINT", "SELECT pg_switch_wal()", "VACUUM users", _CUT_OFF):
                    world.run(one.replace("SIDE", taken.side_database))
                await _until(writer, len(writer.acknowledged) + 30)
            await copy.signal("keep", KeepFallback(seconds=LEFT, because="until the window ends"))
            # as `Rollback` does when it begins: what it needs must not go under its hands
            await copy.signal("keep", KeepFallback(seconds=A_DAY, because="a rollback needs it"))
            done = await roll_back(world, taken)
            assert (await copy.result())["state"] == "swapped"
        await _until(writer, len(writer.acknowledged) + 20)
    assert (done.followed, done.schema_equal, done.lost) == (True, True, [])
    assert writer.missing() == 0
    assert slots(world) == []


_CUT_OFF = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = 'SIDE'"


async def test_after_the_window_there_is_no_way_back_and_that_is_said(world: DataWorld) -> None:
    taken = await take(world)
    _migrate(world)
    async with kept(world, taken, A_DAY) as copy:
        await copy.signal("keep", KeepFallback(seconds=0.0, because="the undo window has ended"))
        report = await copy.result()
    assert (report["state"], report["because"]) == ("ended", "the undo window has ended")
    assert world.databases() == [world.name]  # what a rollback would have swapped in is gone
    assert slots(world) == []
    with pytest.raises(FallbackLost, match=f"{taken.side_database} is {FallbackState.ENDED.value}"):
        await roll_back(world, taken)
    assert _is_open(world)
    assert "nickname" in str(world.run("SELECT to_jsonb(u) FROM users u LIMIT 1"))
