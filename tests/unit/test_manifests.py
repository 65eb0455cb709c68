"""deploy/k8s/worker.yaml: two of each, never none, probed, scraped, and given time to end."""

from typing import Any

import pytest
import yaml

from tests.unit.test_docs import ROOT
from worker.settings import read_settings

DOCUMENTS = list(yaml.safe_load_all((ROOT / "deploy" / "k8s" / "worker.yaml").read_text()))
SETTINGS: dict[str, str] = next(one["data"] for one in DOCUMENTS if one["kind"] == "ConfigMap")
WORKERS = [one for one in DOCUMENTS if one["kind"] == "Deployment"]
NAMES = [one["metadata"]["name"] for one in WORKERS]


def port(name: str) -> int:
    return int(SETTINGS[name].rpartition(":")[2])


def test_a_worker_takes_these_settings() -> None:
    assert read_settings({**SETTINGS, "SLIPWAY_ARTIFACTS": str(ROOT)}).grace == 45


@pytest.mark.parametrize("worker", WORKERS, ids=NAMES)
def test_a_worker_ends_before_it_is_killed(worker: dict[str, Any]) -> None:
    grace = worker["spec"]["template"]["spec"]["terminationGracePeriodSeconds"]
    assert float(SETTINGS["SLIPWAY_GRACE"]) + 10 <= grace, "results must still be sent"


@pytest.mark.parametrize("worker", WORKERS, ids=NAMES)
def test_no_role_is_ever_without_a_worker(worker: dict[str, Any]) -> None:
    assert worker["spec"]["replicas"] >= 2
    assert worker["spec"]["strategy"]["rollingUpdate"]["maxUnavailable"] == 0
    labels = worker["spec"]["selector"]["matchLabels"]
    assert worker["spec"]["template"]["metadata"]["labels"] == labels
    budgets = [
        one["spec"]["minAvailable"]
        for one in DOCUMENTS
        if one["kind"] == "PodDisruptionBudget" and one["spec"]["selector"]["matchLabels"] == labels
    ]
    assert budgets == [1]


@pytest.mark.parametrize("worker", WORKERS, ids=NAMES)
def test_a_worker_is_probed_and_scraped_where_it_listens(worker: dict[str, Any]) -> None:
    template = worker["spec"]["template"]
    container = template["spec"]["containers"][0]
    ports = {one["name"]: one["containerPort"] for one in container["ports"]}
    assert ports == {"metrics": port("SLIPWAY_METRICS"), "health": port("SLIPWAY_HEALTH")}
    assert template["metadata"]["annotations"]["prometheus.io/port"] == str(ports["metrics"])
    probed = {name: container[f"{name}Probe"]["httpGet"] for name in ("readiness", "liveness")}
    assert probed == {
        "readiness": {"path": "/readyz", "port": "health"},
        "liveness": {"path": "/healthz", "port": "health"},
    }
