"""When a rollout is done, doomed, superseded or still on its way."""

from dataclasses import replace
from typing import Any

import pytest

from slipway.judgements import rollout, workload
from slipway.judgements.images import reports_digests
from slipway.judgements.rollout import (
    BACK_OFF,
    STANDS,
    Policy,
    Progress,
    Snapshot,
    judge_rollout,
)
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

POLICY = Policy(uid=UID, template=template(NEW), deadline=600, container="app", image=NEW)
BACK = replace(POLICY, back=True)
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


def test_somebody_who_scales_to_zero_ends_a_rollout_and_not_an_undo() -> None:
    def none(at: float) -> Snapshot:
        rested = deployment(NEW, replicas=0)
        return Snapshot(rested, [replica_set(NEW, "new", ready=0)], [], at)

    doomed = judged(none(0), none(30))
    assert doomed.progress is Progress.DOOMED
    assert "scaled it to 0" in doomed.because
    back = judged(none(0), policy=BACK)
    assert back.progress is Progress.DONE
    assert "nothing runs that could be verified" in back.because


def test_a_pause_ends_the_wait_and_names_the_command() -> None:
    paused = snapshot()
    paused.deployment["spec"]["paused"] = True
    result = judged(paused)
    assert result.progress is Progress.SUPERSEDED
    assert "kubectl rollout resume deployment/buddy" in result.because


def test_another_digest_than_the_approved_one_dooms_in_the_second_observation() -> None:
    def other(at: float) -> Snapshot:
        return snapshot(at, [pod("new", "aa"), pod("new", "bb", container={"imageID": OLD})])

    known = replace(POLICY, comparable=True)
    assert judged(other(0), policy=known).progress is Progress.WAITING
    doomed = judged(other(0), other(1), policy=known)
    assert doomed.progress is Progress.DOOMED
    assert f"pod buddy-new-bb runs {OLD}" in doomed.because
    assert judged(other(0), other(1), policy=replace(known, container="side")).progress is (
        Progress.DONE
    )


def test_a_digest_of_the_other_version_is_not_compared_since_both_may_be_one_image() -> None:
    pods = [pod("new", "aa"), pod("new", "bb", container={"imageID": OLD})]
    known = replace(POLICY, comparable=True, other=OLD)
    done = judged(snapshot(0, pods), policy=known)
    assert done.progress is Progress.DONE
    assert f"not compared: a node reports {OLD}, the other version" in done.because
    third = pod("new", "bb", container={"imageID": "reg/app@sha256:" + "c" * 64})
    doomed = judged(*[snapshot(at, [pods[0], third]) for at in (0, 1)], policy=known)
    assert doomed.progress is Progress.DOOMED


def test_a_pod_that_was_given_another_image_dooms_whatever_nodes_report() -> None:
    def swapped(at: float) -> Snapshot:
        given = pod("new", "bb")
        given["spec"] = {"containers": [{"name": "app", "image": OLD}]}
        mirrored = pod("new", "aa")
        mirrored["spec"] = {"containers": [{"name": "app", "image": f"mirror.local/{NEW}"}]}
        return snapshot(at, [mirrored, given])

    doomed = judged(swapped(0), swapped(1))
    assert doomed.progress is Progress.DOOMED
    assert f"pod buddy-new-bb was given {OLD}" in doomed.because


@pytest.mark.parametrize(
    ("image", "told", "comparable", "said"),
    [
        (NEW, "docker-pullable://" + NEW, None, ""),
        (NEW, NEW, True, ""),
        (NEW, OLD, False, "reported another digest for the pinned image before"),
        (NEW, OLD, None, "no pinned image before tells if they always do"),
        (NEW, "", None, "report no digest"),
        (NEW, "sha256:" + "c" * 64, None, "report no digest"),
        ("reg/app:1.0", NEW, None, "reg/app:1.0 names no digest"),
    ],
)
def test_what_cannot_be_compared_is_done_and_said(
    image: str, told: str, comparable: bool | None, said: str
) -> None:
    pods = [pod("new", one, container={"imageID": told}) for one in ("aa", "bb")]
    policy = replace(POLICY, image=image, comparable=comparable)
    done = judged(snapshot(0, pods), snapshot(1, pods), policy=policy)
    assert done.progress is Progress.DONE
    assert (said in done.because) if said else ("compared" not in done.because)


@pytest.mark.parametrize(
    ("image", "ids", "answer"),
    [
        (NEW, [NEW], True),
        (NEW, [OLD], False),
        (NEW, [NEW, OLD], False),
        (NEW, [], None),
        ("reg/app:1", [NEW], None),
    ],
)
def test_how_nodes_report_is_told_by_what_ran_before(
    image: str, ids: list[str], answer: bool | None
) -> None:
    assert reports_digests(image, ids) is answer


def test_an_undo_waits_until_no_pod_of_the_other_version_is_left() -> None:
    ending = pod("old", "cc")
    ending["metadata"] |= {"deletionTimestamp": "2026-11-23T21:00:00Z", "finalizers": ["x.io/hold"]}
    ending["spec"] = {"nodeName": "node-1"}
    both = snapshot(0, [*PODS, ending])
    assert judged(both).progress is Progress.DONE
    waits = judged(both, policy=BACK)
    assert waits.progress is Progress.WAITING
    assert "pod buddy-old-cc of another version is still ending (node-1, kept by x.io/hold)" in (
        waits.because
    )
    late = judged(replace(both, at=630), policy=BACK)
    assert late.reason is Reason.ROLLOUT_TOO_SLOW
    assert "kept by x.io/hold" in late.because
    over = pod("old", "cc", phase="Failed", reason="Evicted")
    assert judged(snapshot(0, [*PODS, over]), policy=BACK).progress is Progress.DONE


