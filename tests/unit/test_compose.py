"""docker-compose.yml and what it mounts agree with the local stack, as far as reading tells."""

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from activities.adapters.kube_api import KubeApi
from devstack import versions
from devstack.errors import StackError
from devstack.stack import Stack
from devstack.world import kube, node
from devstack.world.compose import ENVIRONMENT
from devstack.world.release import SMOKE_PASSWORD
from slipway.addresses import loopback

ROOT = Path(__file__).resolve().parents[2]
DOCUMENT: dict[str, Any] = yaml.safe_load((ROOT / "docker-compose.yml").read_text())
SERVICES: dict[str, dict[str, Any]] = DOCUMENT["services"]
DOCKERFILE = (ROOT / "deploy" / "Dockerfile").read_text()
IMAGES = sorted({one["image"] for one in SERVICES.values() if "image" in one})
BASES = [
    name
    for name in re.findall(r"^FROM (\S+)", DOCKERFILE, re.M)
    if name not in re.findall(r" AS (\w+)$", DOCKERFILE, re.M)
]


@pytest.mark.parametrize("image", [*IMAGES, *BASES])
def test_every_image_is_pinned(image: str) -> None:
    tag = image.rpartition("/")[2].partition(":")[2]
    assert re.search(r"\d+\.\d+", tag), image


@pytest.mark.parametrize(
    ("image", "version"),
    [
        ("temporalio/server", versions.TEMPORAL),
        ("temporalio/admin-tools", versions.TEMPORAL),
        ("temporalio/ui", versions.TEMPORAL_UI),
        ("versity/versitygw", f"v{versions.VERSITYGW}"),
        ("prom/prometheus", f"v{versions.PROMETHEUS}"),
        ("grafana/grafana", versions.GRAFANA),
        ("registry.k8s.io/kwok/cluster", f"v{versions.KWOK}-k8s.v{versions.KWOK_KUBERNETES}"),
        ("registry.k8s.io/pause", versions.PAUSE),
    ],
)
def test_versions_are_those_of_the_local_stack(image: str, version: str) -> None:
    assert {one for one in IMAGES if one.startswith(f"{image}:")} == {f"{image}:{version}"}


def test_nothing_else_is_run() -> None:
    others = {one for one in IMAGES if one.startswith("postgres:")}
    assert {one.partition(":")[2].partition(".")[0] for one in others} == {versions.POSTGRES}
    assert f"postgres:{versions.POSTGRES}." in DOCKERFILE
    assert len(IMAGES) == 8 + len(others)


def test_kwok_s_kubernetes_is_of_the_stack_s_line() -> None:
    ours = versions.KUBERNETES.rpartition(".")[0]
    assert versions.KWOK_KUBERNETES.rpartition(".")[0] == ours


def test_the_image_has_the_stack_s_pnpm() -> None:
    assert f"pnpm@{node.PNPM}" in DOCKERFILE


@pytest.mark.parametrize("name", SERVICES)
def test_every_port_is_on_loopback(name: str) -> None:
    for port in SERVICES[name].get("ports", []):
        assert re.fullmatch(r"127\.0\.0\.1:\d+:\d+", port), port


def test_no_port_is_published_twice() -> None:
    published = [port.split(":")[1] for one in SERVICES.values() for port in one.get("ports", [])]
    assert len(set(published)) == len(published) == 7


@pytest.mark.parametrize("name", SERVICES)
def test_what_is_waited_for_can_be_waited_for(name: str) -> None:
    for other, how in SERVICES[name].get("depends_on", {}).items():
        if how["condition"] == "service_healthy":
            assert "healthcheck" in SERVICES[other], other
        else:
            assert how["condition"] == "service_completed_successfully"
            assert "restart" not in SERVICES[other], f"{other} would never end"


def test_whatever_goes_on_running_is_checked() -> None:
    lasting = {name for name, one in SERVICES.items() if one.get("restart") == "unless-stopped"}
    unchecked = {name for name in lasting if "healthcheck" not in SERVICES[name]}
    assert unchecked == {"loopback"}, "there is no program in it that could look"
    assert "depends_on" not in SERVICES["loopback"]


@pytest.mark.parametrize("name", SERVICES)
def test_what_is_mounted_exists(name: str) -> None:
    for mount in SERVICES[name].get("volumes", []):
        source = mount.split(":")[0]
        if source.startswith("."):
            assert (ROOT / source).exists(), source
            assert mount.endswith(":ro"), mount
        else:
            assert source in DOCUMENT["volumes"], source


