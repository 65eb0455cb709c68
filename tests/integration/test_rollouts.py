"""Rollouts on a real control plane: forward, back, twice, frozen, foreign, doomed."""

import asyncio

import pytest

from slipway.errors import Fenced, ForeignChange, NotReplaceable
from slipway.judgements import workload as objects
from slipway.messages.rollout import Capture, FenceService
from slipway.verdicts import Kind, Reason
from tests.integration.cluster_world import ClusterWorld

pytestmark = pytest.mark.stack


def path(place: ClusterWorld, service: str) -> str:
    return f"/apis/apps/v1/namespaces/{place.namespace}/deployments/{service}"


async def test_forward_and_back(place: ClusterWorld) -> None:
    before = await place.capture("reporting")
    apply, done = await place.deploy("reporting")
    assert done.verdict.kind is Kind.PROCEED
    assert done.pod_hash != before.pod_hash
    assert done.replicas == before.replicas
    assert done.image_ids == [apply.image]
    await place.put_back(apply)
    after = await place.capture("reporting")
    assert after.template == before.template
    assert after.pod_hash == before.pod_hash


async def test_many_attempts_of_one_operation_write_once(place: ClusterWorld) -> None:
    captured = await place.capture("buddy")
    apply = place.forward("buddy", captured, "1.1.0", None)
    results = await asyncio.gather(*(place.rollouts.apply(apply) for _ in range(6)))
    assert {one.generation for one in results} == {captured.generation + 1}
    assert sum(one.changed for one in results) == 1
    await place.put_back(apply)


async def test_a_frozen_attempt_that_wakes_after_the_undo_deploys_nothing(
    place: ClusterWorld,
) -> None:
    captured = await place.capture("journey")
    apply = place.forward("journey", captured, "1.1.0", None)
    await place.rollouts.apply(apply)
    await place.put_back(apply)
    with pytest.raises(Fenced):
        await place.rollouts.apply(apply)
    assert (await place.capture("journey")).template == captured.template


async def test_an_undo_with_nothing_to_revert_keeps_a_late_first_attempt_out(
    place: ClusterWorld,
) -> None:
    captured = await place.capture("journey")
    apply = place.forward("journey", captured, "1.1.0", None)
    undone = await place.rollouts.apply(place.undo(apply))
    assert not undone.changed
    with pytest.raises(Fenced):
        await place.rollouts.apply(apply)
    assert (await place.capture("journey")).template == captured.template


async def test_a_stop_fence_keeps_forward_attempts_out_and_the_undo_not(
    place: ClusterWorld,
) -> None:
    captured = await place.capture("journey")
    apply = place.forward("journey", captured, "1.1.0", None)
    await place.rollouts.apply(apply)
    stop = FenceService(
        workload=apply.workload,
        uid=captured.uid,
        fence=apply.fence + 1,
        op_id=f"{place.run}/stop:rollout:journey",
    )
    assert not (await place.rollouts.fence(stop)).changed
    assert not (await place.rollouts.fence(stop)).changed
    with pytest.raises(Fenced):
        await place.rollouts.apply(apply)
    await place.put_back(apply)
    assert (await place.capture("journey")).template == captured.template


async def test_fencing_what_is_gone_is_a_success(place: ClusterWorld) -> None:
    stop = FenceService(workload=place.workload("nowhere"), uid="x", fence=1, op_id="x/stop:y")
    assert not (await place.rollouts.fence(stop)).changed


async def test_somebody_elses_image_is_not_written_over(place: ClusterWorld) -> None:
    captured = await place.capture("q2q-ai")
    apply = place.forward("q2q-ai", captured, "1.1.0", None)
    hotfix = {"spec": {"template": {"metadata": {"annotations": {"hotfix": "yes"}}}}}
    with place.admin() as kube:
        kube.merge(path(place, "q2q-ai"), hotfix)
        with pytest.raises(ForeignChange):
            await place.rollouts.apply(apply)
        kube.merge(
            path(place, "q2q-ai"),
            {"spec": {"template": {"metadata": {"annotations": {"hotfix": None}}}}},
        )
    await place.wait(apply, await place.rollouts.apply(apply))
    with place.admin() as kube:
        kube.merge(path(place, "q2q-ai"), hotfix)
        with pytest.raises(ForeignChange):
            await place.rollouts.apply(place.undo(apply))
        kube.merge(
            path(place, "q2q-ai"),
            {"spec": {"template": {"metadata": {"annotations": {"hotfix": None}}}}},
        )
    await place.put_back(apply)


async def test_waiting_ends_when_somebody_else_changes_the_template(place: ClusterWorld) -> None:
    captured = await place.capture("q2q-ai")
    apply = place.forward("q2q-ai", captured, "1.1.0", "crashloop")
    applied = await place.rollouts.apply(apply)
    await place.put_back(apply)
    with pytest.raises(ForeignChange):
        await place.wait(apply, applied)


async def test_a_crash_loop_is_doomed_with_pod_exit_code_and_last_log_line(
    place: ClusterWorld,
) -> None:
    apply, doomed = await place.deploy("safety-moderation", "crashloop")
    try:
        assert doomed.verdict.kind is Kind.ROLLBACK
        assert doomed.verdict.reason is Reason.ROLLOUT_DOOMED
        assert "safety-moderation-" in doomed.verdict.because
        assert "code 1" in doomed.verdict.because
        applied = await place.rollouts.apply(apply)
        async with asyncio.timeout(120):
            while not any("TEEI_REGION" in line for line in doomed.log_tail):  # not written yet
                doomed = await place.wait(apply, applied)
    finally:
        await place.put_back(apply)


async def test_a_rollout_that_never_gets_ready_is_too_slow(place: ClusterWorld) -> None:
    captured = await place.capture("safety-moderation")
    apply = place.forward("safety-moderation", captured, "1.1.0", "neverready")
    applied = await place.rollouts.apply(apply)
    slow = await place.wait(apply, applied, deadline=0.1)
    await place.put_back(apply)
    assert slow.verdict.reason is Reason.ROLLOUT_TOO_SLOW


async def test_what_is_paused_owned_or_restless_is_not_captured(place: ClusterWorld) -> None:
    deployment = path(place, "impact-in")
    changes = (
        ({"spec": {"paused": True}}, {"spec": {"paused": False}}, "paused"),
        (
            {"metadata": {"annotations": {"argocd.argoproj.io/tracking-id": "x"}}},
            {"metadata": {"annotations": {"argocd.argoproj.io/tracking-id": None}}},
            "Argo CD",
        ),
    )
    with place.admin() as kube:
        for change, back, said in changes:
            kube.merge(deployment, change)
            with pytest.raises(NotReplaceable, match=said):
                await place.capture("impact-in")
            kube.merge(deployment, back)
    work = place.workload("impact-in").model_copy(update={"container": "other"})
    with pytest.raises(NotReplaceable, match="container"):
        await place.rollouts.capture(Capture(workload=work))


async def test_fields_no_model_knows_survive(place: ClusterWorld) -> None:
    """The template is read and written as raw JSON."""
    captured = await place.capture("impact-in")
    found = await place.cluster.get_deployment(place.namespace, "impact-in")
    assert captured.template == objects.template_of(found)
    assert captured.template["spec"]["containers"][0]["resources"]["limits"] == {"memory": "256Mi"}
