"""The TEEI services on a real cluster and database: answers, rollouts, faults, logs, metrics."""

import ssl
import subprocess
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
import psycopg
import pytest
import yaml

from devstack.stack import Stack
from devstack.testing import shared_stack
from devstack.world import cluster, environment, history, release
from devstack.world.catalog import SERVICES
from devstack.world.database import access
from devstack.world.environment import Environment
from devstack.world.images import image
from devstack.world.kube import Kube
from devstack.world.services.writer import acknowledged_keys
from slipway.evidence import EvidenceFile, judge, references
from starter.loading import load_plan, load_release

pytestmark = pytest.mark.stack
_PLAN = Path(__file__).parents[2] / "plans" / "teei-production.yaml"


@pytest.fixture(scope="module")
def stack() -> Iterator[Stack]:
    with shared_stack() as running:
        yield running


@pytest.fixture(scope="module")
def made(stack: Stack) -> Iterator[Environment]:
    yield environment.create(stack, "world")
    environment.destroy(stack, "world")


@pytest.fixture
def http() -> Iterator[httpx.Client]:
    with httpx.Client(timeout=10, trust_env=False) as client:
        yield client


def _wait(what: str, condition: Callable[[], bool], seconds: float = 180) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"{what}: not within {seconds} s"
        time.sleep(0.1)


def _roll_out(stack: Stack, made: Environment, service: str, fault: str | None) -> None:
    """Roll out a version and wait until no pod of another one is left."""
    wanted = image(service, "1.1.0", fault)
    with Kube(stack) as kube:
        cluster.set_image(kube, made.namespace, service, wanted)
    cluster.wait_ready(stack, [made.namespace])

    def alone() -> bool:
        pods = _pods(stack, made, service)
        return {one["spec"]["containers"][0]["image"] for one in pods} == {wanted}

    _wait("the version everywhere", alone)


def _pods(stack: Stack, made: Environment, service: str) -> list[dict[str, Any]]:
    with Kube(stack) as kube:
        found = kube.get(f"/api/v1/namespaces/{made.namespace}/pods?labelSelector=app={service}")
    assert found is not None
    return list(found["items"])


def test_it_is_created_twice_with_the_same_result(stack: Stack, made: Environment) -> None:
    assert environment.create(stack, made.name) == made


@pytest.mark.parametrize("stage", ["production", "staging"])
def test_every_service_says_it_is_up(made: Environment, http: httpx.Client, stage: str) -> None:
    for service in SERVICES:
        if service.has_http and service.name != "corp-cockpit":
            answer = http.get(made.url(service.name, stage) + "/health")
            assert answer.json() == {"status": "UP"}


def test_login_leads_to_the_dashboards_known_data(made: Environment, http: httpx.Client) -> None:
    who = {"email": "smoke@teei.example", "password": release.SMOKE_PASSWORD}
    token = http.post(made.url("api-gateway") + "/auth/login", json=who).json()["token"]
    shown = http.get(
        made.url("analytics") + "/dashboard?organisation=1",
        headers={"Authorization": f"Bearer {token}"},
    ).json()
    assert shown["organisation"] == "Nordlys Foundation"
    assert set(shown["impact"]) == {"belonging", "job_readiness", "language"}
    wrong = http.post(made.url("api-gateway") + "/auth/login", json={**who, "password": "x"})
    assert wrong.status_code == 401


def test_reports_and_events_are_really_stored(
    stack: Stack, made: Environment, http: httpx.Client
) -> None:
    report = http.post(made.url("reporting") + "/reports", json={"organisation": 1}).json()
    http.post(made.url("impact-in") + "/ingest", json={"key": "t-1", "payload": {"hours": 2}})
    with psycopg.connect(access.url(stack, access.PROBE, made.database)) as connection:
        rows = connection.execute(
            "SELECT (SELECT count(*) FROM reports WHERE id = %s AND document IS NOT NULL),"
            " (SELECT count(*) FROM ingestion_events WHERE key = 't-1')",
            [report["id"]],
        ).fetchone()
    assert rows == (1, 1)


