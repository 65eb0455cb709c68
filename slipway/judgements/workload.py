"""Reading Kubernetes objects, as raw JSON: what a Deployment runs, who owns it, whether it rests.

Raw JSON on purpose: typed models drop fields they do not know, and a template read through one
and written back would lose them.
"""

import hashlib
import json
from collections.abc import Iterable
from copy import deepcopy
from datetime import datetime
from typing import Any

from slipway.errors import BadInput

Raw = dict[str, Any]

FENCE = "slipway.teei/fence"
OP_ID = "slipway.teei/op-id"
WRITTEN = "slipway.teei/template-sha256"
"""Digest of the template slipway wrote: an undo overwrites only what slipway itself wrote."""
CAUSE = "kubernetes.io/change-cause"
HASH_LABEL = "pod-template-hash"
REVISION = "deployment.kubernetes.io/revision"
RESTARTED = "kubectl.kubernetes.io/restartedAt"
"""What `kubectl rollout restart` writes into a pod template, and nothing else."""

_OWNER_ANNOTATIONS = {
    "argocd.argoproj.io/tracking-id": "Argo CD",
    "meta.helm.sh/release-name": "Helm",
    "kapp.k14s.io/identity": "kapp",
    "objectset.rio.cattle.io/id": "Fleet",
    "configmanagement.gke.io/managed": "Config Sync",
}
_OWNER_LABELS = {
    "argocd.argoproj.io/instance": "Argo CD",
    "kustomize.toolkit.fluxcd.io/name": "Flux",
    "helm.toolkit.fluxcd.io/name": "Flux",
}
_OWNER_MANAGERS = {
    "argocd": "Argo CD",
    "kustomize-controller": "Flux",
    "helm-controller": "Flux",
    "helm": "Helm",
    "flux": "Flux",
    "fleetagent": "Fleet",
    "configsync.gke.io": "Config Sync",
    "kapp": "kapp",
    "pulumi": "Pulumi",
    "terraform": "Terraform",
    "hashicorp": "Terraform",  # of the user agent `HashiCorp/1.0 Terraform/…`
}


def metadata(thing: Raw) -> Raw:
    """Return an object's metadata."""
    found = thing.get("metadata")
    return found if isinstance(found, dict) else {}


def name_of(thing: Raw) -> str:
    """Return an object's name."""
    return str(metadata(thing).get("name", ""))


def annotation(thing: Raw, key: str) -> str:
    """Return an annotation, or the empty text."""
    return str((metadata(thing).get("annotations") or {}).get(key, ""))


def label(thing: Raw, key: str) -> str:
    """Return a label, or the empty text."""
    return str((metadata(thing).get("labels") or {}).get(key, ""))


def template_of(deployment: Raw) -> Raw:
    """Return the pod template of a Deployment or ReplicaSet."""
    template = (deployment.get("spec") or {}).get("template")
    if not isinstance(template, dict):
        raise BadInput(f"{name_of(deployment)} has no pod template.", "Look at it with kubectl.")
    return template


def without_hash(template: Raw) -> Raw:
    """Return a ReplicaSet's template as its Deployment has it: without the label of its hash."""
    labels = dict((template.get("metadata") or {}).get("labels") or {})
    if HASH_LABEL not in labels:
        return template
    del labels[HASH_LABEL]
    return {**template, "metadata": {**template["metadata"], "labels": labels}}


def without_restart(template: Raw) -> Raw:
    """Return the template without the mark of a restart by hand: it is the same version with it."""
    notes = dict((template.get("metadata") or {}).get("annotations") or {})
    if RESTARTED not in notes:
        return template
    del notes[RESTARTED]
    bare = {key: one for key, one in template["metadata"].items() if key != "annotations"}
    return {**template, "metadata": {**bare, **({"annotations": notes} if notes else {})}}


def same_version(one: Raw, other: Raw) -> bool:
    """Whether two templates differ by nothing but a restart by hand."""
    return without_restart(one) == without_restart(other)


def container_of(template: Raw, name: str) -> Raw | None:
    """Return the container of that name, or None."""
    containers = (template.get("spec") or {}).get("containers") or []
    return next((one for one in containers if one.get("name") == name), None)


def image_of(template: Raw, container: str) -> str:
    """Return the container's image. Raises BadInput when there is no such container."""
    found = container_of(template, container)
    if found is None:
        raise BadInput(
            f"There is no container {container!r} in the pod template.",
            "Set `container` of the service in the plan to the name in the Deployment.",
        )
    return str(found.get("image", ""))


def with_image(template: Raw, container: str, image: str) -> Raw:
    """Return the template with another image, everything else untouched."""
    image_of(template, container)
    changed = deepcopy(template)
    found = container_of(changed, container)
    if found is not None:
        found["image"] = image
    return changed


