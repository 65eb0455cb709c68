"""Situations of pods: what a new version's pods show, and what becomes of the rollout. Each that
ends badly is put back, and the old version's pods alone must run then."""

import asyncio

from slipway.judgements.rollout import STANDS
from tests.integration.cluster_world import until
from tests.integration.rollout_situations import DONE, DOOMED, TOO_SLOW, situation
from tests.integration.rollout_world import (
    LATER,
    NEW,
    OLD,
    PUPPET,
    End,
    Place,
    end_of,
    evicted,
    image,
    in_init,
    ready,
    restarted,
    waits,
)


@situation(DONE, "1 of 1 pods ready")
async def a_good_version(p: Place) -> End:
    await p.create()
    apply, done = await p.deploy()
    cause = (await p.cluster.get_deployment(p.namespace, p.name))["metadata"]["annotations"]
    assert cause["kubernetes.io/change-cause"] == "corpus"
    back = await p.back(apply)
    assert back.verdict.kind == "PROCEED"
    assert back.image_ids == [image(digest=OLD)]
    return end_of(done)


@situation(DOOMED, "not found")
async def an_image_that_is_not_there(p: Place) -> End:
    await p.create()
    return await p.doomed("-imagepull")


@situation(DOOMED, "waits in InvalidImageName")
async def an_invalid_image_name(p: Place) -> End:
    await p.create()
    async with p.puppets(waits("InvalidImageName", "couldn't parse image reference")):
        return await p.doomed()


@situation(DOOMED, "waits in ErrImageNeverPull")
async def an_image_that_must_not_be_pulled(p: Place) -> End:
    await p.create()
    async with p.puppets(waits("ErrImageNeverPull", "image is not present")):
        return await p.doomed()


@situation(DOOMED, "i/o timeout")
async def a_registry_that_does_not_answer(p: Place) -> End:
    await p.create()
    async with p.puppets(waits("ErrImagePull", "dial tcp 10.0.0.9:443: i/o timeout")):
        return await p.doomed()


@situation(DONE)
async def a_registry_that_answers_at_last(p: Place) -> End:
    await p.create()
    p.stands = STANDS  # "at last" is soon enough, however slow the machine is
    async with p.puppets(waits("ImagePullBackOff", "Back-off pulling image")):
        apply = p.forward(await p.capture(), PUPPET)
        waiting = asyncio.create_task(p.wait(apply, await p.rollouts.apply(apply)))
        pod = await p.started("Back-off")
    path = f"/api/v1/namespaces/{p.namespace}/pods/{pod['metadata']['name']}/status"
    await p.merge({"status": ready()(pod)}, path=path)
    return end_of(await waiting)


@situation(DOOMED, "code 1")
async def a_crash_loop(p: Place) -> End:
    await p.create()
    return await p.doomed("-crashloop")


@situation(DOOMED, "restarted 3 times (last exit: Error, code 1)")
async def a_container_that_restarts_three_times(p: Place) -> End:
    await p.create()
    async with p.puppets(restarted(3)):
        return await p.doomed()


@situation(DOOMED, "ran out of memory 2 times")
async def a_container_that_runs_out_of_memory_twice(p: Place) -> End:
    await p.create()
    async with p.puppets(restarted(2, "OOMKilled", 137)):
        return await p.doomed()


@situation(DOOMED, "container prepare of pod")
async def an_init_container_that_crashes(p: Place) -> End:
    await p.create()
    async with p.puppets(in_init("CrashLoopBackOff")):
        return await p.doomed()


@situation(DOOMED, 'secret "app" not found')
async def a_secret_that_is_not_there(p: Place) -> End:
    await p.create()
    async with p.puppets(waits("CreateContainerConfigError", 'secret "app" not found')):
        return await p.doomed()


@situation(DOOMED, "exec format error")
async def an_image_for_another_machine(p: Place) -> End:
    await p.create()
    async with p.puppets(waits("RunContainerError", "exec /app: exec format error")):
        return await p.doomed()


@situation(TOO_SLOW, "the time a rollout may take")
async def a_cache_of_the_kubelet_that_is_late(p: Place) -> End:
    await p.create()
    said = "failed to sync configmap cache: timed out waiting for the condition"
    async with p.puppets(waits("CreateContainerConfigError", said)):
        return await p.doomed(deadline=8)