def test_an_undo_does_not_wait_for_the_pods_of_a_sibling_that_its_selector_names_too() -> None:
    canary = pod("5d4f", "cc")
    canary["metadata"]["name"] = "buddy-canary-5d4f-cc"
    canary["metadata"]["ownerReferences"][0]["name"] = "buddy-canary-5d4f"
    assert judged(snapshot(0, [*PODS, canary]), policy=BACK).progress is Progress.DONE


def test_a_replica_set_that_is_refused_dooms_after_a_while() -> None:
    def refused(at: float) -> Snapshot:
        said = 'replicasets.apps "buddy-1" is forbidden: exceeded quota: few'
        failed = {"type": "Progressing", "reason": "ReplicaSetCreateError", "message": said}
        found = deployment(NEW, observedGeneration=2, conditions=[failed])
        return Snapshot(found, [replica_set(OLD, "old")], [], at)

    assert judged(refused(0), refused(29)).progress is Progress.WAITING
    doomed = judged(refused(0), refused(30))
    assert doomed.reason is Reason.ROLLOUT_DOOMED
    assert "exceeded quota" in doomed.because


def test_a_missing_replica_set_is_waited_for() -> None:
    assert judged(Snapshot(deployment(NEW), [], [], 0.0)).progress is Progress.WAITING


def test_a_changed_template_supersedes() -> None:
    changed = Snapshot(deployment(OLD), [replica_set(OLD, "old")], [], 0.0)
    assert judged(changed).progress is Progress.SUPERSEDED


def test_a_restart_by_hand_supersedes_a_rollout_and_not_an_undo() -> None:
    again = snapshot()
    for one in (again.deployment, again.replica_sets[1]):
        one["spec"]["template"]["metadata"]["annotations"] = {workload.RESTARTED: "2026-11-23"}
    assert judged(again).progress is Progress.SUPERSEDED
    done = judged(again, policy=BACK)
    assert (done.progress, done.pod_hash) == (Progress.DONE, "new")


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


def test_a_pod_that_waits_to_be_started_again_is_given_the_time_for_it() -> None:
    loop = waiting("CrashLoopBackOff", "back-off", restarts=6)
    stands = {**STANDS, "crash-loop": BACK_OFF}
    patient = replace(POLICY, stands=stands, deadline=BACK_OFF + 90)
    late = judged(broken(0, loop), broken(300, loop), policy=patient)
    assert late.progress is Progress.WAITING
    never = judged(broken(0, loop), broken(300, loop), broken(331, loop), policy=patient)
    assert never.progress is Progress.DOOMED


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
        (waiting("CreateContainerConfigError", 'secret "redis-cache" not found'), 30.0),
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


@pytest.mark.parametrize(
    "past",
    [
        {"restartCount": 7},
        {"restartCount": 2, "lastState": {"terminated": {"reason": "OOMKilled"}}},
    ],
)
def test_restarts_from_before_the_release_doom_no_undo_while_the_pod_is_ready(past: Raw) -> None:
    ending = pod("bad", "cc")
    old = [pod("new", "aa", container=past), pod("new", "bb"), ending]
    shots = [snapshot(at, old) for at in (0.0, 1.0)]
    waits = judged(*shots, policy=BACK)
    assert waits.progress is Progress.WAITING
    assert "pod buddy-bad-cc of another version still runs" in waits.because
    old[0]["status"]["conditions"] = [{"type": "Ready", "status": "False"}]
    assert judged(*shots, policy=BACK).progress is Progress.DOOMED


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


def test_an_undo_is_not_judged_by_what_the_controller_said_of_the_bad_version() -> None:
    late = [{"type": "Progressing", "status": "False", "reason": "ProgressDeadlineExceeded"}]
    waiting, last = snapshot(conditions=late, ready=1), snapshot(630, conditions=late, ready=1)
    assert judged(waiting, policy=BACK).progress is Progress.WAITING
    assert judged(last, policy=BACK).reason is Reason.ROLLOUT_TOO_SLOW


@pytest.mark.parametrize(
    ("policy", "strategy", "longest"),
    [
        (POLICY, "RollingUpdate", 600),
        (POLICY, "Recreate", 4200),
        (BACK, "RollingUpdate", 4200),
        (BACK, "Recreate", 4200),
    ],
)
def test_where_pods_must_be_gone_first_they_may_use_their_grace_period(
    policy: Policy, strategy: str, longest: int
) -> None:
    policy = replace(policy, template=template(NEW))
    policy.template["spec"]["terminationGracePeriodSeconds"] = 3600

    def late(at: float) -> Snapshot:
        one = snapshot(at, ready=1)
        one.deployment["spec"] |= {"strategy": {"type": strategy}, "template": policy.template}
        return one

    assert judged(late(longest - 1), policy=policy).progress is Progress.WAITING
    assert judged(late(longest), policy=policy).reason is Reason.ROLLOUT_TOO_SLOW


def test_out_of_time_says_what_was_missing() -> None:
    late = judged(snapshot(600, ready=1))
    assert late.reason is Reason.ROLLOUT_TOO_SLOW
    assert "1 of 2 pods of buddy-new are ready after 10m" in late.because


def test_a_rollout_that_is_done_late_is_done() -> None:
    assert judged(snapshot(9999)).progress is Progress.DONE
