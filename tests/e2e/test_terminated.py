"""Somebody terminates a deployment in its middle: nothing compensates, and the record does."""

import asyncio
import time
from pathlib import Path
from typing import Any

import pytest
from temporalio.client import Client

from devstack.demo import outside
from devstack.demo.cli import Cli
from devstack.demo.look import look
from devstack.demo.people import Manner, People
from devstack.stack import Stack
from devstack.world import release as releases
from slipway import names
from tests.e2e.conftest import Make
from tests.e2e.small import PATIENCE, TIME_SCALE, small_wish

pytestmark = [pytest.mark.stack, pytest.mark.e2e]


def test_rollback_after_terminate(stack: Stack, make: Make, queue: str, tmp_path: Path) -> None:
    made = make(TIME_SCALE)
    wish = small_wish(stack, made, tmp_path)
    release = releases.make_release(stack, made, services=wish.services or ())
    before = look(stack, made)
    cli = Cli(stack, queue)
    with People(cli, made.name, manner=Manner(decisions=("retry",))):
        began = cli.run("start", str(wish.plan), str(release), "--overlay", str(wish.overlay))
        assert began.code == 0, began.out + began.err
        identity = _until_first_is_deployed(cli, made.name)["id"]
    asyncio.run(_terminate(stack, names.deployment_workflow_id(made.name)))

    why = cli.run("why", identity)
    assert "TERMINATED" in why.out.upper(), why.out + why.err
    assert f"slipway rollback {identity}" in why.out
    asked = ("--person", "on-call@teei.com", "--reason", "it was terminated", "--wait")
    back = cli.run("rollback", identity, *asked, timeout=PATIENCE)
    assert back.code == 0, back.out + back.err
    status = cli.run("status", identity, "--json").json()
    assert status["outcome"] == "rolled_back"
    assert outside.rolled_back(stack, made, before, status) == []


def _until_first_is_deployed(cli: Cli, environment: str) -> dict[str, Any]:
    until = time.monotonic() + PATIENCE
    while True:
        status: dict[str, Any] = cli.run("status", environment, "--json").json()
        states = [one["state"] for one in status["services"]]
        if states[:1] == ["deployed"]:
            return status
        assert time.monotonic() < until, status


async def _terminate(stack: Stack, workflow_id: str) -> None:
    client = await Client.connect(stack.temporal_address, namespace=stack.temporal_namespace)
    await client.get_workflow_handle(workflow_id).terminate("an SRE's hand")
