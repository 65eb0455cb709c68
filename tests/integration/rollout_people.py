"""Situations of others who write: scaling, pausing, hot fixes, GitOps, deletion, settings; and of
slipway's own attempts that come twice, late or out of order."""

import asyncio
from collections.abc import Callable
from typing import Any

from slipway.judgements.capturing import MOMENT
from slipway.judgements.environment import SECRETS
from slipway.messages.rollout import FenceService
from tests.integration.cluster_world import until
from tests.integration.rollout_situations import DONE, DOOMED, situation
from tests.integration.rollout_world import (
    OLD,
    PUPPET,
    STRATEGIC,
    End,
    Place,
    end_of,
    image,
    ready,
    refused,
)

FOREIGN, NOT_NOW = "ForeignChange", "NotReplaceable"
HOTFIX = {"spec": {"template": {"metadata": {"annotations": {"hotfix": "yes"}}}}}
ARGO = {"metadata": {"annotations": {"argocd.argoproj.io/tracking-id": "a:apps/Deployment:b/c"}}}


def restart(at: str) -> dict[str, Any]:
    """What `kubectl rollout restart` merges."""
    notes = {"kubectl.kubernetes.io/restartedAt": at}
    return {"spec": {"template": {"metadata": {"annotations": notes}}}}


def paused(answer: bool) -> dict[str, Any]:
    return {"spec": {"paused": answer}}


async def meanwhile(p: Place, do: dict[str, Any], *states: Callable[..., Any]) -> Any:
    """Deploy, and let somebody merge something while the new pods are awaited; only then they get
    their states."""
    apply = p.forward(await p.capture(), PUPPET)
    waiting = asyncio.create_task(p.wait(apply, await p.rollouts.apply(apply)))
    await p.started()
    await p.merge(do)
    async with p.puppets(*states):
        return apply, await waiting


# Scaling


@situation(DONE, "3 of 3 pods ready")
async def an_autoscaler_that_scales_up_meanwhile(p: Place) -> End:
    await p.create()
    return end_of((await meanwhile(p, {"spec": {"replicas": 3}}, ready()))[1])


@situation(DONE, "1 of 1 pods ready")
async def an_autoscaler_that_scales_down_meanwhile(p: Place) -> End:
    await p.create(replicas=3)
    return end_of((await meanwhile(p, {"spec": {"replicas": 1}}, ready()))[1])


@situation(DONE, "2 of 2 pods ready")
async def an_autoscaler_that_has_just_added_a_pod(p: Place) -> End:
    async with p.puppets(ready()):
        await p.create(first=image(PUPPET, OLD))
    await p.merge({"spec": {"replicas": 2}})
    capturing = asyncio.create_task(p.capture(patience=120))
    await asyncio.wait([capturing], timeout=2 * MOMENT)
    assert not capturing.done(), "the pod is not ready yet"
    async with p.puppets(ready()):
        assert (await capturing).replicas == 2
    return end_of((await p.deploy())[1])


@situation(DOOMED, "scaled it to 0 replicas")
async def somebody_who_scales_to_zero_meanwhile(p: Place) -> End:
    await p.create()
    apply, doomed = await meanwhile(p, {"spec": {"replicas": 0}}, ready())
    back = await p.back(apply)
    assert "nothing runs that could be verified" in back.verdict.because
    return end_of(doomed)


@situation(NOT_NOW, "has 0 replicas")
async def nothing_to_replace(p: Place) -> End:
    await p.create(replicas=0)
    return await refused(p.capture())


# Pausing, hot fixes, other tools


@situation(NOT_NOW, "kubectl rollout resume")
async def paused_before(p: Place) -> End:
    await p.create()
    await p.merge(paused(True))
    return await refused(p.capture())


@situation(FOREIGN, "was paused since it was captured")
async def paused_between_capture_and_write(p: Place) -> End:
    await p.create()
    apply = p.forward(await p.capture())
    await p.merge(paused(True))
    return await refused(p.rollouts.apply(apply))


@situation(FOREIGN, "kubectl rollout resume")
async def paused_while_waiting(p: Place) -> End:
    await p.create()
    apply = p.forward(await p.capture(), PUPPET)
    applied = await p.rollouts.apply(apply)
    await p.merge(paused(True))
    end = await refused(p.wait(apply, applied))
    undo = p.undo(apply)
    undone = await p.rollouts.apply(undo)  # written although it is paused
    assert (await refused(p.wait(undo, undone))).how == FOREIGN
    await p.merge(paused(False))
    assert (await p.wait(undo, undone)).verdict.kind == "PROCEED"
    return end


@situation(NOT_NOW, "not at rest")
async def in_mid_rollout(p: Place) -> End:
    await p.create(replicas=2)
    template = {"spec": {"containers": [{"name": "app", "image": image(PUPPET)}]}}
    await p.ask(p.kube.patch, p.path, {"spec": {"template": template}}, STRATEGIC)
    return await refused(p.capture())


@situation(NOT_NOW, "not at rest")
async def unhealthy_before(p: Place) -> End:
    await p.create(first=image(PUPPET), rest=False)
    return await refused(p.capture())


