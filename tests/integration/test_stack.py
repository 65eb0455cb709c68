"""The local stack itself: real servers, on loopback only, that survive being killed."""

import asyncio
import json
import os
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import boto3
import httpx
import psutil  # type: ignore[import-untyped] # has no types of its own
import psycopg
import pytest
from botocore.exceptions import ClientError
from temporalio.api.operatorservice.v1 import ListSearchAttributesRequest
from temporalio.client import Client

from devstack import build, compose, up
from devstack.errors import StackError
from devstack.layout import CHECKOUT, Layout
from devstack.ports import is_free
from devstack.process import Processes
from devstack.servers import kubelet, postgres, stages, temporal
from devstack.servers.kube_api import KubeApi
from devstack.servers.server import Server, bring_up
from devstack.stack import Stack

pytestmark = pytest.mark.stack
NAMESPACE = "stack-test"
APPS = f"/apis/apps/v1/namespaces/{NAMESPACE}/deployments"
PODS = f"/api/v1/namespaces/{NAMESPACE}/pods"


@pytest.fixture
def layout(stack: Stack) -> Layout:
    return Layout.open(Path(stack.run_dir), running=True)


@pytest.fixture
def api(layout: Layout) -> Iterator[KubeApi]:
    with KubeApi(layout) as client:
        yield client


