"""Every expression of rules and dashboard is PromQL, and names metrics that somebody exports."""

import json
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from devstack.layout import CHECKOUT
from devstack.stack import Stack
from slipway import names
from tests.integration.cluster_world import ClusterWorld
from tests.integration.worker_process import asked, becomes, notice_to_nobody, worker
from tests.workflow.harness import connect

pytestmark = pytest.mark.stack
OF_PROMETHEUS = {"ALERTS", "up"}
"""Series that Prometheus makes itself."""


def expressions() -> list[str]:
    """Return the expressions, Grafana's variables replaced."""
    rules = yaml.safe_load((CHECKOUT / "deploy/prometheus/slipway.rules.yaml").read_text())
    board = json.loads((CHECKOUT / "deploy/grafana/slipway.json").read_text())
    shown = [one["expr"] for panel in board["panels"] for one in panel.get("targets", [])]
    chosen = {"$__rate_interval": "1m", "$namespace": "production", "$environment": ".*"}
    for name, value in chosen.items():
        shown = [one.replace(name, value) for one in shown]
    listed = [one["query"]["query"] for one in board["templating"]["list"][1:]]
    asked_for = [one.removeprefix("label_values(").partition(",")[0] for one in listed]
    return [*(r["expr"] for g in rules["groups"] for r in g["rules"]), *shown, *asked_for]


EXPRESSIONS = expressions()


def selected(node: Any) -> Iterator[str]:
    """Yield the metrics that a parsed expression selects."""
    if isinstance(node, dict):
        if node.get("type") in {"vectorSelector", "matrixSelector"}:
            yield node["name"]
        node = list(node.values())
    for one in node if isinstance(node, list) else []:
        yield from selected(one)


async def metrics_of(stack: Stack, expression: str) -> set[str]:
    return set(selected(await asked(stack, "parse_query", query=expression)))


@pytest.mark.parametrize("expression", EXPRESSIONS)
async def test_an_expression_is_promql_and_selects_by_name(stack: Stack, expression: str) -> None:
    found = await metrics_of(stack, expression)
    assert found
    assert "" not in found


async def test_every_metric_is_exported(stack: Stack, place: ClusterWorld, tmp_path: Path) -> None:
    wanted = {one for text in EXPRESSIONS for one in await metrics_of(stack, text)}
    assert {"http_requests_total", "slipway_activity_failures_total"} <= wanted
    queue = f"slipway-metrics-{uuid.uuid4().hex[:8]}"
    client = await connect(stack.temporal_address)
    with worker(stack, tmp_path, queue, "broken"):
        run = await client.start_workflow(
            names.DEPLOYMENT_TYPE,
            notice_to_nobody(place.environment.name),
            id=f"deploy-{queue}",
            task_queue=queue,
        )

        async def all_there() -> bool:
            there = set(await asked(stack, "label/__name__/values"))
            print("missing:", sorted(wanted - there - OF_PROMETHEUS))
            return wanted - OF_PROMETHEUS <= there

        await becomes("every metric to be scraped", all_there)
        await run.terminate()