@situation(TOO_SLOW, "the time a rollout may take")
async def a_container_that_is_never_ready(p: Place) -> End:
    await p.create()
    return await p.doomed(deadline=5)


@situation(TOO_SLOW, "progressDeadlineSeconds")
async def no_progress_within_the_deployments_own_deadline(p: Place) -> End:
    await p.create(progressDeadlineSeconds=3)
    return await p.doomed()


@situation(DOOMED, "finds no node")
async def no_node_for_the_new_pod(p: Place) -> End:
    own = {"matchLabels": {"app": p.name}}
    apart = {"labelSelector": own, "topologyKey": "kubernetes.io/os"}
    rule = {"requiredDuringSchedulingIgnoredDuringExecution": [apart]}
    await p.create(pod={"affinity": {"podAntiAffinity": rule}})
    return await p.doomed("")


@situation(DONE, "1 of 1 pods ready")
async def a_pod_that_is_evicted_and_replaced(p: Place) -> End:
    await p.create()
    async with p.puppets(evicted, ready()):
        return end_of((await p.deploy(PUPPET))[1])


@situation(DOOMED, f"not the approved sha256:{'b' * 64}")
async def another_digest_than_the_approved_one(p: Place) -> End:
    await p.create()
    async with p.puppets(ready(imageID=image(digest=LATER))):
        return await p.doomed()


@situation(DONE, "was not compared: the nodes report no digest")
async def a_node_that_reports_no_digest(p: Place) -> End:
    await p.create()
    async with p.puppets(ready(imageID="")):
        return end_of((await p.deploy(PUPPET))[1])


@situation(DONE, "reported another digest for the pinned image before")
async def nodes_that_report_the_platforms_digest(p: Place) -> End:
    async with p.puppets(ready(imageID=image(digest=LATER))):
        await p.create(first=image(PUPPET, OLD))
        return end_of((await p.deploy(PUPPET))[1])


@situation(DONE, "names no digest")
async def an_undo_to_an_image_by_tag(p: Place) -> End:
    await p.create(first="registry.example/app:1")
    return end_of(await p.back((await p.deploy())[0]))


async def _new_pods(p: Place) -> list[str]:
    """The paths of the new version's pods; one of the old version may still be going."""
    pods = [one for one in await p.pods() if "deletionTimestamp" not in one["metadata"]]
    new = [one for one in pods if NEW in one["spec"]["containers"][0]["image"]]
    assert new, "a pod of the new version"
    return [f"/api/v1/namespaces/{p.namespace}/pods/{one['metadata']['name']}" for one in new]


@situation(DONE, "1 of 1 pods ready")
async def a_pod_of_the_bad_version_that_ends_late(p: Place) -> End:
    await p.create()
    apply, _ = await p.deploy()
    held = await _new_pods(p)
    for path in held:
        await p.merge({"metadata": {"finalizers": ["slipway.test/hold"]}}, path=path)
    undo = p.undo(apply)
    waiting = asyncio.create_task(p.wait(undo, await p.rollouts.apply(undo)))
    await p.at_rest()
    await asyncio.wait([waiting], timeout=2)
    assert not waiting.done(), "the pod of the bad version has not ended"
    for path in held:
        await p.merge({"metadata": {"finalizers": None}}, path=path)
    return end_of(await waiting)


@situation(TOO_SLOW, "kept by slipway.test/hold")
async def a_pod_of_the_bad_version_that_never_ends(p: Place) -> End:
    await p.create()
    apply, _ = await p.deploy()
    held = await _new_pods(p)
    for path in held:
        await p.merge({"metadata": {"finalizers": ["slipway.test/hold"]}}, path=path)
    undo = p.undo(apply)
    undone = await p.rollouts.apply(undo)

    async def ends() -> bool:  # only then the old version's pod serves, and this one alone is left
        bad = [await p.ask(p.kube.get, path) for path in held]
        return all("deletionTimestamp" in one["metadata"] for one in bad)

    await until(ends, "the pod of the bad version is being deleted")
    await p.at_rest()
    late = await p.wait(undo, undone, deadline=6)
    for path in held:
        await p.merge({"metadata": {"finalizers": None}}, path=path)
    return end_of(late)