def digest_of_template(template: Raw) -> str:
    """Return the SHA-256 of a template's canonical JSON."""
    text = json.dumps(template, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return hashlib.sha256(text.encode()).hexdigest()


def owners(deployment: Raw) -> list[str]:
    """Return who else manages the Deployment and would undo, or be surprised by, a change."""
    found = {owner for key, owner in _OWNER_ANNOTATIONS.items() if annotation(deployment, key)} | {
        owner for key, owner in _OWNER_LABELS.items() if label(deployment, key)
    }
    if label(deployment, "app.kubernetes.io/managed-by") == "Helm":
        found.add("Helm")
    found |= {str(one.get("kind", "")) for one in _controllers(deployment)}
    found |= set(_template_managers(deployment))
    return sorted(one for one in found if one)


def _controllers(thing: Raw) -> Iterable[Raw]:
    references = metadata(thing).get("ownerReferences") or []
    return [one for one in references if one.get("controller")]


def _template_managers(deployment: Raw) -> Iterable[str]:
    """Known tools whose name stands in managedFields for the pod template."""
    for entry in metadata(deployment).get("managedFields") or []:
        manager = str(entry.get("manager", "")).lower()
        fields = (entry.get("fieldsV1") or {}).get("f:spec") or {}
        if "f:template" not in fields:
            continue
        for start, owner in _OWNER_MANAGERS.items():
            if manager == start or manager.startswith(f"{start}-"):
                yield owner


def controller_of(thing: Raw) -> Raw:
    """Return the reference to an object's controller, or an empty mapping."""
    return next(iter(_controllers(thing)), {})


def controlled_by(things: Iterable[Raw], uid: str) -> list[Raw]:
    """Return those whose controller is the object of that uid."""
    return [one for one in things if any(ref.get("uid") == uid for ref in _controllers(one))]


def current_replica_set(deployment: Raw, replica_sets: Iterable[Raw]) -> Raw | None:
    """Return the Deployment's ReplicaSet whose template is the Deployment's own, or None."""
    owned = controlled_by(replica_sets, str(metadata(deployment).get("uid", "")))
    return of_template(template_of(deployment), owned)


def of_template(template: Raw, replica_sets: Iterable[Raw]) -> Raw | None:
    """Return the oldest ReplicaSet with that template, as the controller chooses it."""
    same = [one for one in replica_sets if without_hash(template_of(one)) == template]
    return min(same, key=lambda one: str(metadata(one).get("creationTimestamp", "")), default=None)


def condition(thing: Raw, kind: str) -> Raw:
    """Return a status condition, or an empty mapping."""
    conditions = (thing.get("status") or {}).get("conditions") or []
    return next((one for one in conditions if one.get("type") == kind), {})


def holds(thing: Raw, kind: str) -> bool:
    """Whether a condition is True."""
    return bool(condition(thing, kind).get("status") == "True")


def replicas_wanted(deployment: Raw) -> int:
    """Return spec.replicas; Kubernetes' own default is one."""
    value = (deployment.get("spec") or {}).get("replicas")
    return 1 if value is None else int(value)


def grace_of(template: Raw) -> float:
    """Return the seconds that a pod may take to end; Kubernetes' own default is thirty."""
    value = (template.get("spec") or {}).get("terminationGracePeriodSeconds")
    return 30.0 if value is None else float(value)


def unrest(deployment: Raw) -> list[str]:
    """Return why the Deployment does not rest as it was last written: kubectl's rules, and
    Available. Empty: it rests."""
    status, wanted = deployment.get("status") or {}, replicas_wanted(deployment)
    if (status.get("observedGeneration") or 0) < (metadata(deployment).get("generation") or 0):
        return ["its last change has not been taken up yet"]
    updated, total = status.get("updatedReplicas") or 0, status.get("replicas") or 0
    available = status.get("availableReplicas") or 0
    found = []
    if updated < wanted:
        found.append(f"{updated} of {wanted} pods are of the new version")
    if total > updated:
        found.append(f"{total - updated} old pods are still there")
    if available < updated:
        found.append(f"{available} of {updated} new pods are available")
    if wanted and not holds(deployment, "Available"):
        found.append("it is not Available")
    return found


def born(thing: Raw) -> float:
    """Return when an object was created, in unix seconds; 0 when it does not say."""
    return unix_seconds(str(metadata(thing).get("creationTimestamp", "")))


def unix_seconds(text: str) -> float:
    """Return a time as Kubernetes writes it in unix seconds; 0 when it is none."""
    try:
        return datetime.fromisoformat(text).timestamp()
    except ValueError:
        return 0.0
