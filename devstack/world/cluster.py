"""The Kubernetes objects of an environment: namespaces, Deployments, slipway's few rights."""

import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import yaml

from devstack.errors import StackError
from devstack.world import layout
from devstack.world.catalog import SERVICES, ServiceSpec
from devstack.world.images import image
from devstack.world.kube import Kube

if TYPE_CHECKING:
    from devstack.stack import Stack

MARKER = "slipway.teei/local-stack"
"""Label of a namespace that says: this is the local stack, lengths may be divided."""
_RBAC = layout.REPOSITORY / "deploy" / "k8s"
_GOING = 240.0
"""Seconds that a namespace may take to go."""
_BETWEEN_LOOKS = 0.2
_KINDS = {"Role": "roles", "RoleBinding": "rolebindings"}


def ensure(
    stack: "Stack", production: str, staging: str, live_version: str, staged: dict[str, str]
) -> None:
    """Create an environment's objects; Deployments that are there are left as they are.

    `staged` gives staging's image for each service.
    """
    live = {service.name: image(service.name, live_version) for service in SERVICES}
    with Kube(stack) as kube:
        for namespace, rules in ((production, "production"), (staging, "staging")):
            create_namespace(kube, namespace, rules)
        for service in SERVICES:
            create_deployment(kube, production, service, live[service.name], service.replicas)
            create_deployment(
                kube, staging, service, staged[service.name], service.staging_replicas
            )


def create_namespace(kube: Kube, name: str, rules: str) -> None:
    """Create a namespace of the local stack in which slipway has the rights that `deploy/k8s`
    grants it in `rules`: production or staging."""
    _namespace(kube, name)
    _rights(kube, name, rules)


def create_deployment(
    kube: Kube, namespace: str, service: ServiceSpec, image_reference: str, replicas: int
) -> bool:
    """Create a service's Deployment; return False when it is there already."""
    body = deployment(namespace, service, image_reference, replicas)
    return kube.create(f"/apis/apps/v1/namespaces/{namespace}/deployments", body)


def set_image(kube: Kube, namespace: str, service: str, image_reference: str) -> None:
    """Give a Deployment another image, as a team deploying to staging does."""
    container = {"name": "app", "image": image_reference}
    path = f"/apis/apps/v1/namespaces/{namespace}/deployments/{service}"
    current = kube.get(path)
    if current is None:
        raise StackError(f"Deployment {namespace}/{service} is missing: create the environment.")
    containers = current["spec"]["template"]["spec"]["containers"]
    changed = [{**one, **container} if one["name"] == "app" else one for one in containers]
    kube.merge(path, {"spec": {"template": {"spec": {"containers": changed}}}})


def remove(stack: "Stack", namespaces: list[str]) -> None:
    """Remove namespaces and wait until they are gone."""
    with Kube(stack) as kube:
        for namespace in namespaces:
            kube.delete(f"/api/v1/namespaces/{namespace}")
        _wait(lambda: _going(kube, namespaces), _GOING)


def _going(kube: Kube, namespaces: list[str]) -> str:
    for namespace in namespaces:
        if kube.get(f"/api/v1/namespaces/{namespace}") is not None:
            return f"Namespace {namespace} does not end: look at its finalizers."
    return ""


def _wait(missing: Callable[[], str], seconds: float) -> None:
    """Wait until nothing is missing. Raises StackError with the sentence that says what is.

    The API is asked again and again: one short question, where a watch would have to be opened,
    resumed and closed.
    """
    until = time.monotonic() + seconds
    while said := missing():
        if time.monotonic() > until:
            raise StackError(said)
        time.sleep(_BETWEEN_LOOKS)


def wait_ready(stack: "Stack", namespaces: list[str], *, deadline: float = 300.0) -> None:
    """Wait until every Deployment of the namespaces has all its replicas available."""
    with Kube(stack) as kube:

        def missing() -> str:
            waiting = [one for name in namespaces for one in _unready(kube, name)]
            return f"Not ready after {deadline:.0f} s: {', '.join(waiting)}." if waiting else ""

        _wait(missing, deadline)


def deployment(
    namespace: str, service: ServiceSpec, image_reference: str, replicas: int
) -> dict[str, Any]:
    """Return a service's Deployment as a team would write it."""
    labels = {"app": service.name, "app.kubernetes.io/part-of": "teei"}
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": service.name, "namespace": namespace, "labels": labels},
        "spec": {
            "replicas": replicas,
            "revisionHistoryLimit": 10,
            "progressDeadlineSeconds": 600,
            "strategy": {
                "type": "RollingUpdate",
                "rollingUpdate": {"maxUnavailable": 0, "maxSurge": 1},
            },
            "selector": {"matchLabels": {"app": service.name}},
            "template": {"metadata": {"labels": labels}, "spec": _pod(service, image_reference)},
        },
    }


def _pod(service: ServiceSpec, image_reference: str) -> dict[str, Any]:
    container: dict[str, Any] = {
        "name": "app",
        "image": image_reference,
        "env": [{"name": "NODE_ENV", "value": "production"}],
        "resources": {
            "requests": {"cpu": "50m", "memory": "64Mi"},
            "limits": {"memory": "256Mi"},
        },
    }
    if service.has_http:
        container["ports"] = [{"name": "http", "containerPort": service.port}]
    return {"containers": [container], "terminationGracePeriodSeconds": 5}


def _namespace(kube: Kube, name: str) -> None:
    labels = {MARKER: "true"}
    there = kube.get(f"/api/v1/namespaces/{name}")
    if there is not None and there["metadata"].get("deletionTimestamp"):  # somebody removes it
        _wait(lambda: _going(kube, [name]), _GOING)
    body = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name, "labels": labels}}
    if not kube.create("/api/v1/namespaces", body):
        kube.merge(f"/api/v1/namespaces/{name}", {"metadata": {"labels": labels}})


def _rights(kube: Kube, namespace: str, rules: str) -> None:
    documents = yaml.safe_load_all((_RBAC / f"{rules}-rbac.yaml").read_text())
    for document in documents:
        document["metadata"]["namespace"] = namespace
        plural, name = _KINDS[document["kind"]], document["metadata"]["name"]
        base = f"/apis/rbac.authorization.k8s.io/v1/namespaces/{namespace}"
        kube.apply(f"{base}/{plural}/{name}", document)


def _unready(kube: Kube, namespace: str) -> list[str]:
    found = kube.get(f"/apis/apps/v1/namespaces/{namespace}/deployments") or {"items": []}
    return [
        f"{namespace}/{item['metadata']['name']}"
        for item in found["items"]
        if item.get("status", {}).get("availableReplicas", 0) < item["spec"]["replicas"]
        or item.get("status", {}).get("observedGeneration", 0) < item["metadata"]["generation"]
        or item.get("status", {}).get("updatedReplicas", 0) < item["spec"]["replicas"]
    ]
