"""The manifests of deploy/k8s against a real API server: it would take every one of them."""

import uuid
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
import yaml

from devstack.layout import CHECKOUT
from devstack.stack import Stack
from devstack.world import cluster, kube

pytestmark = pytest.mark.stack
FOLDER = CHECKOUT / "deploy" / "k8s"
DOCUMENTS: list[dict[str, Any]] = [
    document
    for file in sorted(FOLDER.glob("*.yaml"))
    for document in yaml.safe_load_all(file.read_text())
]
GROUPS = {
    "v1": "/api/v1",
    "apps/v1": "/apis/apps/v1",
    "policy/v1": "/apis/policy/v1",
    "rbac.authorization.k8s.io/v1": "/apis/rbac.authorization.k8s.io/v1",
}


@pytest.fixture(scope="module")
def namespace(stack: Stack) -> Iterator[str]:
    """A namespace for what has one: only the objects in it are tried, none is made."""
    name = f"manifests-{uuid.uuid4().hex[:8]}"
    with kube.Kube(stack) as api:
        body = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}}
        api.create("/api/v1/namespaces", body)
    yield name
    cluster.remove(stack, [name])


def tried(stack: Stack, namespace: str, document: dict[str, Any]) -> httpx.Response:
    """Apply a document without writing it; unknown fields are errors."""
    plural = f"{document['kind'].lower()}s"
    group, name = GROUPS[document["apiVersion"]], document["metadata"]["name"]
    if document["kind"] == "Namespace":
        path, body = f"{group}/{plural}/{name}", document
    else:
        path = f"{group}/namespaces/{namespace}/{plural}/{name}"
        body = {**document, "metadata": {**document["metadata"], "namespace": namespace}}
    with httpx.Client(**kube.settings(stack)) as client:
        return client.patch(
            path,
            params={"fieldManager": "test", "dryRun": "All", "fieldValidation": "Strict"},
            content=yaml.safe_dump(body),
            headers={"Content-Type": "application/apply-patch+yaml"},
        )


@pytest.mark.parametrize(
    "document", DOCUMENTS, ids=lambda one: f"{one['kind']}-{one['metadata']['name']}"
)
def test_the_server_would_take_it(stack: Stack, namespace: str, document: dict[str, Any]) -> None:
    answer = tried(stack, namespace, document)
    assert answer.is_success, answer.text


def test_the_server_would_refuse_a_field_that_it_does_not_know(
    stack: Stack, namespace: str
) -> None:
    document = next(one for one in DOCUMENTS if one["kind"] == "PodDisruptionBudget")
    wrong = {**document, "spec": {**document["spec"], "minAvailible": 1}}
    answer = tried(stack, namespace, wrong)
    assert answer.is_error
    assert "minAvailible" in answer.text
