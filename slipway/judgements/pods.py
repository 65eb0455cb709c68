"""What is wrong with a pod, and whether containers that should be serving keep restarting."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from slipway.judgements.workload import (
    Raw,
    born,
    condition,
    holds,
    metadata,
    name_of,
    unix_seconds,
)
from slipway.verdicts import Kind, Reason, Signal, Verdict

CRASH_RESTARTS = 3
"""Restarts during a rollout that doom it."""
RESTARTS = 2
"""Restarts of one container in a watching window that end it."""

_IMAGE_MISSING = {"InvalidImageName", "ErrImageNeverPull"}
_NOT_THERE = ("not found", "notfound", "manifest unknown", "does not exist")
_IMAGE_PULL = {"ErrImagePull", "ImagePullBackOff", "RegistryUnavailable", "ImageInspectError"}
_CONFIG = {"CreateContainerConfigError", "CreateContainerError", "RunContainerError"}
_SAID = 240
"""Characters of a kubelet's message that are told."""
_TRANSIENT = ("failed to sync", "cache")
"""Of "failed to sync configmap cache: timed out": the kubelet tries again. Both, since a Secret may
well be named after a cache."""


_PAST = ("crash-loop", "out-of-memory")
"""Signs that are seen in counts and last states, which stay when a container has recovered."""


@dataclass(frozen=True)
class Trouble:
    """One thing wrong with a pod: its kind (see `rollout.Policy.stands`) and a sentence."""

    kind: str
    pod: str
    container: str
    sentence: str


def troubles(pod: Raw) -> list[Trouble]:
    """Return what keeps a pod from serving; evicted and preempted pods are the scheduler's."""
    name, status = name_of(pod), pod.get("status") or {}
    if metadata(pod).get("deletionTimestamp") or status.get("reason") in {"Evicted", "Preempting"}:
        return []
    found = [one for container in _containers(pod) for one in _of_container(name, container)]
    scheduled = condition(pod, "PodScheduled")
    if scheduled.get("status") == "False" and scheduled.get("reason") == "Unschedulable":
        said = str(scheduled.get("message", ""))[:300]
        found.append(Trouble("unschedulable", name, "", f"pod {name} finds no node: {said}"))
    return found


def troubles_now(pod: Raw) -> list[Trouble]:
    """Return its troubles, for a pod that may be old: restarts are counted for as long as it lives,
    so while it is Ready they tell of its past."""
    past = _PAST if holds(pod, "Ready") else ()
    return [one for one in troubles(pod) if one.kind not in past]


def restarts(pods: Iterable[Raw]) -> dict[str, int]:
    """Return restart counts by `namespace/pod/container`."""
    return {
        f"{metadata(pod).get('namespace', '')}/{name_of(pod)}/{one.get('name', '')}": int(
            one.get("restartCount") or 0
        )
        for pod in pods
        for one in _containers(pod)
    }


def started(pod: Raw, container: str) -> float:
    """Return when a container, or where that is not told its pod, began, in unix seconds: a log
    begins anew with the container."""
    for one in _containers(pod):
        running = (one.get("state") or {}).get("running") or {}
        if one.get("name") == container and running.get("startedAt"):
            return max(born(pod), unix_seconds(str(running["startedAt"])))
    return born(pod)


def judge_pods(
    service: str, pods: list[Raw], began_with: Mapping[str, int], *, replaced: bool
) -> Verdict | None:
    """Judge the containers of a service in a window: ROLLBACK when one restarted twice or ran out
    of memory once. `began_with`: restart counts at the window's beginning; pods that were born
    later began with none. In a service that was replaced every OOM kill of its pods counts."""
    for pod in pods:
        prefix = f"{metadata(pod).get('namespace', '')}/{name_of(pod)}"
        for one in _containers(pod):
            count = int(one.get("restartCount") or 0)
            since = count - began_with.get(f"{prefix}/{one.get('name', '')}", 0)
            who = f"container {one.get('name', '')} of pod {name_of(pod)}"
            killed = _killed(one) and (since > 0 or replaced)
            if killed:
                return _rollback(service, Reason.OUT_OF_MEMORY, f"{who} ran out of memory.", since)
            if since >= RESTARTS or (since > 0 and _waiting(one) == "CrashLoopBackOff"):
                said = f"{who} restarted {since} times in this window{_exit(one)}."
                return _rollback(service, Reason.POD_RESTARTING, said, since)
    return None


def _rollback(service: str, reason: Reason, said: str, count: int) -> Verdict:
    return Verdict(
        kind=Kind.ROLLBACK,
        signal=Signal.PODS,
        reason=reason,
        service=service,
        because=f"{service}: {said}",
        numbers={"restarts": float(count)},
    )


def _containers(pod: Raw) -> Iterator[Raw]:
    status = pod.get("status") or {}
    yield from status.get("initContainerStatuses") or []
    yield from status.get("containerStatuses") or []


def _of_container(pod: str, container: Raw) -> Iterator[Trouble]:
    name, waiting = str(container.get("name", "")), _waiting(container)
    said = str(((container.get("state") or {}).get("waiting") or {}).get("message", ""))
    who = f"container {name} of pod {pod}"
    detail = f"{waiting}: {_short(said)}" if said else waiting
    kind = _kind_of(waiting, said)
    count = int(container.get("restartCount") or 0)
    if kind:
        yield Trouble(kind, pod, name, f"{who} waits in {detail}{_exit(container)}.")
    elif count >= CRASH_RESTARTS:
        sentence = f"{who} restarted {count} times{_exit(container)}."
        yield Trouble("crash-loop", pod, name, sentence)
    if _killed(container) and count >= 2:
        yield Trouble("out-of-memory", pod, name, f"{who} ran out of memory {count} times.")


def _short(said: str) -> str:
    """Both ends of a long message: names stand at its beginning, the cause at its end."""
    return said if len(said) <= _SAID else f"{said[: _SAID // 2]} … {said[-_SAID // 2 :]}"


def _kind_of(waiting: str, said: str) -> str:
    if waiting in _IMAGE_MISSING:
        return "image-missing"
    if waiting in _IMAGE_PULL:
        gone = any(text in said.lower() for text in _NOT_THERE)
        return "image-missing" if gone else "image-pull"
    if waiting == "CrashLoopBackOff":
        return "crash-loop"
    if waiting in _CONFIG and not all(text in said.lower() for text in _TRANSIENT):
        return "container-config"
    return ""


def _waiting(container: Raw) -> str:
    return str(((container.get("state") or {}).get("waiting") or {}).get("reason", ""))


def _terminated(container: Raw) -> Iterator[Raw]:
    for which in ("state", "lastState"):
        found = (container.get(which) or {}).get("terminated")
        if found:
            yield found


def _killed(container: Raw) -> bool:
    return any(one.get("reason") == "OOMKilled" for one in _terminated(container))


def _exit(container: Raw) -> str:
    for one in _terminated(container):
        return f" (last exit: {one.get('reason', 'Error')}, code {one.get('exitCode', '?')})"
    return ""
