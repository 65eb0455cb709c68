"""Noticing a rollout that somebody else makes: which version stands, since when, and by whom.

Versions are told apart by the pod-template-hash of the ReplicaSet whose template is the
Deployment's own. Revision numbers are no identity: the controller renumbers a ReplicaSet that is
used again.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime

from slipway.judgements.workload import (
    CAUSE,
    HASH_LABEL,
    Raw,
    annotation,
    born,
    container_of,
    controlled_by,
    current_replica_set,
    digest_of_template,
    label,
    metadata,
    name_of,
    replicas_wanted,
    template_of,
    unrest,
)
from slipway.messages.observe import Rollout, Standing


@dataclass(frozen=True)
class Noticed:
    """What one look at a service's Deployment gives; None where there is nothing new."""

    standing: Standing | None = None
    rollout: Rollout | None = None


def is_as_known(deployment: Raw, known: Standing | None) -> bool:
    """Whether the Deployment stands as it is known, so that nothing more need be read."""
    return (
        known is not None
        and known.uid == metadata(deployment).get("uid")
        and known.template_sha256 == digest_of_template(template_of(deployment))
        and (known.ran or not _runs(deployment))
        and (known.replicas == 0) is (replicas_wanted(deployment) == 0)
    )


@dataclass(frozen=True)
class Glance:
    """One service's Deployment and its ReplicaSets, at a moment (unix seconds)."""

    service: str
    container: str
    deployment: Raw
    replica_sets: list[Raw]
    at: float


def notice(glance: Glance, known: Standing | None, recent: float) -> Noticed:
    """Return how a Deployment stands, and the rollout that brought it there if it is a new one.

    While the controller has made no ReplicaSet of the template (it is paused, or has not got to
    it), no rollout has begun. One that is met at the first look counts when it is under way and
    began no more than `recent` seconds ago.
    """
    current = current_replica_set(glance.deployment, glance.replica_sets)
    if current is None:
        return Noticed()
    same = known if known and known.uid == metadata(glance.deployment).get("uid") else None
    standing = _standing(glance, current, same)
    if same is not None and same.pod_hash == standing.pod_hash:
        return Noticed(standing)
    began = _began(glance, current)
    if same is None and (standing.ran or glance.at - began > recent):
        return Noticed(standing)
    return Noticed(standing, _rollout(glance, current, standing, same, began))


def _standing(glance: Glance, current: Raw, known: Standing | None) -> Standing:
    deployment, pod_hash = glance.deployment, label(current, HASH_LABEL)
    before = known is not None and known.pod_hash == pod_hash and known.ran
    return Standing(
        uid=str(metadata(deployment).get("uid", "")),
        template_sha256=digest_of_template(template_of(deployment)),
        pod_hash=pod_hash,
        born=born(current),
        image=_image(deployment, glance.container),
        replicas=replicas_wanted(deployment),
        ran=before or _runs(deployment),
    )


def _runs(deployment: Raw) -> bool:
    """Whether all the pods that are wanted run the Deployment's own template."""
    return replicas_wanted(deployment) > 0 and not unrest(deployment)


def _rollout(
    glance: Glance, current: Raw, standing: Standing, known: Standing | None, began: float
) -> Rollout:
    deployment = glance.deployment
    before = known or _newest_other(glance, current)
    return Rollout(
        service=glance.service,
        uid=standing.uid,
        pod_hash=standing.pod_hash,
        pod_hash_before=before.pod_hash if before else "",
        image=standing.image,
        image_before=before.image if before else "",
        template=template_of(deployment),
        born=standing.born,
        began=began,
        back=before is not None and standing.born < before.born,
        under_way=known is None,
        by=_writer(deployment)[0][:80],
        cause=annotation(deployment, CAUSE)[:200],
    )


def _newest_other(glance: Glance, current: Raw) -> Standing | None:
    """The version before, where nobody has seen it: the newest other ReplicaSet that has pods,
    else the newest other one."""
    uid = str(metadata(glance.deployment).get("uid", ""))
    others = [
        one for one in controlled_by(glance.replica_sets, uid) if name_of(one) != name_of(current)
    ]
    if not others:
        return None
    newest = max(
        others, key=lambda one: (bool((one.get("status") or {}).get("replicas")), born(one))
    )
    return Standing(
        uid=uid,
        template_sha256="",
        pod_hash=label(newest, HASH_LABEL),
        born=born(newest),
        image=_image(newest, glance.container),
        replicas=0,
        ran=True,
    )


def _began(glance: Glance, current: Raw) -> float:
    """Return when the rollout began: when its ReplicaSet was made or, where it is an old one that
    is used again, when somebody wrote the template. Never later than now."""
    moments = [one for one in (born(current), _writer(glance.deployment)[1]) if one]
    return min(glance.at, max(moments, default=glance.at))


def _writer(deployment: Raw) -> tuple[str, float]:
    """Return who wrote the pod template last (its field manager), and when in unix seconds."""
    found = [
        (_seconds(entry.get("time")), str(entry.get("manager", "")))
        for entry in metadata(deployment).get("managedFields") or []
        if "f:template" in ((entry.get("fieldsV1") or {}).get("f:spec") or {})
    ]
    at, manager = max(found, default=(0.0, ""))
    return manager, at


def _seconds(text: object) -> float:
    try:
        return datetime.fromisoformat(str(text)).timestamp()
    except ValueError:
        return 0.0


def _image(thing: Raw, container: str) -> str:
    """The container's image; "" where the template has no such container."""
    return str((container_of(template_of(thing), container) or {}).get("image", ""))


def pods_of_version(pods: Iterable[Raw], pod_hash: str) -> list[Raw]:
    """Return the pods of one version."""
    return [one for one in pods if pod_hash and label(one, HASH_LABEL) == pod_hash]
