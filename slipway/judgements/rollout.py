"""Whether a rollout is done, doomed, superseded or still under way: one pure judgement a poll.

Done: kubectl's rules, and Available, and the ReplicaSet of our template at full ready, running the
digest that was approved; for an undo, also no pod left of what it replaced. Doomed: signs that show
in two observations, long enough for that sign (the rules of Krane and of Argo CD).
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from slipway.base import say_length
from slipway.judgements.images import swapped_images, told, unjudged, wrong_images
from slipway.judgements.pods import Trouble, troubles, troubles_now
from slipway.judgements.workload import (
    HASH_LABEL,
    Raw,
    condition,
    controlled_by,
    controller_of,
    grace_of,
    label,
    metadata,
    name_of,
    of_template,
    replicas_wanted,
    same_version,
    template_of,
    unrest,
)
from slipway.verdicts import Reason


class Progress(StrEnum):
    """Where a rollout stands."""

    WAITING = "waiting"
    DONE = "done"
    DOOMED = "doomed"
    SUPERSEDED = "superseded"


@dataclass(frozen=True)
class Snapshot:
    """One read of everything a judgement needs. `at`: seconds since the rollout was waited for."""

    deployment: Raw
    replica_sets: list[Raw]
    pods: list[Raw]
    at: float


STANDS: Mapping[str, float] = {
    "wrong-image": 0.0,
    "image-missing": 0.0,
    "image-pull": 90.0,
    "crash-loop": 0.0,
    "out-of-memory": 0.0,
    "container-config": 30.0,
    "replica-failure": 30.0,
    "scaled-down": 30.0,
    "unschedulable": 180.0,
}
"""Seconds that each sign of doom must last."""
BACK_OFF = 330.0
"""Seconds in which a container that crashed is started again and seen to run: the kubelet waits for
five minutes at most (CrashLoopBackOff)."""


@dataclass(frozen=True)
class Policy:
    """What is waited for. `image` runs in `container`; empty: it is not compared."""

    uid: str
    template: Raw
    deadline: float
    """Seconds; what pods may take to end comes on top where they must be gone."""
    container: str = ""
    image: str = ""
    other: str = ""
    """The image that it replaces, which nodes may hold beside it."""
    comparable: bool | None = None
    """Whether nodes report a pinned image by its digest, where that is known."""
    back: bool = False
    """An undo: what it replaced must be gone, and at 0 replicas there is nothing to verify."""
    stands: Mapping[str, float] = field(default_factory=lambda: STANDS)


@dataclass(frozen=True)
class Sighting:
    """Since when a sign has been seen without a break, and how often."""

    since: float
    times: int


Sightings = dict[tuple[str, str], Sighting]
"""By kind of sign and pod (or ReplicaSet)."""


@dataclass(frozen=True)
class Judged:
    """What one poll gave. `sightings` go into the next poll."""

    progress: Progress
    because: str
    sightings: Sightings
    reason: Reason = Reason.OK
    replica_set: str = ""
    pod_hash: str = ""
    pods: tuple[str, ...] = ()
    image_ids: tuple[str, ...] = ()
    culprit: Trouble | None = None


def judge_rollout(snapshot: Snapshot, sightings: Sightings, policy: Policy) -> Judged:
    """Judge one snapshot after those before it."""
    deployment = snapshot.deployment
    superseded = _superseded(deployment, policy)
    if superseded:
        return Judged(Progress.SUPERSEDED, superseded, {})
    owned = controlled_by(snapshot.replica_sets, policy.uid)
    ours = of_template(template_of(deployment), owned)
    uid = str(metadata(ours or {}).get("uid", ""))
    pods = [one for one in controlled_by(snapshot.pods, uid) if ours and not _over(one)]
    ids = told(pods, policy.container)
    wrong = swapped_images(policy.image, policy.container, pods)
    if policy.comparable and not wrong:
        wrong = wrong_images(policy.image, policy.container, ids, policy.other)
    restless = _restless(snapshot, policy, ours)
    if not restless and not wrong and ours is not None:
        return _done(snapshot, policy, ours, pods, ids)
    look = troubles_now if policy.back else troubles  # an undo's pods may be months old
    signs = [
        *wrong,
        *(one for pod in pods for one in look(pod)),
        *_failure(snapshot, ours),
        *_scaled_down(deployment, policy),
    ]
    because = [*restless, *(one.sentence.rstrip(".") for one in wrong)]
    return _undecided(snapshot, sightings, policy, signs, because)


def _superseded(deployment: Raw, policy: Policy) -> str:
    """Why there is nothing to wait for any more; the empty text: there is."""
    name, found = name_of(deployment), metadata(deployment)
    if found.get("uid") != policy.uid or found.get("deletionTimestamp"):
        return f"{name} was deleted or created anew."
    standing = template_of(deployment)
    restarted = policy.back and same_version(standing, policy.template)  # by hand: as good
    if standing != policy.template and not restarted:
        return f"Somebody else changed the template of {name}."
    if (deployment.get("spec") or {}).get("paused"):
        return (
            f"{name} was paused meanwhile, so nothing rolls out: run "
            f"`kubectl rollout resume deployment/{name}`, then retry."
        )
    return ""


def _restless(snapshot: Snapshot, policy: Policy, ours: Raw | None) -> list[str]:
    """Why it is not done."""
    wanted = replicas_wanted(snapshot.deployment)
    if ours is None:
        return ["it has no ReplicaSet of this template yet"]
    restless = [*unrest(snapshot.deployment), *_short(ours, wanted)]
    if wanted == 0 and not policy.back:
        return ["it is scaled to 0 replicas, so nothing can be verified"]
    return restless or (_left(snapshot, ours) if policy.back else [])


def _left(snapshot: Snapshot, ours: Raw) -> list[str]:
    """Pods of other versions that have not ended: the Deployment's status does not count those
    that are being deleted, and they may serve until they are gone."""
    uid, name = metadata(ours).get("uid"), name_of(snapshot.deployment)
    left = []
    for pod in snapshot.pods:
        owner = controller_of(pod)
        # by name, not by uid: the ReplicaSet itself may be pruned before its last pod has ended
        its = owner.get("name") == f"{name}-{label(pod, HASH_LABEL)}"
        if not its or owner.get("uid") == uid or _over(pod):
            continue
        doing = "is still ending" if metadata(pod).get("deletionTimestamp") else "still runs"
        node = (pod.get("spec") or {}).get("nodeName") or "no node"
        kept = ", ".join(metadata(pod).get("finalizers") or [])
        held = f", kept by {kept}" if kept else ""
        left.append(f"pod {name_of(pod)} of another version {doing} ({node}{held})")
    return left


def _over(pod: Raw) -> bool:
    """Whether a pod's containers have ended for good, as those of an evicted one have."""
    return (pod.get("status") or {}).get("phase") in {"Failed", "Succeeded"}


