"""The Temporal server with SQLite in a file, its namespace and its search attributes."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from pathlib import Path
from typing import Any

import yaml
from google.protobuf.duration_pb2 import Duration
from temporalio.api.enums.v1 import IndexedValueType
from temporalio.api.operatorservice.v1 import (
    AddSearchAttributesRequest,
    ListSearchAttributesRequest,
)
from temporalio.api.workflowservice.v1 import (
    DescribeNamespaceRequest,
    RegisterNamespaceRequest,
)
from temporalio.client import Client
from temporalio.service import ConnectConfig, RPCError, RPCStatusCode, ServiceClient

from devstack.errors import StackError
from devstack.layout import HOST, Layout, write_private
from devstack.process import Spec
from devstack.servers.server import Server
from slipway import names

NAME = "temporal"
NAMESPACE = "default"
RETENTION = timedelta(days=30)
SEARCH_ATTRIBUTES = (
    names.SEARCH_DEPLOYMENT,
    names.SEARCH_ENVIRONMENT,
    names.SEARCH_RELEASE,
    names.SEARCH_PHASE,
    names.SEARCH_OUTCOME,
    names.SEARCH_WAITING_FOR,
)
DYNAMIC_CONFIG = {
    # Tests run a week of aftercare in seconds; only workflows that ask for it skip time.
    "frontend.WorkflowTimeSkippingEnabled": True,
    "frontend.WorkflowTimeSkippingMaxSkipPerSession": 20_000,
    # The default of one second would make each skip wait that long.
    "history.timerProcessorMaxTimeShift": "1ms",
    "system.forceSearchAttributesCacheRefreshOnRead": True,
    # A queue is looked at 20 times a second at most, and the one shard's queues serve all runs: an
    # activity then takes a tenth of a second at least. Production has hundreds of shards.
    "history.transferProcessorMaxPollRPS": 2_000,
    "history.timerProcessorMaxPollRPS": 2_000,
    "history.visibilityProcessorMaxPollRPS": 2_000,
}
SET_UP_SECONDS = 120.0


def server(layout: Layout, program: Path) -> Server:
    """The Temporal server of the stack."""
    return Server(
        name=NAME,
        port=layout.ports["temporal"],
        prepare=lambda: _prepare(layout, program),
        missing=lambda: asyncio.run(_missing(layout.address("temporal"))),
        set_up=lambda: asyncio.run(set_up(layout.address("temporal"))),
    )


def _prepare(layout: Layout, program: Path) -> Spec:
    folder = layout.config(NAME)
    dynamic = folder / "dynamic.yaml"
    dynamic.write_text(
        yaml.safe_dump({key: [{"value": value}] for key, value in DYNAMIC_CONFIG.items()})
    )
    config = write_private(folder / "server.yaml", yaml.safe_dump(_config(layout, dynamic)))
    argv = (str(program), "--config-file", str(config), "--allow-no-auth", "start")
    return Spec(NAME, argv, grace_seconds=20)


def _config(layout: Layout, dynamic: Path) -> dict[str, Any]:
    store = {
        "sql": {
            "pluginName": "sqlite",
            "databaseName": str(layout.data(NAME) / "temporal.db"),
            "connectAddr": "localhost",
            "connectProtocol": "tcp",
            "connectAttributes": {
                "mode": "rwc",
                "setup": "true",
                "journal_mode": "wal",
                "synchronous": "2",
            },
            "maxConns": 1,
            "maxIdleConns": 1,
            "maxConnLifetime": "1h",
        }
    }
    return {
        "log": {"stdout": True, "level": "warn"},
        "persistence": {
            "defaultStore": "default",
            "visibilityStore": "visibility",
            "numHistoryShards": 1,
            "datastores": {"default": store, "visibility": store},
        },
        "global": {"membership": {"maxJoinDuration": "30s", "broadcastAddress": HOST}},
        "services": {name: {"rpc": _rpc(layout, name)} for name in _SERVICES},
        "clusterMetadata": {
            "enableGlobalNamespace": False,
            "failoverVersionIncrement": 10,
            "masterClusterName": "active",
            "currentClusterName": "active",
            "clusterInformation": {
                "active": {
                    "enabled": True,
                    "initialFailoverVersion": 1,
                    "rpcName": "frontend",
                    "rpcAddress": layout.address("temporal"),
                }
            },
        },
        "dcRedirectionPolicy": {"policy": "noop"},
        "dynamicConfigClient": {"filepath": str(dynamic), "pollInterval": "60s"},
    }


_SERVICES = ("frontend", "history", "matching", "worker")


def _rpc(layout: Layout, service: str) -> dict[str, Any]:
    name = "temporal" if service == "frontend" else f"temporal-{service}"
    rpc: dict[str, Any] = {
        "grpcPort": layout.ports[name],
        "membershipPort": layout.ports[f"temporal-{service}-membership"],
        "bindOnLocalHost": True,
    }
    if service == "frontend":
        rpc["httpPort"] = layout.ports["temporal-http"]
    return rpc


async def _missing(address: str) -> str | None:
    try:
        client = await ServiceClient.connect(ConnectConfig(target_host=address))
        serving = await client.check_health(timeout=timedelta(seconds=2))
    except (RPCError, RuntimeError) as error:
        return str(error).splitlines()[0]
    return None if serving else "the frontend does not serve yet"


async def set_up(address: str) -> None:
    """Register namespace and search attributes, and wait until both can be used. Idempotent."""
    service = await ServiceClient.connect(ConnectConfig(target_host=address))
    retention = Duration()
    retention.FromTimedelta(RETENTION)
    request = RegisterNamespaceRequest(
        namespace=NAMESPACE, workflow_execution_retention_period=retention
    )
    try:
        await service.workflow_service.register_namespace(request)
    except RPCError as error:
        if error.status is not RPCStatusCode.ALREADY_EXISTS:
            raise
    deadline = asyncio.get_running_loop().time() + SET_UP_SECONDS
    while (missing := await _not_set_up(address)) is not None:
        if asyncio.get_running_loop().time() > deadline:
            raise StackError(f"Temporal's set-up did not finish: {missing}. See its log.")
        await asyncio.sleep(0.1)


async def _not_set_up(address: str) -> str | None:
    """One attempt; a new namespace is visible to each Temporal service only after a moment."""
    service = await ServiceClient.connect(ConnectConfig(target_host=address))
    try:
        await service.workflow_service.describe_namespace(
            DescribeNamespaceRequest(namespace=NAMESPACE)
        )
        listing = ListSearchAttributesRequest(namespace=NAMESPACE)
        known = await service.operator_service.list_search_attributes(listing)
        lacking = [name for name in SEARCH_ATTRIBUTES if name not in known.custom_attributes]
        if lacking:
            keyword = IndexedValueType.INDEXED_VALUE_TYPE_KEYWORD
            await service.operator_service.add_search_attributes(
                AddSearchAttributesRequest(
                    namespace=NAMESPACE, search_attributes=dict.fromkeys(lacking, keyword)
                )
            )
            return f"search attributes {', '.join(lacking)}"
        client = await Client.connect(address, namespace=NAMESPACE)
        await client.count_workflows(" AND ".join(f"{name} = 'x'" for name in SEARCH_ATTRIBUTES))
    except (RPCError, RuntimeError) as error:
        return str(error).splitlines()[0]
    return None
