"""The week after a release in seconds, for what aftercare does at its end."""

import asyncio
from datetime import UTC, datetime
from pathlib import Path

import psycopg
from psycopg import sql
from temporalio.client import Client
from temporalio.contrib.pydantic import pydantic_data_converter

from devstack.stack import Stack
from devstack.world import release as releases
from devstack.world.database import access
from devstack.world.environment import Environment
from slipway import names
from slipway.judgements.backup import side_name
from slipway.messages.aftercare import AftercareState
from slipway.messages.record import Place
from starter.loading import load_plan, load_release
from tests.e2e.small import SERVICES, small_plan
from workflows.aftercare import AftercareRequest

_SECONDS = 300


def carry_aftercare(stack: Stack, made: Environment, queue: str, folder: Path) -> list[str]:
    """Run a week of aftercare with a side database to drop; return what is wrong afterwards."""
    request = _request(stack, made, folder)
    with psycopg.connect(access.url(stack, access.ADMIN, access.CONTROL), autocommit=True) as admin:
        name = sql.Identifier(request.side_database)
        admin.execute(sql.SQL("CREATE DATABASE {} OWNER teei_owner").format(name))
        state = asyncio.run(_run(stack, queue, request))
        query = "SELECT count(*) FROM pg_database WHERE datname = %s"
        row = admin.execute(query, [request.side_database]).fetchone()
    left = row[0] if row else 0
    wrong = [f"{request.side_database} was not dropped"] if left else []
    if state.phase != "ended":
        wrong.append(f"aftercare stopped in phase {state.phase}")
    return wrong


def _request(stack: Stack, made: Environment, folder: Path) -> AftercareRequest:
    release = load_release(releases.make_release(stack, made, services=SERVICES))
    overlay = releases.write_overlay(stack, made, services=SERVICES)
    plan = load_plan(small_plan(folder), overlay)
    short = {"aftercare_health": 12.0, "aftercare_errors": 120.0, "aftercare_day": 12.0}
    plan = plan.model_copy(update={"timings": plan.timings.model_copy(update=short)})
    deployment = names.deployment_id(made.name, datetime.now(UTC), "abcdef")
    return AftercareRequest(
        deployment=deployment,
        plan=plan,
        release=release,
        pods={},
        side_database=side_name(made.database, deployment, "1"),
        place=Place(
            bucket=plan.backup.bucket,
            prefix=plan.backup.prefix,
            environment=made.name,
            deployment=deployment,
        ),
    )


async def _run(stack: Stack, queue: str, request: AftercareRequest) -> AftercareState:
    client = await Client.connect(
        stack.temporal_address,
        namespace=stack.temporal_namespace,
        data_converter=pydantic_data_converter,
    )
    async with asyncio.timeout(_SECONDS):
        state: AftercareState = await client.execute_workflow(
            names.AFTERCARE_TYPE,
            request,
            id=names.aftercare_workflow_id(request.deployment),
            task_queue=queue,
            result_type=AftercareState,
        )
    return state