def _done(
    snapshot: Snapshot, policy: Policy, ours: Raw, pods: list[Raw], ids: dict[str, str]
) -> Judged:
    name, wanted = name_of(snapshot.deployment), replicas_wanted(snapshot.deployment)
    because = f"{name} runs with {wanted} of {wanted} pods ready ({name_of(ours)})."
    if wanted == 0:
        because = f"{name} has its template, and 0 replicas: nothing runs that could be verified."
    elif policy.image:
        why = unjudged(policy.image, ids, comparable=policy.comparable, other=policy.other)
        because += f" Which image they run was not compared: {why}." if why else ""
    alive = [pod for pod in pods if not metadata(pod).get("deletionTimestamp")]
    return Judged(
        Progress.DONE,
        because,
        {},
        replica_set=name_of(ours),
        pod_hash=label(ours, HASH_LABEL),
        pods=tuple(sorted(name_of(pod) for pod in alive)),
        image_ids=tuple(sorted(set(ids.values()))),
    )


def _undecided(
    snapshot: Snapshot,
    sightings: Sightings,
    policy: Policy,
    signs: list[Trouble],
    restless: list[str],
) -> Judged:
    """Doomed by a sign or a deadline, or still under way."""
    name, seen = name_of(snapshot.deployment), _sight(signs, sightings, snapshot.at)
    doomed = _doomed(signs, seen, policy, snapshot.at)
    if doomed is not None:
        because = f"{name} cannot be rolled out: {doomed.sentence}"
        return Judged(Progress.DOOMED, because, seen, Reason.ROLLOUT_DOOMED, culprit=doomed)
    why = "; ".join(restless)
    culprit = signs[0] if signs else None
    if not policy.back and _deadline_exceeded(snapshot.deployment):
        because = f"{name} made no progress within its own progressDeadlineSeconds: {why}."
        return Judged(Progress.DOOMED, because, seen, Reason.ROLLOUT_TOO_SLOW, culprit=culprit)
    longest = _longest(snapshot.deployment, policy)
    if snapshot.at < longest:
        return Judged(Progress.WAITING, f"{name}: {why}.", seen)
    said = f" {culprit.sentence}" if culprit else ""
    because = f"{name}: {why} after {say_length(longest)}, the time a rollout may take."
    late = f"{because}{said}"
    return Judged(Progress.DOOMED, late, seen, Reason.ROLLOUT_TOO_SLOW, culprit=culprit)