@pytest.mark.parametrize("name", SERVICES)
def test_what_is_run_from_a_mount_is_in_it(name: str) -> None:
    mounts = [mount.split(":") for mount in SERVICES[name].get("volumes", [])]
    bound = {target: source for source, target, *_ in mounts if source.startswith(".")}
    words = [*SERVICES[name].get("entrypoint", []), *SERVICES[name].get("command", [])]
    for word in words:
        path = word.partition("=")[2] or word
        if path.startswith(("/scripts/", "/etc/slipway")):
            root = next(target for target in bound if path.startswith(target))
            assert (ROOT / bound[root]).joinpath(path[len(root) :].lstrip("/")).exists(), path


def test_builds_name_targets_that_there_are() -> None:
    wanted = {one["build"]["target"] for one in SERVICES.values() if "build" in one}
    assert wanted == {"world", "worker"}
    assert wanted <= set(re.findall(r"^FROM \S+ AS (\w+)$", DOCKERFILE, re.M))
    assert DOCKERFILE.rstrip().endswith('AS worker\nCMD ["python", "-m", "worker"]')


def test_the_world_finds_every_server_and_all_of_them_on_loopback() -> None:
    environment = SERVICES["world"]["environment"]
    stack = Stack.from_environment(environment)
    assert environment == SERVICES["seed"]["environment"] == SERVICES["release"]["environment"]
    assert stack.pg_port == 5432
    addresses = [stack.s3_endpoint, stack.prometheus_url, stack.world_url, stack.webhook_url]
    for address in [*addresses, stack.kube_server, f"//{stack.pg_host}"]:
        host = re.sub(r"^.*//|[:/].*$", "", address.removeprefix("http:"))
        assert loopback(host), address
    together = {name for name, one in SERVICES.items() if "network_mode" in one}
    servers = {"postgres", "s3", "kubernetes", "prometheus", "world"}
    assert servers | {"worker-workflow", "worker-privileged"} <= together


def test_a_world_without_addresses_says_which_are_missing() -> None:
    environment = dict(SERVICES["world"]["environment"])
    del environment["DEVSTACK_BUCKET"]
    with pytest.raises(StackError, match="DEVSTACK_BUCKET"):
        Stack.from_environment(environment)
    with pytest.raises(StackError, match="DEVSTACK_PG_PORT is no port"):
        Stack.from_environment({**SERVICES["world"]["environment"], "DEVSTACK_PG_PORT": "x"})


def test_prometheus_asks_the_world_and_both_workers() -> None:
    config = yaml.safe_load((ROOT / "deploy" / "compose" / "prometheus.yml").read_text())
    jobs = {one["job_name"]: one for one in config["scrape_configs"]}
    world = SERVICES["world"]["environment"]["DEVSTACK_WORLD_URL"]
    assert jobs["teei"]["http_sd_configs"][0]["url"] == f"{world}/sd"
    workers = [
        one for group in jobs["slipway-worker"]["static_configs"] for one in group["targets"]
    ]
    served = [SERVICES[f"worker-{role}"]["environment"] for role in ("workflow", "privileged")]
    assert workers == [one["SLIPWAY_METRICS"] for one in served]


def test_the_workers_hold_what_the_demo_needs_and_one_of_them_no_credential() -> None:
    workflow, privileged = (
        SERVICES[f"worker-{role}"]["environment"] for role in ("workflow", "privileged")
    )
    assert privileged["TEEI_SMOKE_PASSWORD"] == SMOKE_PASSWORD
    assert not [one for one in workflow if one.startswith(("AWS_", "KUBE", "TEEI_"))]
    healthy = " ".join(SERVICES["world"]["healthcheck"]["test"])
    assert f'["{ENVIRONMENT}"]' in healthy


def test_world_and_worker_reach_the_cluster_by_the_same_kubeconfig(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    file = ROOT / "deploy" / "compose" / "kubeconfig.yaml"
    environment = SERVICES["world"]["environment"]
    stack = Stack.from_environment({**environment, "DEVSTACK_KUBE_WORLD_KUBECONFIG": str(file)})
    assert kube.settings(stack)["base_url"] == stack.kube_server
    monkeypatch.setenv("KUBECONFIG", str(file))
    api = KubeApi.connect()
    assert api.host == stack.kube_server
    api.close()
