"""Which Deployments may be replaced, how long rest is waited for, and what is kept of them."""

from typing import Any

import pytest

from slipway.errors import NotReplaceable
from slipway.judgements import capturing, workload
from tests.unit.judgements.objects import OLD, Raw, deployment, replica_set, template


def test_capture_keeps_fields_nobody_knows() -> None:
    kept = capturing.capture(deployment(), [replica_set(OLD, "old")], "app")
    assert kept.template == template(OLD)
    assert (kept.pod_hash, kept.replica_set, kept.replicas) == ("old", "buddy-old", 2)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda d: d["spec"].update(paused=True), "is paused"),
        (lambda d: d["status"].update(availableReplicas=1), "not at rest"),
        (lambda d: d["status"].update(observedGeneration=1), "not at rest"),
        (lambda d: d["spec"].update(replicas=0), "0 replicas"),
        (lambda d: d["metadata"].update(deletionTimestamp="x"), "being deleted"),
        (
            lambda d: d["metadata"].update(
                annotations={"argocd.argoproj.io/tracking-id": "teei:apps"}
            ),
            "Argo CD",
        ),
        (
            lambda d: d["metadata"].update(labels={"kustomize.toolkit.fluxcd.io/name": "x"}),
            "Flux",
        ),
        (
            lambda d: d["metadata"].update(labels={"app.kubernetes.io/managed-by": "Helm"}),
            "Helm",
        ),
        (
            lambda d: d["metadata"].update(
                managedFields=[
                    {
                        "manager": "argocd-application-controller",
                        "fieldsV1": {"f:spec": {"f:template": {}}},
                    }
                ]
            ),
            "Argo CD",
        ),
        (
            lambda d: d["metadata"].update(
                ownerReferences=[{"kind": "Rollout", "controller": True}]
            ),
            "Rollout",
        ),
    ],
)
def test_capture_refuses_what_must_not_be_replaced(change: Any, said: str) -> None:
    found = deployment()
    change(found)
    with pytest.raises(NotReplaceable, match=said):
        capturing.capture(found, [replica_set(OLD, "old")], "app")


FINISHED = [
    {"type": "Available", "status": "False"},
    {"type": "Progressing", "status": "True", "reason": "NewReplicaSetAvailable"},
]
UNDER_WAY = [{"type": "Progressing", "status": "True", "reason": "ReplicaSetUpdated"}]


@pytest.mark.parametrize(
    ("status", "change", "seconds"),
    [
        ({}, {}, 0.0),
        ({"availableReplicas": 1, "conditions": FINISHED}, {}, 600.0),  # a pod is not ready yet
        ({"observedGeneration": 2, "conditions": FINISHED}, {}, 600.0),  # scaled only now
        ({"updatedReplicas": 1, "replicas": 1, "conditions": FINISHED}, {}, 600.0),
        ({"updatedReplicas": 1, "replicas": 2, "conditions": FINISHED}, {}, capturing.MOMENT),
        ({"availableReplicas": 1, "conditions": UNDER_WAY}, {}, capturing.MOMENT),
        ({"availableReplicas": 1, "conditions": []}, {}, capturing.MOMENT),
        ({"availableReplicas": 1, "conditions": FINISHED}, {"paused": True}, 0.0),
    ],
)
def test_only_replicas_that_come_and_go_are_worth_a_long_wait(
    status: dict[str, Any], change: Raw, seconds: float
) -> None:
    found = deployment(**status)
    found["spec"] |= change
    assert capturing.patience(found, "app", 600.0) == seconds
    if seconds:
        assert capturing.patience(found, "app", 0.0) == capturing.MOMENT


def test_terraform_is_known_by_the_manager_that_its_user_agent_gives() -> None:
    found = deployment()
    found["metadata"]["managedFields"] = [
        {"manager": "HashiCorp", "fieldsV1": {"f:spec": {"f:template": {}}}}
    ]
    assert workload.owners(found) == ["Terraform"]


def test_managers_that_own_no_template_are_welcome() -> None:
    found = deployment()
    found["metadata"]["managedFields"] = [
        {"manager": "kubectl-client-side-apply", "fieldsV1": {"f:spec": {"f:template": {}}}},
        {"manager": "helm", "fieldsV1": {"f:metadata": {}}},
    ]
    assert workload.owners(found) == []