@pytest.mark.parametrize(
    ("path", "status"),
    [("/nothing", 404), ("/dashboard", 401), ("/metrics-summary?organisation=x", 400)],
)
def test_wrong_requests_are_the_callers_fault(
    made: Environment, http: httpx.Client, path: str, status: int
) -> None:
    assert http.get(made.url("analytics") + path).status_code == status


def test_an_outage_of_the_database_is_a_503_that_ends_with_it(
    stack: Stack, made: Environment, http: httpx.Client
) -> None:
    address = made.url("unified-profile") + "/profiles/1"
    written = len(acknowledged_keys(made))
    with access.superuser(stack) as connection:
        connection.execute(f"ALTER DATABASE {made.database} ALLOW_CONNECTIONS false")
        try:
            connection.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s",
                [made.database],
            )
            _wait("503", lambda: http.get(address).status_code == 503)
        finally:
            connection.execute(f"ALTER DATABASE {made.database} ALLOW_CONNECTIONS true")
    _wait("200", lambda: http.get(address).status_code == 200)
    _wait("the writer goes on", lambda: len(acknowledged_keys(made)) > written + 5)


def test_a_new_version_counts_from_zero_and_fails_as_its_fault_says(
    stack: Stack, made: Environment, http: httpx.Client
) -> None:
    _roll_out(stack, made, "buddy", "errors3")
    names = {pod["metadata"]["name"] for pod in _pods(stack, made, "buddy")}

    def counted() -> dict[str, int]:
        totals = {"200": 0, "500": 0}
        for name in names:
            answer = http.get(f"{stack.world_url}/metrics/{made.namespace}/{name}")
            if answer.status_code == 200:
                for line in answer.text.splitlines():
                    if line.startswith("http_requests_total{"):
                        totals[line.split('code="')[1][:3]] += int(line.split()[-1])
        return totals

    _wait("traffic", lambda: sum(counted().values()) > 3000)
    totals = counted()
    assert 0.015 < totals["500"] / sum(totals.values()) < 0.05
    _roll_out(stack, made, "buddy", None)


@pytest.mark.parametrize(
    ("service", "fault", "path", "broken"),
    [
        ("journey", "unhealthy", "/health", {"status": "DOWN"}),
        ("journey", "wrongbody", "/health", {"state": "fine"}),
        ("unified-profile", "critical", "/profiles/1", {}),
        ("corp-cockpit", "nohtml", "/", {}),
    ],
)
def test_a_fault_shows_and_goes_with_its_version(
    stack: Stack, made: Environment, http: httpx.Client,
    service: str, fault: str, path: str, broken: dict[str, str],
) -> None:  # fmt: skip
    def seen() -> Any:
        answer = http.get(made.url(service) + path)
        json_ = answer.headers["content-type"].startswith("application/json")
        return answer.json() if json_ else answer.text

    healthy = seen()
    _roll_out(stack, made, service, fault)
    _wait("the fault", lambda: bool(seen() == broken))
    _roll_out(stack, made, service, None)
    _wait("health", lambda: bool(seen() == healthy))


def test_a_crash_loop_never_becomes_ready_and_the_old_pods_serve_on(
    stack: Stack, made: Environment, http: httpx.Client
) -> None:
    with Kube(stack) as kube:
        reference = image("q2q-ai", "1.1.0", "crashloop")
        cluster.set_image(kube, made.namespace, "q2q-ai", reference)

        def restarts() -> int:
            return max(
                (
                    status["restartCount"]
                    for pod in _pods(stack, made, "q2q-ai")
                    if pod["spec"]["containers"][0]["image"] == reference
                    for status in pod.get("status", {}).get("containerStatuses", [])
                ),
                default=0,
            )

        _wait("restarts", lambda: restarts() >= 2)
        assert http.get(made.url("q2q-ai") + "/health").json() == {"status": "UP"}
        cluster.set_image(kube, made.namespace, "q2q-ai", image("q2q-ai", "1.0.0"))
    cluster.wait_ready(stack, [made.namespace])