@situation(FOREIGN, "since it was captured")
async def a_hotfix_between_capture_and_write(p: Place) -> End:
    await p.create()
    apply = p.forward(await p.capture())
    await p.merge(HOTFIX)
    return await refused(p.rollouts.apply(apply))


@situation(FOREIGN, "Somebody else changed the template")
async def a_hotfix_while_waiting(p: Place) -> End:
    await p.create()
    apply = p.forward(await p.capture(), PUPPET)
    applied = await p.rollouts.apply(apply)
    await p.merge(HOTFIX)
    return await refused(p.wait(apply, applied))


@situation(FOREIGN, "after slipway wrote it")
async def a_hotfix_before_the_undo(p: Place) -> End:
    await p.create()
    apply, _ = await p.deploy()
    await p.merge(HOTFIX)
    return await refused(p.rollouts.apply(p.undo(apply)))


@situation(DONE, "1 of 1 pods ready")
async def a_restart_by_hand_before_and_after_the_undo(p: Place) -> End:
    await p.create()
    apply, _ = await p.deploy()
    await p.merge(restart("2026-11-23T21:00:00Z"))
    back = await p.back(apply)
    await p.merge(restart("2026-11-23T22:00:00Z"))
    undo = p.undo(apply)
    again = await p.rollouts.apply(undo)
    assert not again.changed, "the old version stands, restarted"
    assert (await p.wait(undo, again)).pod_hash != back.pod_hash
    return end_of(back)


@situation(NOT_NOW, "managed by Argo CD")
async def owned_by_argo_cd(p: Place) -> End:
    await p.create()
    await p.merge(ARGO)
    await p.at_rest()
    return await refused(p.capture())


@situation(NOT_NOW, "managed by Flux")
async def owned_by_flux(p: Place) -> End:
    await p.create()
    await p.merge({"metadata": {"labels": {"kustomize.toolkit.fluxcd.io/name": "apps"}}})
    return await refused(p.capture())


@situation(NOT_NOW, "managed by Helm")
async def written_by_helm_as_its_managed_fields_tell(p: Place) -> End:
    await p.create()
    await p.ask(p.kube.patch, p.path, HOTFIX, STRATEGIC, fieldManager="helm")
    await p.at_rest()
    return await refused(p.capture())


@situation(FOREIGN, "managed by Argo CD")
async def taken_over_between_capture_and_write(p: Place) -> End:
    await p.create()
    apply = p.forward(await p.capture())
    await p.merge(ARGO)
    return await refused(p.rollouts.apply(apply))


# Deletion


@situation(FOREIGN, "is gone")
async def deleted_before_the_write(p: Place) -> End:
    await p.create()
    apply = p.forward(await p.capture())
    await p.ask(p.kube.delete, p.path)
    return await refused(p.rollouts.apply(apply))


@situation(FOREIGN, "created anew since it was captured")
async def created_anew_before_the_write(p: Place) -> End:
    await p.create()
    apply = p.forward(await p.capture())
    await p.ask(p.kube.delete, p.path)
    await p.create(rest=False)
    return await refused(p.rollouts.apply(apply))


@situation(FOREIGN, "deleted or created anew")
async def created_anew_while_waiting(p: Place) -> End:
    await p.create()
    apply = p.forward(await p.capture(), PUPPET)
    applied = await p.rollouts.apply(apply)
    await p.ask(p.kube.delete, p.path)
    await p.create(rest=False)
    return await refused(p.wait(apply, applied))


@situation(FOREIGN, "only kept by slipway.test/hold")
async def held_by_a_finalizer(p: Place) -> End:
    await p.create()
    apply = p.forward(await p.capture())
    await p.merge({"metadata": {"finalizers": ["slipway.test/hold"]}})
    await p.ask(p.kube.delete, p.path)
    captured = await refused(p.capture())
    assert "is being deleted" in captured.because
    end = await refused(p.rollouts.apply(apply))
    await p.merge({"metadata": {"finalizers": None}})
    return end


# slipway's own attempts


@situation(DONE)
async def an_undo_that_is_tried_twice(p: Place) -> End:
    await p.create()
    apply, _ = await p.deploy()
    undo = p.undo(apply)
    first, second = [await p.rollouts.apply(undo) for _ in range(2)]
    assert (first.changed, second.changed) == (True, False)
    assert second.generation == first.generation
    return end_of(await p.wait(undo, second))


@situation("Fenced", "a later decision stands")
async def a_frozen_attempt_that_wakes_after_the_undo(p: Place) -> End:
    await p.create()
    apply, _ = await p.deploy()
    await p.back(apply)
    return await refused(p.rollouts.apply(apply))


@situation("Fenced", "a later decision stands")
async def a_first_attempt_that_wakes_after_an_empty_undo(p: Place) -> End:
    await p.create()
    apply = p.forward(await p.capture())
    assert not (await p.rollouts.apply(p.undo(apply))).changed
    return await refused(p.rollouts.apply(apply))


