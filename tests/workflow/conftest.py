"""One Temporal server for the session, one environment for each test."""

import os
from collections.abc import AsyncIterator

import pytest_asyncio
from temporalio.client import Client

from tests.fakes.plans import small_plan, small_release
from tests.workflow.harness import Harness, connect


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def client() -> Client:
    """Connect to the stack's Temporal server."""
    address = os.environ.get("SLIPWAY_TEST_TEMPORAL")
    if address is None:
        from devstack.testing import running_stack

        address = running_stack().temporal_address
    return await connect(address)


@pytest_asyncio.fixture(loop_scope="session")
async def harness(client: Client) -> AsyncIterator[Harness]:
    """A two-service plan with one pending migration; workers run."""
    async with Harness(client, small_plan(), small_release()).workers() as one:
        yield one