def wait(what: str, condition: Callable[[], object], seconds: float = 120) -> None:
    """Wait until a condition holds, or fail."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"not within {seconds} s: {what}"
        time.sleep(0.05)


def test_every_server_serves_and_a_second_up_changes_nothing(stack: Stack) -> None:
    root = Path(stack.run_dir)
    before = up.status(root)
    assert None not in before.values()
    wait("every server to answer", lambda: up.check(root) == [])  # a busy one may be late once
    assert up.up(root, demo=False, tell=lambda _: None) == stack
    assert up.status(root) == before


def test_servers_listen_on_loopback_only(stack: Stack) -> None:
    for name, pid in up.status(Path(stack.run_dir)).items():
        assert pid is not None
        found = psutil.Process(pid).net_connections(kind="inet")
        hosts = {entry.laddr.ip for entry in found if entry.status == psutil.CONN_LISTEN}
        assert hosts <= {"127.0.0.1", "::1", "::ffff:127.0.0.1"}, f"{name} listens on {hosts}"


async def test_temporal_has_namespace_and_search_attributes(stack: Stack) -> None:
    client = await Client.connect(stack.temporal_address, namespace=stack.temporal_namespace)
    request = ListSearchAttributesRequest(namespace=stack.temporal_namespace)
    known = await client.operator_service.list_search_attributes(request)
    assert set(temporal.SEARCH_ATTRIBUTES) <= set(known.custom_attributes)
    assert (await client.count_workflows("SlipwayDeployment = 'none'")).count == 0


def test_postgres_is_set_for_logical_replication(stack: Stack) -> None:
    address = f"host={stack.pg_host} port={stack.pg_port} dbname=postgres user=postgres"
    with psycopg.connect(address, password=stack.pg_superuser_password) as session:
        assert session.execute("SHOW wal_level").fetchone() == ("logical",)
        assert session.info.server_version >= 180_000
    with pytest.raises(psycopg.OperationalError, match="password"):
        psycopg.connect(address, password="wrong")


def test_the_bucket_keeps_what_is_locked(stack: Stack) -> None:
    s3 = boto3.client(
        "s3",
        endpoint_url=stack.s3_endpoint,
        aws_access_key_id=stack.s3_access_key,
        aws_secret_access_key=stack.s3_secret_key,
        region_name="us-east-1",
    )
    key = f"stack-test/{time.time_ns()}"
    s3.put_object(Bucket=stack.bucket, Key=key, Body=b"one", IfNoneMatch="*")
    with pytest.raises(ClientError, match="PreconditionFailed"):
        s3.put_object(Bucket=stack.bucket, Key=key, Body=b"two", IfNoneMatch="*")
    assert s3.get_bucket_versioning(Bucket=stack.bucket)["Status"] == "Enabled"
    lock = s3.get_object_lock_configuration(Bucket=stack.bucket)["ObjectLockConfiguration"]
    assert lock["ObjectLockEnabled"] == "Enabled"


def test_prometheus_asks_the_world_for_its_targets(stack: Stack) -> None:
    answer = httpx.get(f"{stack.prometheus_url}/api/v1/status/config", trust_env=False)
    assert f"{stack.world_url}/sd" in answer.json()["data"]["yaml"]


def deployment(tag: str) -> dict[str, object]:
    image = f"registry.teei.example/toy:{tag}@sha256:{'a' * 64}"
    template = {
        "metadata": {"labels": {"app": "toy"}},
        "spec": {"containers": [{"name": "toy", "image": image}]},
    }
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": "toy", "namespace": NAMESPACE},
        "spec": {
            "replicas": 2,
            "selector": {"matchLabels": {"app": "toy"}},
            "strategy": {"rollingUpdate": {"maxUnavailable": 0, "maxSurge": 1}},
            "template": template,
        },
    }


def rolled_out(api: KubeApi) -> bool:
    found = api.get(f"{APPS}/toy") or {}
    status = found.get("status", {})
    current = status.get("observedGeneration") == found.get("metadata", {}).get("generation")
    counts = [status.get(name) for name in ("replicas", "updatedReplicas", "availableReplicas")]
    return current and counts == [2, 2, 2]


def crash_looping(api: KubeApi) -> bool:
    pods = (api.get(PODS) or {"items": []})["items"]
    states = [s for pod in pods for s in pod["status"].get("containerStatuses", [])]
    return any(state["restartCount"] >= 2 and not state["ready"] for state in states)


def test_rollout_crash_loop_logs_and_audit(stack: Stack, api: KubeApi, tmp_path: Path) -> None:
    before = Path(stack.kube_audit_log).stat().st_size  # earlier runs are in it too
    body = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NAMESPACE}}
    api.create("/api/v1/namespaces", body)
    api.apply(f"{APPS}/toy", deployment("1"))
    wait("the first rollout", lambda: rolled_out(api))
    pod = (api.get(PODS) or {})["items"][0]
    container = pod["status"]["containerStatuses"][0]
    assert container["imageID"] == container["image"]

    log = tmp_path / "pod.log"
    log.write_text("2026-01-01T00:00:00.000000000Z stdout F hello from the pod\n")
    name, uid = pod["metadata"]["name"], pod["metadata"]["uid"]
    collection = f"/apis/kwok.x-k8s.io/v1alpha1/namespaces/{NAMESPACE}/logs"
    api.create(collection, kubelet.pod_logs(NAMESPACE, name, log, uid=uid))
    wait("the pod's log", lambda: api.text(f"{PODS}/{name}/log") == (200, "hello from the pod\n"))

    api.apply(f"{APPS}/toy", deployment("2-crashloop"))
    wait("a crash loop", lambda: crash_looping(api))
    status = (api.get(f"{APPS}/toy") or {})["status"]
    assert (status["availableReplicas"], status["updatedReplicas"]) == (2, 1)
    api.apply(f"{APPS}/toy", deployment("3"))
    wait("the cure", lambda: rolled_out(api))

    with Path(stack.kube_audit_log).open() as audit:
        audit.seek(before)
        lines = [json.loads(line) for line in audit if line.endswith("\n")]
    mine = [e for e in lines if e.get("objectRef", {}).get("namespace") == NAMESPACE]
    written = [e for e in mine if e["objectRef"]["resource"] == "deployments"]
    assert [e["user"]["username"] for e in written] == ["admin"] * 3
    assert "2-crashloop" in json.dumps(written[1]["requestObject"])


def test_slipway_may_do_nothing_without_a_role(stack: Stack) -> None:
    config = json.loads(Path(stack.kube_slipway_kubeconfig).read_text())
    token = config["users"][0]["user"]["token"]
    layout = Layout.open(Path(stack.run_dir), running=True)
    with KubeApi(layout, token=token) as slipway:
        assert slipway.text("/api/v1/namespaces/kube-system/secrets")[0] == 403
        assert slipway.text("/readyz")[0] == 200


def test_pod_stages_can_be_replaced_by_digest(api: KubeApi) -> None:
    expected = {stage["metadata"]["name"] for stage in stages.pod_stages()}
    items = (api.get(stages.COLLECTION) or {"items": []})["items"]
    assert expected <= {item["metadata"]["name"] for item in items}


@pytest.fixture
def own(tmp_path: Path) -> Iterator[Layout]:
    """A second, small stack: killing the shared servers would disturb other tests."""
    layout = Layout.open(tmp_path / "stack", running=False)
    yield layout
    up.down(layout.root, everything=True, tell=lambda _: None)


def no_wait(port: int) -> None:
    wait(f"port {port} to be free", lambda: is_free(port))


def killed_and_brought_up(server: Server, processes: Processes) -> None:
    pid = processes.pid(server.name)
    assert pid is not None
    os.kill(pid, signal.SIGKILL)
    wait(f"{server.name} to be dead", lambda: processes.pid(server.name) is None)
    assert bring_up(server, processes, no_wait) is True
    assert processes.pid(server.name) not in {None, pid}


def test_postgres_keeps_its_rows_when_killed(own: Layout) -> None:
    processes, server = Processes(own.root), postgres.server(own)
    assert bring_up(server, processes, no_wait) is True
    assert bring_up(server, processes, no_wait) is False
    address = f"host=127.0.0.1 port={own.ports['postgres']} dbname=postgres user=postgres"
    with psycopg.connect(address, password=own.secrets["postgres"]) as session:
        session.execute("CREATE TABLE kept AS SELECT 42 AS answer")
    killed_and_brought_up(server, processes)
    with psycopg.connect(address, password=own.secrets["postgres"]) as session:
        assert session.execute("SELECT answer FROM kept").fetchone() == (42,)


async def test_temporal_keeps_its_workflows_when_killed(own: Layout) -> None:
    processes = Processes(own.root)
    server = temporal.server(own, build.ensure()["temporal-server"])
    await in_thread(lambda: bring_up(server, processes, no_wait))
    client = await Client.connect(own.address("temporal"))
    await client.start_workflow("Nobody", id="kept", task_queue="none")
    await in_thread(lambda: killed_and_brought_up(server, processes))
    client = await Client.connect(own.address("temporal"))
    description = await client.get_workflow_handle("kept").describe()
    assert description.workflow_type == "Nobody"


async def in_thread(work: Callable[[], object]) -> None:
    """Run blocking work that has an event loop of its own."""
    await asyncio.to_thread(work)


def test_compose_file_is_valid() -> None:
    servers = {"temporal", "temporal-ui", "postgres", "s3", "prometheus", "kubernetes", "grafana"}
    ours = {"world", "worker-workflow", "worker-privileged", "release", "slipway"}
    assert servers | ours <= set(compose.services())


@pytest.mark.parametrize(
    ("right", "wrong", "complaint"),
    [
        ("condition: service_healthy", "condition: service_wealthy", "condition"),
        ("dockerfile:", "dokerfile:", "dokerfile"),
        ("      s3-folders:\n", "      s3-folder:\n", "s3-folder"),
    ],
)
def test_a_wrong_compose_file_is_refused(
    tmp_path: Path, right: str, wrong: str, complaint: str
) -> None:
    text = (CHECKOUT / "docker-compose.yml").read_text()
    assert right in text
    file = tmp_path / "docker-compose.yml"
    file.write_text(text.replace(right, wrong))
    with pytest.raises(StackError, match=complaint):
        compose.services(file)
