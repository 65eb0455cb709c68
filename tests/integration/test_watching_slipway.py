"""slipway itself is watched: its rules are tested, loaded, and fire when its own code fails."""

import subprocess
import uuid
from collections.abc import Iterator
from typing import Any

import pytest
from temporalio.client import Client

from devstack.layout import CHECKOUT
from devstack.servers.prometheus import RULES
from devstack.stack import Stack
from slipway import names
from tests.integration.worker_process import asked, becomes, firing, notice_to_nobody, worker
from tests.workflow.harness import connect

pytestmark = pytest.mark.stack
FOLDER = CHECKOUT / "deploy" / "prometheus"


def promtool(stack: Stack, *arguments: str) -> "subprocess.CompletedProcess[str]":
    argv = [stack.promtool, *arguments]
    return subprocess.run(argv, cwd=FOLDER, capture_output=True, text=True, check=False)


def test_the_rules_pass_their_tests(stack: Stack) -> None:
    done = promtool(stack, "test", "rules", "slipway.rules.test.yaml")
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_rules_please_promtool(stack: Stack) -> None:
    done = promtool(stack, "check", "rules", "--lint=all", "--lint-fatal", "slipway.rules.yaml")
    assert done.returncode == 0, done.stdout + done.stderr


async def test_the_stack_evaluates_the_same_rules(stack: Stack) -> None:
    groups = (await asked(stack, "rules"))["groups"]
    assert [group["file"] for group in groups] == [str(RULES)]
    assert [rule["lastError"] for rule in groups[0]["rules"] if "lastError" in rule] == []


@pytest.fixture(scope="module")
def queue(stack: Stack, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The queue of a worker whose workflow code is broken."""
    name = f"slipway-broken-{uuid.uuid4().hex[:8]}"
    with worker(stack, tmp_path_factory.mktemp("broken"), name, "broken"):
        yield name


async def start(stack: Stack, queue: str) -> tuple[Client, str]:
    """Start a run, and return its environment."""
    environment = f"watch{uuid.uuid4().hex[:8]}"
    client = await connect(stack.temporal_address)
    await client.start_workflow(
        names.DEPLOYMENT_TYPE,
        notice_to_nobody(environment),
        id=names.deployment_workflow_id(environment),
        task_queue=queue,
    )
    return client, environment


async def test_a_failing_workflow_task_and_a_lost_notice_raise_alerts(
    stack: Stack, queue: str
) -> None:
    client, environment = await start(stack, queue)

    async def about(alert: str, **labels: str) -> dict[str, Any]:
        return (await becomes(alert, lambda: firing(stack, alert, **labels)))[0]

    lost = await about("SlipwayNoticesNotDelivered", environment=environment)
    assert "reach nobody" in lost["annotations"]["summary"]
    again = await about("SlipwayActivityFailing", environment=environment)
    assert again["labels"]["activity_type"] == "notice.send"
    assert again["labels"]["reason"] == "StepOutOfAttempts"
    stuck = await about("SlipwayWorkflowTaskFailing", task_queue=queue)
    assert stuck["labels"]["workflow_type"] == names.DEPLOYMENT_TYPE
    await client.get_workflow_handle(names.deployment_workflow_id(environment)).terminate()
