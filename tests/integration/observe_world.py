"""An observer with exactly the rights that deploy/k8s grants it, a team that deploys with kubectl,
and the API server's own word on who has written what."""

import asyncio
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import yaml
from kubernetes import client as kubernetes
from kubernetes import config
from temporalio.client import WorkflowHandle

from activities.adapters.cluster import Cluster
from activities.adapters.kube_api import KubeApi
from devstack import ports
from devstack.layout import CHECKOUT, write_private
from devstack.stack import Stack
from devstack.world.images import image
from devstack.world.kube import settings
from slipway import names
from slipway.judgements.environment import OBSERVING_RIGHTS, Right
from slipway.messages.observe import Observation, ObserveState
from slipway.observed import Summary
from tests.integration.cluster_world import PLAN, ClusterWorld
from tests.integration.worker_process import wait_until_ready
from tests.workflow.harness import connect

ACCOUNT = "slipway-observer"
_RBAC = CHECKOUT / "deploy" / "k8s" / "observe-rbac.yaml"
_ROLES = "/apis/rbac.authorization.k8s.io/v1/namespaces/{}"


@dataclass
class Observer:
    """A service account bound to the shipped Role, in the namespace that it observes."""

    place: ClusterWorld
    folder: Path

    @property
    def user(self) -> str:
        """What the API server calls it."""
        return f"system:serviceaccount:{self.place.namespace}:{ACCOUNT}"

    @property
    def kubeconfig(self) -> Path:
        return self.folder / "observer.kubeconfig"

    def grant(self, without: Right | None = None) -> None:
        """Make account and Role as deploy/k8s says, or with one right less."""
        namespace = self.place.namespace
        with self.place.admin() as kube:
            body = {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": ACCOUNT}}
            kube.create(f"/api/v1/namespaces/{namespace}/serviceaccounts", body)
            for document in yaml.safe_load_all(_RBAC.read_text()):
                document["metadata"]["namespace"] = namespace
                for subject in document.get("subjects", []):
                    subject["namespace"] = namespace
                if document["kind"] == "Role" and without is not None:
                    document["rules"] = _rules([one for one in OBSERVING_RIGHTS if one != without])
                plural, name = f"{document['kind'].lower()}s", document["metadata"]["name"]
                kube.apply(f"{_ROLES.format(namespace)}/{plural}/{name}", document)

    def log_in(self) -> None:
        """Write a kubeconfig with a token of the account."""
        base = f"/api/v1/namespaces/{self.place.namespace}/serviceaccounts/{ACCOUNT}"
        body = {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": {}}
        with httpx.Client(**settings(self.place.stack)) as http:
            answer = http.post(f"{base}/token", json=body)
        assert answer.is_success, answer.text
        document = yaml.safe_load(Path(self.place.stack.kube_slipway_kubeconfig).read_text())
        document["users"][0]["user"] = {"token": answer.json()["status"]["token"]}
        write_private(self.kubeconfig, json.dumps(document))

    def cluster(self) -> Cluster:
        """The cluster as the observer may see it."""
        configuration = kubernetes.Configuration()
        config.load_kube_config(str(self.kubeconfig), client_configuration=configuration)
        return Cluster(KubeApi(configuration))

    def writes(self, since: int) -> list[dict[str, Any]]:
        """Every request of the observer that is no reading one, by the API server's audit log."""
        return [
            one for one in audited(self.place.stack, since) if one["user"]["username"] == self.user
        ]


def _rules(rights: list[Right]) -> list[dict[str, Any]]:
    return [
        {"apiGroups": [one.group], "resources": [one.kind], "verbs": [one.verb]} for one in rights
    ]


def audited(stack: Stack, since: int) -> Iterator[dict[str, Any]]:
    """The audit log after so many bytes: all that is not get, list or watch."""
    with Path(stack.kube_audit_log).open("rb") as log:
        log.seek(since)
        for line in log:
            if line.endswith(b"\n"):
                yield json.loads(line)


def audit_size(stack: Stack) -> int:
    return Path(stack.kube_audit_log).stat().st_size


@contextmanager
def observing_worker(observer: Observer, queue: str) -> Iterator[None]:
    """Run `python -m worker --role observe` with the observer's token and no other credential."""
    stack = observer.place.stack
    health = f"127.0.0.1:{ports.choose(['health'], {})['health']}"
    environment = {
        "PATH": os.environ["PATH"],
        "TEMPORAL_ADDRESS": stack.temporal_address,
        "TEMPORAL_NAMESPACE": stack.temporal_namespace,
        "KUBECONFIG": str(observer.kubeconfig),
        "SLIPWAY_TASK_QUEUE": queue,
        "SLIPWAY_HEALTH": health,
        "SLIPWAY_GRACE": "1",
        "PYTHONPATH": str(CHECKOUT),
    }
    argv = [sys.executable, "-m", "worker", "--role", "observe"]
    with (observer.folder / "observer.log").open("wb") as log:
        process = subprocess.Popen(argv, env=environment, stdout=log, stderr=log, cwd=CHECKOUT)
        try:
            wait_until_ready(process, f"http://{health}/readyz")
            yield
        finally:
            process.terminate()
            process.wait(120)


@dataclass
class Team:
    """A team with its own way of deploying: kubectl."""

    place: ClusterWorld

    async def set_image(self, service: str, version: str, fault: str | None = None) -> None:
        """`kubectl set image`, and no more."""
        await self._kubectl(
            "set", "image", f"deployment/{service}", f"app={image(service, version, fault)}"
        )

    async def undo(self, service: str) -> None:
        """`kubectl rollout undo`."""
        await self._kubectl("rollout", "undo", f"deployment/{service}")

    async def _kubectl(self, *arguments: str) -> None:
        stack = self.place.stack
        running = await asyncio.create_subprocess_exec(
            stack.kubectl,
            f"--kubeconfig={stack.kube_world_kubeconfig}",
            f"--namespace={self.place.namespace}",
            *arguments,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
        )
        said, _ = await running.communicate()
        assert running.returncode == 0, said.decode()


@dataclass
class Person:
    """Who runs `slipway observe`."""

    observer: Observer
    queue: str
    plan: Path
    overlay: Path

    async def slipway(self, *options: str) -> str:
        """Run the command and return what it printed."""
        stack = self.observer.place.stack
        running = await asyncio.create_subprocess_exec(
            sys.executable,
            *("-c", "from starter.cli import main; main()"),
            *("observe", str(self.plan), "--overlay", str(self.overlay), *options),
            cwd=CHECKOUT,
            env={
                "PATH": os.environ["PATH"],
                "TEMPORAL_ADDRESS": stack.temporal_address,
                "TEMPORAL_NAMESPACE": stack.temporal_namespace,
                "SLIPWAY_TASK_QUEUE": self.queue,
                "PYTHONPATH": str(CHECKOUT),
            },
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        out, err = await asyncio.wait_for(running.communicate(), 120)
        assert running.returncode == 0, err.decode() + out.decode()
        return out.decode()

    async def state(self) -> ObserveState:
        """Everything that the observer knows, without the cost of a command."""
        handle = await _handle(self.observer.place)
        found: ObserveState = await handle.query("observations", result_type=ObserveState)
        return found

    async def summary(self) -> tuple[Summary, list[Observation]]:
        """`slipway observe --summary --json`."""
        document = json.loads(await self.slipway("--summary", "--json"))
        seen = [Observation.model_validate(one) for one in document["observations"]]
        return Summary.model_validate(document["summary"]), seen


def observing_plan(folder: Path, **observe: str) -> Path:
    """Write the TEEI plan with another horizon; a rollout may take two minutes at a time scale of
    15, since ten of them share a small machine."""
    plan: dict[str, Any] = yaml.safe_load((CHECKOUT / PLAN).read_text())
    plan["observe"] = {**plan.get("observe", {}), **observe}
    plan["timings"] = {**plan.get("timings", {}), "rollout_deadline": "30m"}
    path = folder / "observing-plan.yaml"
    path.write_text(json.dumps(plan, indent=1))  # JSON quotes everything: the loader wants that
    return path


async def terminate(place: ClusterWorld) -> None:
    """Leave no observer behind."""
    handle = await _handle(place)
    if (await handle.describe()).close_time is None:
        await handle.terminate("the test is over")


async def _handle(place: ClusterWorld) -> WorkflowHandle[Any, ObserveState]:
    client = await connect(place.stack.temporal_address)
    return client.get_workflow_handle(
        names.observe_workflow_id(place.plan.environment), result_type=ObserveState
    )