@situation("Fenced", "a later decision stands")
async def an_attempt_after_an_acknowledged_abort(p: Place) -> End:
    await p.create()
    apply = p.forward(await p.capture())
    op_id = f"{p.lease.deployment}/stop:{p.name}"
    fence, uid = p.lease.stop_fence, apply.captured.uid
    await p.rollouts.fence(FenceService(workload=p.work, uid=uid, fence=fence, op_id=op_id))
    return await refused(p.rollouts.apply(apply))


@situation(DONE)
async def six_attempts_at_once(p: Place) -> End:
    await p.create()
    apply = p.forward(await p.capture())
    applied = await asyncio.gather(*(p.rollouts.apply(apply) for _ in range(6)))
    assert sum(one.changed for one in applied) == 1
    assert len({one.generation for one in applied}) == 1
    return end_of(await p.wait(apply, applied[0]))


@situation(DONE, "1 of 1 pods ready")
async def an_undo_whose_replica_set_was_pruned(p: Place) -> End:
    await p.create(revisionHistoryLimit=0)
    apply, done = await p.deploy()
    back = await p.back(apply)
    assert back.replica_set != done.replica_set
    return end_of(back)


# Settings


def from_settings(name: str) -> dict[str, Any]:
    """A pod that takes its variables from a ConfigMap and a Secret of that name."""
    sources = [
        {"configMapRef": {"name": name, "optional": True}},
        {"secretRef": {"name": name, "optional": True}},
    ]
    return {"container": {"envFrom": sources}}


async def make_settings(p: Place, *kinds: str) -> dict[str, str]:
    """Create a ConfigMap, a Secret or both; return their paths."""
    base = f"/api/v1/namespaces/{p.namespace}"
    for kind in kinds:
        data = {"metadata": {"name": p.name}, "data": {"A": "MQ=="}}
        await p.ask(p.kube.create, f"{base}/{kind}", data)
    return {kind: f"{base}/{kind}/{p.name}" for kind in kinds}


async def may_read_secret(p: Place) -> None:
    """Give slipway the rule that deploy/k8s describes: on this name and no other."""
    role = {
        "metadata": {"name": p.name},
        "rules": [
            {
                "apiGroups": [""],
                "resources": ["secrets"],
                "resourceNames": [p.name],
                "verbs": ["get"],
            }
        ],
    }
    reference = {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": p.name}
    user = {"apiGroup": "rbac.authorization.k8s.io", "kind": "User", "name": "slipway"}
    binding = {"metadata": {"name": p.name}, "roleRef": reference, "subjects": [user]}
    base = f"/apis/rbac.authorization.k8s.io/v1/namespaces/{p.namespace}"
    await p.ask(p.kube.create, f"{base}/roles", role)
    await p.ask(p.kube.create, f"{base}/rolebindings", binding)
    await until(lambda: p.cluster.may(p.namespace, SECRETS, p.name), "the Secret can be read")


@situation(DONE, "holds other data since. slipway does not write settings")
async def a_config_map_that_changes_before_the_undo(p: Place) -> End:
    made = await make_settings(p, "configmaps")
    await p.create(pod=from_settings(p.name))
    apply, _ = await p.deploy()
    await p.merge({"data": {"A": "2"}}, path=made["configmaps"])
    return end_of(await p.back(apply))


@situation(DONE, "was created since the capture")
async def an_optional_config_map_that_appears(p: Place) -> End:
    await p.create(pod=from_settings(p.name))
    apply, _ = await p.deploy()
    await make_settings(p, "configmaps")
    return end_of(await p.back(apply))


@situation(DONE)
async def a_config_map_that_only_gets_a_label(p: Place) -> End:
    made = await make_settings(p, "configmaps")
    await p.create(pod=from_settings(p.name))
    apply, _ = await p.deploy()
    await p.merge({"metadata": {"labels": {"team": "x"}}}, path=made["configmaps"])
    end = end_of(await p.back(apply))
    assert "other data" not in end.because
    return end


@situation(DONE, "Not compared with before: Secret")
async def a_secret_that_slipway_may_not_read(p: Place) -> End:
    await make_settings(p, "secrets")
    await p.create(pod=from_settings(p.name))
    return end_of(await p.back((await p.deploy())[0]))


@situation(DONE, "was written since the capture")
async def a_secret_that_changes_before_the_undo(p: Place) -> End:
    made = await make_settings(p, "configmaps", "secrets")
    await p.create(pod=from_settings(p.name))
    await may_read_secret(p)
    apply, _ = await p.deploy()
    kept = apply.captured.model_dump_json()
    assert "MQ==" not in kept
    assert f'"name":"{p.name}"' in kept
    await p.merge({"data": {"A": "Mg=="}}, path=made["secrets"])
    return end_of(await p.back(apply))


@situation(DONE, "1 of 1 pods ready")
async def an_old_version_that_ran_before(p: Place) -> End:
    """Two releases one after the other, and the second goes back to the first, not further."""
    await p.create()
    await p.deploy()
    p.epoch += 1
    apply = p.forward(await p.capture(), "-2")
    await p.wait(apply, await p.rollouts.apply(apply))
    back = await p.back(apply)
    assert back.image_ids == [image()] != [image(digest=OLD)]
    return end_of(back)