def _longest(deployment: Raw, policy: Policy) -> float:
    """Seconds that it may take: where pods must be gone first, as long more as they may take to
    end. A release changes their image and not their grace period."""
    strategy = ((deployment.get("spec") or {}).get("strategy") or {}).get("type")
    gone_first = policy.back or strategy == "Recreate"
    return policy.deadline + (grace_of(policy.template) if gone_first else 0.0)


def _short(ours: Raw, wanted: int) -> list[str]:
    status = ours.get("status") or {}
    ready = status.get("readyReplicas") or 0
    if (status.get("observedGeneration") or 0) < (metadata(ours).get("generation") or 0):
        return [f"{name_of(ours)} has not been taken up yet"]
    return [] if ready >= wanted else [f"{ready} of {wanted} pods of {name_of(ours)} are ready"]


def _failure(snapshot: Snapshot, ours: Raw | None) -> list[Trouble]:
    """Pods, or the ReplicaSet itself, that a quota or an admission refuses."""
    deployment = snapshot.deployment
    if ours is None:
        # no look at observedGeneration: the controller leaves it as it is when it cannot go on
        found = condition(deployment, "Progressing")
        if found.get("reason") != "ReplicaSetCreateError":
            return []
        return [_refused(name_of(deployment), "its ReplicaSet is refused", found)]
    for thing in (ours, deployment):
        found = condition(thing, "ReplicaFailure")
        if found.get("status") == "True":
            return [_refused(name_of(ours), "pods are refused", found)]
    return []


def _refused(who: str, what: str, found: Raw) -> Trouble:
    said = f"{found.get('reason', '')} {found.get('message', '')}".strip()[:300].rstrip(".")
    return Trouble("replica-failure", who, "", f"{what}: {said}.")


def _scaled_down(deployment: Raw, policy: Policy) -> list[Trouble]:
    if policy.back or replicas_wanted(deployment):
        return []
    said = "somebody scaled it to 0 replicas, so nothing can be verified."
    return [Trouble("scaled-down", name_of(deployment), "", said)]


def _sight(signs: list[Trouble], before: Sightings, at: float) -> Sightings:
    seen: Sightings = {}
    for sign in signs:
        key = (sign.kind, sign.pod)
        old = before.get(key)
        seen[key] = Sighting(old.since, old.times + 1) if old else Sighting(at, 1)
    return seen


def _doomed(signs: list[Trouble], seen: Sightings, policy: Policy, at: float) -> Trouble | None:
    for sign in signs:
        sighting, stands = seen[sign.kind, sign.pod], policy.stands.get(sign.kind)
        if stands is not None and sighting.times >= 2 and at - sighting.since >= stands:
            return sign
    return None


def _deadline_exceeded(deployment: Raw) -> bool:
    """Whether the Deployment's own deadline has passed. It tells nothing of an undo: the controller
    leaves what it said of the bad version until it sees progress (DeploymentTimedOut in
    kubernetes/pkg/controller/deployment/util)."""
    reason = condition(deployment, "Progressing").get("reason")
    return reason == "ProgressDeadlineExceeded" and _observed(deployment)


def _observed(deployment: Raw) -> bool:
    """Whether conditions are those of the last change, not of an earlier one."""
    observed = (deployment.get("status") or {}).get("observedGeneration") or 0
    return bool(observed >= (metadata(deployment).get("generation") or 0))
