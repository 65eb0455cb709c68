"""Kubernetes objects for tests: small builders of raw JSON."""

from copy import deepcopy
from typing import Any

UID = "11111111-1111-1111-1111-111111111111"
OLD, NEW = "reg/app@sha256:" + "a" * 64, "reg/app@sha256:" + "b" * 64
Raw = dict[str, Any]


def template(image: str = OLD) -> Raw:
    return {
        "metadata": {"labels": {"app": "buddy"}},
        "spec": {
            "containers": [{"name": "app", "image": image, "futureField": {"kept": True}}],
            "unknownToday": 1,
        },
    }


def deployment(
    image: str = OLD,
    *,
    replicas: int = 2,
    uid: str = UID,
    annotations: dict[str, str] | None = None,
    **status: Any,
) -> Raw:
    rested = {
        "observedGeneration": 3,
        "replicas": replicas,
        "updatedReplicas": replicas,
        "availableReplicas": replicas,
        "readyReplicas": replicas,
        "conditions": [{"type": "Available", "status": "True"}],
    }
    return {
        "metadata": {
            "name": "buddy",
            "namespace": "prod",
            "uid": uid,
            "resourceVersion": "77",
            "generation": 3,
            **({"annotations": annotations} if annotations else {}),
        },
        "spec": {
            "replicas": replicas,
            "selector": {"matchLabels": {"app": "buddy"}},
            "template": template(image),
        },
        "status": {**rested, **status},
    }


def replica_set(image: str, pod_hash: str, *, ready: int = 2, created: str = "01") -> Raw:
    own = deepcopy(template(image))
    own["metadata"]["labels"]["pod-template-hash"] = pod_hash
    return {
        "metadata": {
            "name": f"buddy-{pod_hash}",
            "uid": f"rs-{pod_hash}",
            "generation": 1,
            "creationTimestamp": f"2026-11-{created}T00:00:00Z",
            "labels": {"pod-template-hash": pod_hash},
            "ownerReferences": [{"uid": UID, "controller": True, "kind": "Deployment"}],
        },
        "spec": {"template": own},
        "status": {"observedGeneration": 1, "replicas": ready, "readyReplicas": ready},
    }


def pod(pod_hash: str, suffix: str, *, container: Raw | None = None, **status: Any) -> Raw:
    one = {"name": "app", "restartCount": 0, "state": {"running": {}}, "imageID": NEW}
    return {
        "metadata": {
            "name": f"buddy-{pod_hash}-{suffix}",
            "namespace": "prod",
            "creationTimestamp": "2026-11-23T20:00:00Z",
            "labels": {"pod-template-hash": pod_hash},
            "ownerReferences": [
                {
                    "uid": f"rs-{pod_hash}",
                    "controller": True,
                    "kind": "ReplicaSet",
                    "name": f"buddy-{pod_hash}",
                }
            ],
        },
        "status": {
            "conditions": [{"type": "Ready", "status": "True"}],
            "containerStatuses": [{**one, **(container or {})}],
            **status,
        },
    }


def waiting(reason: str, message: str = "", *, restarts: int = 0) -> Raw:
    """The status of a container that waits, after `restarts` ends with an error."""
    ended = {"terminated": {"reason": "Error", "exitCode": 1}} if restarts else {}
    return {
        "restartCount": restarts,
        "state": {"waiting": {"reason": reason, "message": message}},
        "lastState": ended,
    }
