"""Whether a Deployment may be replaced now, how long that is worth waiting for, and what is kept of
it for an undo."""

from collections.abc import Iterable

from slipway.errors import NotReplaceable
from slipway.judgements.workload import (
    HASH_LABEL,
    Raw,
    condition,
    container_of,
    current_replica_set,
    image_of,
    label,
    metadata,
    name_of,
    owners,
    replicas_wanted,
    template_of,
    unrest,
)
from slipway.messages.record import Captured

MOMENT = 5.0
"""Seconds: any annotation that somebody writes makes a Deployment restless until its controller has
seen it."""


def refusals(deployment: Raw, container: str) -> list[str]:
    """Return why slipway must not replace this Deployment now, each with its remedy."""
    name, found = name_of(deployment), _not_by_waiting(deployment, container)
    restless = unrest(deployment)
    if restless:
        found.append(f"{name} is not at rest: {'; '.join(restless)}. Wait for it or repair it.")
    return found


def patience(deployment: Raw, container: str, longest: float) -> float:
    """Return for how many seconds, from the first look on, rest is worth waiting for. `longest`
    where the version that runs was rolled out and only its replicas are restless: an autoscaler
    adds a pod, a node is replaced. A rollout of somebody else's gets a moment."""
    if not unrest(deployment) or _not_by_waiting(deployment, container):
        return 0.0
    return max(longest, MOMENT) if _rolled_out(deployment) else MOMENT


def _rolled_out(deployment: Raw) -> bool:
    """Whether the last rollout was finished. What its controller said of it stays while replicas
    come and go (syncRolloutStatus in kubernetes/pkg/controller/deployment/progress.go)."""
    status = deployment.get("status") or {}
    alone = (status.get("replicas") or 0) <= (status.get("updatedReplicas") or 0)
    return alone and condition(deployment, "Progressing").get("reason") == "NewReplicaSetAvailable"


def _not_by_waiting(deployment: Raw, container: str) -> list[str]:
    """Refusals that no waiting heals."""
    name, found = name_of(deployment), []
    if metadata(deployment).get("deletionTimestamp"):
        found.append(f"{name} is being deleted. Find out who deletes it.")
    if container_of(template_of(deployment), container) is None:
        found.append(f"{name} has no container {container!r}. Correct `container` in the plan.")
    if (deployment.get("spec") or {}).get("paused"):
        found.append(f"{name} is paused. Run `kubectl rollout resume deployment/{name}`.")
    others = owners(deployment)
    if others:
        found.append(
            f"{name} is managed by {', '.join(others)}, which may undo what slipway writes. "
            "Suspend it for this object, or deploy through it."
        )
    if replicas_wanted(deployment) == 0:
        found.append(f"{name} has 0 replicas: nothing could be verified. Scale it up first.")
    return found


def capture(deployment: Raw, replica_sets: Iterable[Raw], container: str) -> Captured:
    """Return the Deployment as it stands, for a later undo. Raises NotReplaceable when it must not
    be replaced now."""
    name, wrong = name_of(deployment), refusals(deployment, container)
    if wrong:
        raise NotReplaceable(" ".join(wrong))
    current = current_replica_set(deployment, replica_sets)
    if current is None:
        raise NotReplaceable(
            f"{name} has no ReplicaSet of its own template.",
            "Wait until the deployment controller has made it, then retry.",
        )
    template = template_of(deployment)
    return Captured(
        uid=str(metadata(deployment).get("uid", "")),
        generation=int(metadata(deployment).get("generation") or 0),
        template=template,
        image=image_of(template, container),
        replicas=replicas_wanted(deployment),
        replica_set=name_of(current),
        pod_hash=label(current, HASH_LABEL),
    )
