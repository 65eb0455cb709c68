"""Whether a rollout is done, doomed, superseded or still under way: one pure judgement a poll.

Done: kubectl's rules, and Available, and the new ReplicaSet we caused at full ready. Doomed: signs
that a pod shows in two observations, long enough for that sign (`facts` of Krane and of Argo CD).
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from slipway.base import say_length
from slipway.judgements.pods import Trouble, troubles
from slipway.judgements.workload import (
    HASH_LABEL,
    Raw,
    condition,
    controlled_by,
    label,
    metadata,
    name_of,
    of_template,
    replicas_wanted,
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


@dataclass(frozen=True)
class Policy:
    """What is waited for, and how long each sign of doom must last (seconds)."""

    uid: str
    template: Raw
    deadline: float
    stands: Mapping[str, float] = field(
        default_factory=lambda: {
            "image-missing": 0.0,
            "image-pull": 90.0,
            "crash-loop": 0.0,
            "out-of-memory": 0.0,
            "container-config": 30.0,
            "replica-failure": 30.0,
            "unschedulable": 180.0,
        }
    )


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
    deployment, name = snapshot.deployment, name_of(snapshot.deployment)
    if metadata(deployment).get("uid") != policy.uid or metadata(deployment).get(
        "deletionTimestamp"
    ):
        return Judged(Progress.SUPERSEDED, f"{name} was deleted or created anew.", {})
    if template_of(deployment) != policy.template:
        return Judged(Progress.SUPERSEDED, f"Somebody else changed the template of {name}.", {})
    owned = controlled_by(snapshot.replica_sets, policy.uid)
    ours = of_template(policy.template, owned)
    if ours is None:
        return _in_time(snapshot, policy, {}, f"{name} has no new ReplicaSet yet")
    return _judge_ours(snapshot, sightings, policy, ours)


def _judge_ours(snapshot: Snapshot, sightings: Sightings, policy: Policy, ours: Raw) -> Judged:
    name = name_of(snapshot.deployment)
    pods = controlled_by(snapshot.pods, str(metadata(ours).get("uid", "")))
    wanted = replicas_wanted(snapshot.deployment)
    restless = [*unrest(snapshot.deployment), *_short(ours, wanted)]
    if wanted == 0:
        restless = ["it is scaled to 0 replicas, so nothing can be verified"]
    if not restless:
        because = f"{name} runs with {wanted} of {wanted} pods ready ({name_of(ours)})."
        return Judged(
            Progress.DONE,
            because,
            {},
            replica_set=name_of(ours),
            pod_hash=label(ours, HASH_LABEL),
            pods=tuple(sorted(name_of(pod) for pod in pods)),
            image_ids=tuple(image_ids(pods)),
        )
    signs = [*(one for pod in pods for one in troubles(pod)), *_failure(snapshot, ours)]
    seen = _sight(signs, sightings, snapshot.at)
    doomed = _doomed(signs, seen, policy, snapshot.at)
    if doomed is not None:
        because = f"{name} cannot be rolled out: {doomed.sentence}"
        return Judged(Progress.DOOMED, because, seen, Reason.ROLLOUT_DOOMED, culprit=doomed)
    if _deadline_exceeded(snapshot.deployment):
        because = f"{name} made no progress within its own progressDeadlineSeconds: "
        return Judged(
            Progress.DOOMED,
            because + "; ".join(restless) + ".",
            seen,
            Reason.ROLLOUT_TOO_SLOW,
            culprit=signs[0] if signs else None,
        )
    return _in_time(snapshot, policy, seen, f"{name}: {'; '.join(restless)}", signs)


def image_ids(pods: Iterable[Raw]) -> list[str]:
    """Return what the nodes say that they run."""
    statuses = [
        one for pod in pods for one in (pod.get("status") or {}).get("containerStatuses") or []
    ]
    return sorted({str(one["imageID"]) for one in statuses if one.get("imageID")})


def _short(ours: Raw, wanted: int) -> list[str]:
    status = ours.get("status") or {}
    ready = status.get("readyReplicas") or 0
    if (status.get("observedGeneration") or 0) < (metadata(ours).get("generation") or 0):
        return [f"{name_of(ours)} has not been taken up yet"]
    return [] if ready >= wanted else [f"{ready} of {wanted} pods of {name_of(ours)} are ready"]


def _failure(snapshot: Snapshot, ours: Raw) -> list[Trouble]:
    for thing in (ours, snapshot.deployment):
        found = condition(thing, "ReplicaFailure")
        if found.get("status") == "True":
            said = f"{found.get('reason', '')} {found.get('message', '')}".strip()[:300]
            return [Trouble("replica-failure", name_of(ours), "", f"pods are refused: {said}.")]
    return []


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
    observed = (deployment.get("status") or {}).get("observedGeneration") or 0
    if observed < (metadata(deployment).get("generation") or 0):
        return False  # the condition is still that of an earlier change
    return condition(deployment, "Progressing").get("reason") == "ProgressDeadlineExceeded"


def _in_time(
    snapshot: Snapshot, policy: Policy, seen: Sightings, because: str, signs: Iterable[Trouble] = ()
) -> Judged:
    if snapshot.at < policy.deadline:
        return Judged(Progress.WAITING, f"{because}.", seen)
    culprit = next(iter(signs), None)
    said = f" {culprit.sentence}" if culprit else ""
    late = f"{because} after {say_length(policy.deadline)}, the time a rollout may take.{said}"
    return Judged(Progress.DOOMED, late, seen, Reason.ROLLOUT_TOO_SLOW, culprit=culprit)