def test_pod_logs_are_read_through_the_api_with_slipways_own_rights(
    stack: Stack, made: Environment
) -> None:
    config = yaml.safe_load(Path(stack.kube_slipway_kubeconfig).read_text())
    token = config["users"][0]["user"]["token"]
    pod = _pods(stack, made, "discord-bot")[0]["metadata"]["name"]
    base = f"{stack.kube_server}/api/v1/namespaces"
    head = {"Authorization": f"Bearer {token}"}
    context = ssl.create_default_context(cafile=stack.kube_ca_file)
    with httpx.Client(headers=head, verify=context, trust_env=False) as client:
        log = f"{base}/{made.namespace}/pods/{pod}/log?container=app&tailLines=50"
        _wait("heartbeats", lambda: "INFO gateway heartbeat" in client.get(log).text)
        assert client.get(f"{base}/{made.staging_namespace}/pods").status_code == 200
        assert client.get(f"{base}/default/pods").status_code == 403
        path = f"{stack.kube_server}/apis/apps/v1/namespaces/{made.staging_namespace}/deployments"
        refused = client.patch(
            f"{path}/buddy", json={}, headers={"Content-Type": "application/merge-patch+json"}
        )
        assert refused.status_code == 403


def test_prometheus_finds_every_pod_and_the_database(
    stack: Stack, made: Environment, http: httpx.Client
) -> None:
    def ask(query: str) -> list[dict[str, Any]]:
        answer = http.get(f"{stack.prometheus_url}/api/v1/query", params={"query": query}).json()
        return list(answer["data"]["result"])

    pods = sum(service.replicas for service in SERVICES)
    where = f'namespace="{made.namespace}"'
    _wait(
        "pods", lambda: len(ask(f'count by (pod) (http_requests_total{{{where},pod!=""}})')) >= pods
    )
    _wait("rates", lambda: len(ask(f"rate(http_requests_total{{{where}}}[30s]) > 0")) > pods)
    _wait("database", lambda: len(ask(f"pg_settings_max_connections{{{where}}}")) == 1)


def test_promtool_takes_the_history(stack: Stack, tmp_path: Path) -> None:
    source = tmp_path / "history"
    history.write_openmetrics(source, ["t1-production"], 1.0, now=time.time())
    command = [stack.promtool, "tsdb", "create-blocks-from", "openmetrics", str(source)]
    done = subprocess.run(
        [*command, str(tmp_path / "blocks")], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert any((tmp_path / "blocks").iterdir())


def test_notices_are_kept_with_the_environment_they_are_about(
    stack: Stack, made: Environment, http: httpx.Client
) -> None:
    address = f"{stack.webhook_url}/notices/{made.name}"
    assert http.post(address, json={"kind": "parked"}).status_code == 202
    assert http.get(address).json()[-1]["body"] == {"kind": "parked"}
    assert http.post(f"{stack.webhook_url}/notices/nowhere", json={}).status_code == 404
    assert http.post(address, content=b"[" * 10_000).status_code == 400


def test_a_release_and_its_overlay_are_what_slipway_reads(stack: Stack, made: Environment) -> None:
    path = release.make_release(stack, made, pending="one", faults={"analytics": "errors3"})
    made_release = load_release(path)
    assert "errors3" in made_release.images["analytics"]
    plan = load_plan(_PLAN, release.write_overlay(stack, made))
    assert plan.kubernetes.namespace == made.namespace
    with Kube(stack) as kube:
        found = kube.get(f"/apis/apps/v1/namespaces/{made.staging_namespace}/deployments/analytics")
    assert found is not None
    staged = found["spec"]["template"]["spec"]["containers"][0]["image"]
    assert staged.partition("@")[2] == made_release.images["analytics"].partition("@")[2]
    assert "errors3" not in staged
    root = release.artifacts_root(stack)
    files = {
        (one.at, one.sha256): EvidenceFile(
            one.at, one.sha256, (root / one.at.removeprefix("artifact:")).read_bytes()
        )
        for one in references(made_release)
    }
    assert judge(plan, made_release, files, datetime.now(UTC)).failed == []


def test_a_namespace_is_made_again_while_it_still_goes(stack: Stack) -> None:
    path = "/api/v1/namespaces/goes-and-comes"
    with Kube(stack) as kube:
        cluster.create_namespace(kube, "goes-and-comes", "production")
        kube.delete(path)
        cluster.create_namespace(kube, "goes-and-comes", "production")
        made = kube.get(path)
    cluster.remove(stack, ["goes-and-comes"])
    assert made is not None
    assert "deletionTimestamp" not in made["metadata"]
