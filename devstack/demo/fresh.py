"""Brings an environment back to where a demo begins: the old release, no run open."""

import asyncio

from temporalio.client import Client
from temporalio.service import RPCError

from devstack.demo import bucket
from devstack.stack import Stack
from devstack.world import environment as environments
from devstack.world.environment import Environment


def environment(stack: Stack, name: str) -> Environment:
    """Return the environment as if nothing had ever been deployed to it, made if need be."""
    # not waited for yet: what an earlier run left may never serve
    made = environments.create(stack, name, wait=False)
    if not _touched(stack, made):
        return environments.create(stack, name)
    asyncio.run(_end_runs(stack, name))
    _forget_records(stack, made)
    return environments.reset(stack, name)


def _touched(stack: Stack, made: Environment) -> bool:
    listing = bucket.client(stack).list_objects_v2(
        Bucket=made.bucket, Prefix=_records(made), MaxKeys=1
    )
    return bool(listing.get("KeyCount"))


def _records(made: Environment) -> str:
    return f"{made.bucket_prefix}records/{made.name}/"


def _forget_records(stack: Stack, made: Environment) -> None:
    """Backups stay, as their lock demands; records of the world that is dropped do not."""
    store = bucket.client(stack)
    pages = store.get_paginator("list_objects_v2").paginate(
        Bucket=made.bucket, Prefix=_records(made)
    )
    for page in pages:
        for item in page.get("Contents", []):
            store.delete_object(Bucket=made.bucket, Key=item["Key"])


async def _end_runs(stack: Stack, name: str) -> None:
    """The world they run in is dropped: there is nothing left to put back."""
    client = await Client.connect(stack.temporal_address, namespace=stack.temporal_namespace)
    query = f"ExecutionStatus = 'Running' AND SlipwayEnvironment = '{name}'"
    async for one in client.list_workflows(query):
        try:
            await client.get_workflow_handle(one.id).terminate("the demo begins anew")
        except RPCError:
            continue  # ended by itself meanwhile
