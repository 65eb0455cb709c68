"""kwok: nodes and pods without containers. Pod logs can be read through the API.

A pod's log is a file in CRI format that a `Logs` object (same name and namespace as the pod)
points to: see `pod_logs`.
"""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any, Protocol

import httpx

from devstack import ports
from devstack.errors import StackError
from devstack.layout import HOST, Layout
from devstack.process import Spec
from devstack.servers import stages
from devstack.servers.kube_api import KubeApi
from devstack.servers.server import Server

NAME = "kwok"
NODES = ("node-1", "node-2", "node-3")
GROUP = "kwok.x-k8s.io"
KINDS = {"Stage": "Cluster", "Logs": "Namespaced"}
CRD_SECONDS = 30.0


class Api(Protocol):
    """The calls that declare something."""

    def get(self, path: str) -> dict[str, Any] | None:
        """Return an object, or None where there is none."""

    def create(self, collection: str, body: dict[str, Any]) -> bool:
        """Create an object; False where it is there already."""

    def apply(self, path: str, body: dict[str, Any]) -> None:
        """Make the object what `body` says."""


def server(layout: Layout, program: Path) -> Server:
    """The simulated kubelet of all nodes."""
    folder = layout.config("kubernetes")
    argv = (
        str(program),
        f"--kubeconfig={folder / 'control-plane.kubeconfig'}",
        "--manage-all-nodes=true",
        "--v=WARN",
        "--node-lease-duration-seconds=40",
        f"--enable-crds={','.join(KINDS)}",
        "--cidr=10.64.0.1/16",
        f"--node-ip={HOST}",
        f"--node-port={layout.ports[NAME]}",
        f"--server-address={layout.address(NAME)}",
        f"--tls-cert-file={folder / 'server.crt'}",
        f"--tls-private-key-file={folder / 'server.key'}",
    )
    return Server(
        name=NAME,
        port=layout.ports[NAME],
        prepare=lambda: Spec(NAME, argv, env={"HOME": str(folder)}),
        missing=lambda: _missing(layout),
    )


def declare(layout: Layout) -> None:
    """Tell the cluster of kwok's kinds, of the stages and of the nodes. Idempotent.

    Stages of an older stack are replaced: its ready stage would heal pods of newer faults.
    """
    with KubeApi(layout) as api:
        for kind, scope in KINDS.items():
            definition = _definition(kind, scope)
            collection = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
            api.apply(f"{collection}/{definition['metadata']['name']}", definition)
        populate(api)


def populate(api: Api) -> None:
    """Declare stages and nodes, once kwok's kinds are served. Idempotent."""
    _wait_for_kinds(api)
    for stage in [*stages.node_stages(), *stages.pod_stages()]:
        api.apply(stages.path(stage), stage)
    for name in NODES:
        api.create("/api/v1/nodes", _node(name))


def pod_logs(namespace: str, pod: str, file: Path, *, uid: str = "") -> dict[str, Any]:
    """The object that makes `file` (CRI format) the log of a pod's containers.

    Created at `/apis/kwok.x-k8s.io/v1alpha1/namespaces/<namespace>/logs`. With the pod's `uid`
    it disappears together with the pod.
    """
    owner = {"apiVersion": "v1", "kind": "Pod", "name": pod, "uid": uid}
    metadata: dict[str, Any] = {"name": pod, "namespace": namespace}
    if uid:
        metadata["ownerReferences"] = [owner]
    log = {"logsFile": str(file), "previousLogsFile": str(file)}
    return {
        "apiVersion": f"{GROUP}/v1alpha1",
        "kind": "Logs",
        "metadata": metadata,
        "spec": {"logs": [log]},
    }


def _missing(layout: Layout) -> str | None:
    """Ready when kwok answers and every node is ready (also still, from an earlier run)."""
    if not ports.answers(layout.ports[NAME]):
        return "its kubelet endpoint does not answer"
    try:
        with KubeApi(layout) as api:
            for name in NODES:
                node = api.get(f"/api/v1/nodes/{name}") or {}
                conditions = node.get("status", {}).get("conditions", [])
                if not any(c["type"] == "Ready" and c["status"] == "True" for c in conditions):
                    return f"{name} is not ready"
    except (httpx.HTTPError, StackError) as error:
        return f"{type(error).__name__}: {error}"
    return None


def _wait_for_kinds(api: Api) -> None:
    deadline = time.monotonic() + CRD_SECONDS
    plurals = {_plural(kind) for kind in KINDS}
    while True:
        found = api.get(f"/apis/{GROUP}/v1alpha1") or {"resources": []}
        if plurals <= {resource["name"] for resource in found["resources"]}:
            return
        if time.monotonic() > deadline:
            raise StackError(f"Kubernetes does not serve kwok's kinds after {CRD_SECONDS:.0f} s.")
        time.sleep(0.05)


def _definition(kind: str, scope: str) -> dict[str, Any]:
    """A kind whose fields only kwok checks."""
    schema = {"type": "object", "x-kubernetes-preserve-unknown-fields": True}
    version = {
        "name": "v1alpha1",
        "served": True,
        "storage": True,
        "schema": {"openAPIV3Schema": schema},
        "subresources": {"status": {}},
    }
    names = {
        "kind": kind,
        "listKind": f"{kind}List",
        "plural": _plural(kind),
        "singular": kind.lower(),
    }
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": f"{_plural(kind)}.{GROUP}"},
        "spec": {"group": GROUP, "names": names, "scope": scope, "versions": [version]},
    }


def _plural(kind: str) -> str:
    return kind.lower() if kind.endswith("s") else f"{kind.lower()}s"


def _node(name: str) -> dict[str, Any]:
    return {
        "apiVersion": "v1",
        "kind": "Node",
        "metadata": {
            "name": name,
            "annotations": {"kwok.x-k8s.io/node": "fake"},
            "labels": {"kubernetes.io/hostname": name, "kubernetes.io/os": "linux"},
        },
        "spec": {"providerID": f"kwok://{name}"},
    }
