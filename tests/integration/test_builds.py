"""Builds of the worker on the real server: rolled out, drained, and a run that is moved."""

import asyncio
import json
import os
import subprocess
import sys
import uuid
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from temporalio.client import Client, WorkflowHandle

from devstack.layout import CHECKOUT
from devstack.stack import Stack
from slipway import names
from tests.integration.worker_process import becomes, notice_to_nobody, worker
from tests.workflow.harness import connect

pytestmark = pytest.mark.stack


class Shop:
    """One queue: its workers, and an operator's shell."""

    def __init__(self, stack: Stack, folder: Path) -> None:
        self.stack = stack
        self.folder = folder
        self.queue = f"slipway.builds-{uuid.uuid4().hex[:8]}"  # dots are legal in a queue's name
        self.environment = f"builds{uuid.uuid4().hex[:8]}"
        self.running = ExitStack()

    def work(self, code: str) -> None:
        """Start a worker whose build is named after its code."""
        self.running.enter_context(
            worker(self.stack, self.folder, self.queue, code, build_id=f"1.0.{code}")
        )

    async def asks(self, *arguments: str, **environment: str) -> tuple[int, str]:
        """Run `python -m worker` with arguments; return its exit code and all it said."""
        done = await asyncio.to_thread(
            subprocess.run,
            [sys.executable, "-m", "worker", *arguments],
            cwd=CHECKOUT,
            env={
                "PATH": os.environ["PATH"],
                "TEMPORAL_ADDRESS": self.stack.temporal_address,
                "SLIPWAY_TASK_QUEUE": self.queue,
                **environment,
            },
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        assert "Traceback" not in done.stderr
        return done.returncode, done.stdout + done.stderr

    async def succeeds(self, *arguments: str) -> str:
        """Run it until the server knows the build, which it does soon after a worker's start."""

        async def once() -> str:
            code, said = await self.asks(*arguments)
            return said if code == 0 else ""

        return await becomes(" ".join(arguments), once)

    async def builds(self) -> dict[str, Any]:
        """Return what `versions --json` says, by build."""
        document = json.loads((await self.asks("versions", "--json"))[1])
        return {one["build_id"]: one for one in document["builds"]}

    async def start(self, client: Client) -> WorkflowHandle[Any, str]:
        """Start a deployment."""
        return await client.start_workflow(
            names.DEPLOYMENT_TYPE,
            notice_to_nobody(self.environment),
            id=names.deployment_workflow_id(self.environment),
            task_queue=self.queue,
            result_type=str,
        )


@pytest.fixture
def shop(stack: Stack, tmp_path: Path) -> Iterator[Shop]:
    made = Shop(stack, tmp_path)
    with made.running:
        yield made


async def attempts(run: WorkflowHandle[Any, str]) -> int:
    """Return how often the workflow task that is due was tried."""
    found = await run.describe()
    return int(found.raw_description.pending_workflow_task.attempt)


async def test_a_pinned_run_that_fails_is_moved_to_code_that_works(shop: Shop) -> None:
    client = await connect(shop.stack.temporal_address)
    shop.work("broken")
    said = await shop.succeeds("current", "--build-id", "1.0.broken")
    assert "Build 1.0.broken is current" in said
    run = await shop.start(client)

    async def failing() -> bool:
        return await attempts(run) >= 2

    await becomes("its workflow task to fail", failing)

    shop.work("fixed")
    said = await shop.succeeds("current", "--build-id", "1.0.fixed")
    assert "Runs that began on 1.0.broken stay there" in said
    tried = await attempts(run)

    async def failing_still() -> bool:
        return await attempts(run) > tried

    await becomes("the pinned run to fail on its old build again", failing_still)
    found = await shop.builds()
    assert (found["1.0.fixed"]["state"], found["1.0.broken"]["state"]) == ("current", "draining")
    assert found["1.0.broken"]["running"] == 1
    lines = [line.split() for line in (await shop.asks("versions"))[1].splitlines()]
    assert lines[0] == ["BUILD", "STATE", "SINCE", "RUNNING"]
    assert [(one[0], one[1], one[-1]) for one in lines[1:]] == [
        ("1.0.fixed", "current", "0"),
        ("1.0.broken", "draining", "1"),
    ]

    code, said = await shop.asks("move", shop.environment, "--build-id", "1.0.fixed")
    assert code == 0, said
    assert f"deploy-{shop.environment} (run {run.first_execution_run_id})" in said
    assert "was on build 1.0.broken." in said
    # The old build's attempt may be in flight for a while: then the next step goes to the new one.
    assert any(one in said for one in ("It is on build 1.0.fixed", "goes to build 1.0.fixed")), said
    assert await asyncio.wait_for(run.result(), 120) == "nobody was told"

    async def nothing_left() -> bool:
        return bool((await shop.builds())["1.0.broken"]["running"] == 0)

    await becomes("the broken build to have no run", nothing_left)


async def test_what_cannot_be_done_is_said_with_a_remedy(shop: Shop) -> None:
    code, said = await shop.asks("versions")
    assert code == 2
    assert f"No worker with a build has ever served the queue {shop.queue}." in said
    assert "SLIPWAY_BUILD_ID" in said

    shop.work("fixed")
    await shop.succeeds("current", "--build-id", "1.0.fixed")
    said = (await shop.asks("current", "--build-id", "1.0.fixed"))[1]
    assert said == "Build 1.0.fixed was current already.\n"

    for command in (["current"], ["move", "nothing"]):
        code, said = await shop.asks(*command, "--build-id", "1.0.lost")
        assert code == 2
    code, said = await shop.asks("current", "--build-id", "1.0.lost")
    assert "Build 1.0.lost is unknown" in said
    assert "there are: 1.0.fixed." in said
    for name in ("nothing", "nothing-20261123T180000Z-abc123"):
        code, said = await shop.asks("move", name, "--build-id", "1.0.fixed")
        assert code == 2
        assert f"{name}: no workflow of this deployment, environment or ID is running." in said


async def test_a_server_that_does_not_answer_is_named(shop: Shop) -> None:
    code, said = await shop.asks("versions", TEMPORAL_ADDRESS="127.0.0.1:1")
    assert code == 8
    assert said.startswith("error: Temporal at 127.0.0.1:1 does not answer.")
