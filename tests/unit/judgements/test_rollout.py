"""When a rollout is done, doomed, superseded or still on its way."""

from typing import Any

import pytest

from slipway.errors import NotReplaceable
from slipway.judgements import rollout, workload
from slipway.judgements.rollout import Policy, Progress, Snapshot, judge_rollout
from slipway.verdicts import Reason
from tests.unit.judgements.objects import (
    NEW,
    OLD,
    UID,
    Raw,
    deployment,
    pod,
    replica_set,
    template,
    waiting,
)

POLICY = Policy(uid=UID, template=template(NEW), deadline=600)
PODS = [pod("new", "aa"), pod("new", "bb")]


def snapshot(at: float = 0.0, pods: list[Raw] | None = None, **status: Any) -> Snapshot:
    ready, total = status.pop("ready", 2), status.pop("total", 2)
    found = deployment(NEW, **status)
    found["status"]["replicas"] = total
    return Snapshot(
        found,
        [replica_set(OLD, "old", ready=0), replica_set(NEW, "new", ready=ready, created="02")],
        PODS if pods is None else pods,
        at,
    )


def broken(at: float, container: Raw, **status: Any) -> Snapshot:
    bad = pod("new", "aa", container=container, **status)
    return snapshot(at, [bad, pod("new", "bb")], ready=1, updatedReplicas=2, availableReplicas=1)


def judged(*snapshots: Snapshot, policy: Policy = POLICY) -> rollout.Judged:
    seen: rollout.Sightings = {}
    for one in snapshots:
        result = judge_rollout(one, seen, policy)
        seen = result.sightings
    return result


def test_done_names_replica_set_hash_pods_and_images() -> None:
    done = judged(snapshot())
    assert done.progress is Progress.DONE
    assert (done.replica_set, done.pod_hash) == ("buddy-new", "new")
    assert done.pods == ("buddy-new-aa", "buddy-new-bb")
    assert done.image_ids == (NEW,)


@pytest.mark.parametrize(
    ("status", "said"),
    [
        ({"observedGeneration": 2}, "not been taken up"),
        ({"updatedReplicas": 1}, "1 of 2 pods are of the new version"),
        ({"total": 3}, "1 old pods are still there"),
        ({"availableReplicas": 1}, "1 of 2 new pods are available"),
        ({"conditions": []}, "not Available"),
        ({"ready": 1}, "1 of 2 pods of buddy-new are ready"),
    ],
)
def test_each_of_the_rules_keeps_it_waiting(status: dict[str, Any], said: str) -> None:
    result = judged(snapshot(**status))
    assert result.progress is Progress.WAITING
    assert said in result.because


def test_zero_replicas_are_never_done() -> None:
    none = Snapshot(deployment(NEW, replicas=0), [replica_set(NEW, "new", ready=0)], [], 0.0)
    assert judged(none).progress is Progress.WAITING


def test_a_missing_replica_set_is_waited_for() -> None:
    assert judged(Snapshot(deployment(NEW), [], [], 0.0)).progress is Progress.WAITING


def test_a_changed_template_supersedes() -> None:
    changed = Snapshot(deployment(OLD), [replica_set(OLD, "old")], [], 0.0)
    assert judged(changed).progress is Progress.SUPERSEDED


def test_another_object_of_the_same_name_supersedes() -> None:
    other = Snapshot(deployment(NEW, uid="other"), [], [], 0.0)
    assert judged(other).progress is Progress.SUPERSEDED


def test_a_crash_loop_dooms_in_the_second_observation_not_the_first() -> None:
    loop = waiting("CrashLoopBackOff", "back-off", restarts=1)
    assert judged(broken(0, loop)).progress is Progress.WAITING
    doomed = judged(broken(0, loop), broken(1, loop))
    assert doomed.progress is Progress.DOOMED
    assert doomed.reason is Reason.ROLLOUT_DOOMED
    assert "buddy-new-aa" in doomed.because
    assert "code 1" in doomed.because


def test_a_sign_that_vanishes_in_between_begins_anew() -> None:
    loop = waiting("CrashLoopBackOff", restarts=1)
    result = judged(broken(0, loop), snapshot(1, ready=1), broken(2, loop))
    assert result.progress is Progress.WAITING


