"""Carries out a command that `why` has printed, as the person would who pastes it."""

import asyncio
from typing import Any

from google.protobuf.duration_pb2 import Duration
from google.protobuf.field_mask_pb2 import FieldMask
from temporalio.api.activity.v1 import ActivityOptions
from temporalio.api.common.v1 import RetryPolicy, WorkflowExecution
from temporalio.api.workflowservice.v1 import (
    UnpauseActivityRequest,
    UpdateActivityOptionsRequest,
)
from temporalio.client import Client

from slipway.base import parse_length
from tests.workflow.case import Case
from tests.workflow.hall import Done
from tests.workflow.situations import Situation


async def paste(case: Case, situation: Situation, asked: Done) -> Done:
    """Carry out the command under the situation's label."""
    command = asked.commands.get(situation.paste)
    assert command, f"no line says {situation.paste}: and a command"
    words = case.words(command)
    running = asyncio.ensure_future(_carry_out(case, situation, words))
    if situation.meanwhile is not None:
        await situation.meanwhile(case)
    return await running


async def _carry_out(case: Case, situation: Situation, words: list[str]) -> Done:
    if words[0] == "slipway" and situation.terminal:
        return await case.at_a_terminal(*words[1:], answer="y")
    if words[0] == "slipway":
        return await case.slipway(*words[1:])
    if words[0] == "temporal":
        await _temporal(case.client, words[1:])
        return Done(0, "", "")
    return await _worker(case, situation, words)


async def _temporal(client: Client, words: list[str]) -> None:
    """Make the request that the command of Temporal's own command line makes: that program cannot
    be had from a package registry, so its two subcommands are read here."""
    names, values = words[2::2], words[3::2]
    options = dict(zip((one.removeprefix("--") for one in names), values, strict=True))
    execution = WorkflowExecution(workflow_id=options.pop("workflow-id"))
    common: dict[str, Any] = {
        "namespace": client.namespace,
        "execution": execution,
        "identity": "sre",
        "id": options.pop("activity-id"),
    }
    if words[:2] == ["activity", "unpause"]:
        assert options == {}
        await client.workflow_service.unpause_activity(UnpauseActivityRequest(**common))
        return
    assert words[:2] == ["activity", "update-options"]
    changed, paths = _options(options)
    request = UpdateActivityOptionsRequest(
        **common, activity_options=changed, update_mask=FieldMask(paths=paths)
    )
    await client.workflow_service.update_activity_options(request)


def _options(given: dict[str, str]) -> tuple[ActivityOptions, list[str]]:
    options, paths = ActivityOptions(), []
    for name, value in given.items():
        if name == "retry-maximum-attempts":
            options.retry_policy.CopyFrom(RetryPolicy(maximum_attempts=int(value)))
            paths.append("retry_policy.maximum_attempts")
            continue
        field = name.replace("-", "_")
        length = Duration()
        length.FromMilliseconds(round(float(parse_length(value)) * 1000))
        getattr(options, field).CopyFrom(length)
        paths.append(field)
    return options, paths


async def _worker(case: Case, situation: Situation, words: list[str]) -> Done:
    """Start a worker as the line says, with no setting but its own; it runs until the end."""
    settings = [one for one in words if "=" in one and not one.startswith("-")]
    words = words[len(settings) :]
    assert words[:4] == ["python", "-m", "worker", "--role"]
    named = {"SLIPWAY_TASK_QUEUE": "", **dict(one.split("=", 1) for one in settings)}
    if situation.process:
        await case.start_worker(*words[3:], **named)
    else:
        assert named == {"SLIPWAY_TASK_QUEUE": case.queue}
        await case.works(privileged={"workflow": False, "privileged": True}[words[4]])
    return Done(0, "", "")