@pytest.mark.parametrize(
    ("container", "seconds"),
    [
        (waiting("InvalidImageName"), 0.0),
        (waiting("ErrImagePull", "manifest unknown: not found"), 0.0),
        (waiting("ImagePullBackOff", "back-off pulling"), 90.0),
        (waiting("CreateContainerConfigError", "secret x not there"), 30.0),
        (waiting("RunContainerError", "exec format"), 30.0),
        ({"restartCount": 3}, 0.0),
        ({"restartCount": 2, "lastState": {"terminated": {"reason": "OOMKilled"}}}, 0.0),
    ],
)
def test_the_doom_table(container: Raw, seconds: float) -> None:
    if seconds:
        early = judged(broken(0, container), broken(seconds - 1, container))
        assert early.progress is Progress.WAITING
    doomed = judged(broken(0, container), broken(seconds + 1, container))
    assert doomed.progress is Progress.DOOMED


def test_a_kubelet_that_syncs_its_cache_is_no_doom() -> None:
    slow = waiting("CreateContainerConfigError", "failed to sync configmap cache: timed out")
    assert judged(broken(0, slow), broken(60, slow)).progress is Progress.WAITING


def test_pods_of_the_old_version_doom_nothing() -> None:
    loop = waiting("CrashLoopBackOff", restarts=9)
    old = pod("old", "zz", container=loop)
    shots = [snapshot(at, [*PODS, old], availableReplicas=1) for at in (0.0, 1.0)]
    assert judged(*shots).progress is Progress.WAITING


def test_an_evicted_pod_dooms_nothing() -> None:
    gone = waiting("CrashLoopBackOff", restarts=9)
    shots = [broken(at, gone, reason="Evicted") for at in (0.0, 1.0)]
    assert judged(*shots).progress is Progress.WAITING


def test_pods_that_are_refused_doom_after_thirty_seconds() -> None:
    condition = {"type": "ReplicaFailure", "status": "True", "message": "exceeded quota"}
    shots = []
    for at in (0.0, 31.0):
        shot = snapshot(at, [], ready=0, availableReplicas=0)
        shot.replica_sets[1]["status"]["conditions"] = [condition]
        shots.append(shot)
    assert "exceeded quota" in judged(*shots).because
    assert judged(*shots).progress is Progress.DOOMED


def test_a_pod_without_a_node_dooms_after_three_minutes() -> None:
    condition = {"type": "PodScheduled", "status": "False", "reason": "Unschedulable"}
    shots = [broken(at, {"state": {}}, conditions=[condition]) for at in (0.0, 100.0, 181.0)]
    assert judged(*shots[:2]).progress is Progress.WAITING
    assert judged(*shots).progress is Progress.DOOMED


def test_its_own_progress_deadline_counts_only_for_this_generation() -> None:
    late = [{"type": "Progressing", "status": "False", "reason": "ProgressDeadlineExceeded"}]
    assert judged(snapshot(conditions=late)).reason is Reason.ROLLOUT_TOO_SLOW
    stale = snapshot(conditions=late, observedGeneration=2)
    assert judged(stale).progress is Progress.WAITING


def test_out_of_time_says_what_was_missing() -> None:
    late = judged(snapshot(600, ready=1))
    assert late.reason is Reason.ROLLOUT_TOO_SLOW
    assert "1 of 2 pods of buddy-new are ready after 10m" in late.because


def test_a_rollout_that_is_done_late_is_done() -> None:
    assert judged(snapshot(9999)).progress is Progress.DONE


def test_capture_keeps_fields_nobody_knows() -> None:
    kept = workload.capture(deployment(), [replica_set(OLD, "old")], "app")
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
        workload.capture(found, [replica_set(OLD, "old")], "app")


def test_managers_that_own_no_template_are_welcome() -> None:
    found = deployment()
    found["metadata"]["managedFields"] = [
        {"manager": "kubectl-client-side-apply", "fieldsV1": {"f:spec": {"f:template": {}}}},
        {"manager": "helm", "fieldsV1": {"f:metadata": {}}},
    ]
    assert workload.owners(found) == []
