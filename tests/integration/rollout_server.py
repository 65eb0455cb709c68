"""Situations of the API server: replies that are lost, late, spoilt or refuse; admission, quotas,
rights."""

from activities.adapters import kube_api
from slipway.judgements.environment import Right
from tests.integration.cluster_world import until
from tests.integration.kube_admission import (
    DEPLOYMENTS,
    PODS,
    policy,
    quota,
    refusing,
    webhook,
)
from tests.integration.kube_proxy import CUT, GARBAGE, LOST
from tests.integration.rollout_situations import DONE, DOOMED, situation
from tests.integration.rollout_world import End, Place, end_of, refused

AGAIN = "Unreachable (again)"
WRITE = "?fieldManager=slipway"
"""How the path of a write ends; that of a dry run goes on."""
STALE = "the server rejected our request due to an error in our request"


async def spoilt_write(p: Place, how: float | str) -> End:
    """Spoil the reply to the write itself, and say what the attempt ended with. The next attempt
    must find that it was done, or do it, once."""
    through = p.spoilt()
    apply = through.forward(await through.capture())
    p.proxy.spoil("PATCH", p.path + WRITE, how)
    end = await refused(through.rollouts.apply(apply))
    applied = await through.rollouts.apply(apply)
    assert applied.generation == apply.captured.generation + 1
    done = await through.wait(apply, applied)
    assert done.verdict.kind == "PROCEED"
    through.cluster.close()
    return end


async def spoilt_reads(p: Place, how: float | str, times: int = 3) -> End:
    """Spoil what the wait reads."""
    through = p.spoilt()
    apply = through.forward(await through.capture())
    applied = await through.rollouts.apply(apply)
    spoil = p.proxy.spoil("GET", p.path, how, times=times)
    done = await through.wait(apply, applied)
    assert spoil.met
    through.cluster.close()
    return end_of(done)


@situation(AGAIN, "did not answer")
async def a_write_whose_reply_is_lost(p: Place) -> End:
    await p.create()
    return await spoilt_write(p, LOST)


@situation(AGAIN, "did not answer")
async def a_write_whose_reply_is_cut_off(p: Place) -> End:
    await p.create()
    return await spoilt_write(p, CUT)


@situation(AGAIN, "was not answered with a JSON object")
async def a_write_that_is_answered_with_a_page(p: Place) -> End:
    await p.create()
    return await spoilt_write(p, GARBAGE)


@situation(AGAIN, "did not answer: ReadTimeoutError")
async def a_write_whose_reply_comes_too_late(p: Place) -> End:
    await p.create()
    return await spoilt_write(p, kube_api._TIMEOUTS[1] + 2.0)


@situation(AGAIN, "answered 500")
async def a_write_that_is_answered_with_500(p: Place) -> End:
    await p.create()
    return await spoilt_write(p, 500)


@situation(AGAIN, "answered 429")
async def a_write_that_is_answered_with_429(p: Place) -> End:
    await p.create()
    return await spoilt_write(p, 429)


@situation(DONE)
async def a_write_that_meets_conflicts(p: Place) -> End:
    await p.create()
    through = p.spoilt()
    apply = through.forward(await through.capture())
    for status, said in ((409, "the object has been modified"), (422, STALE)):
        p.proxy.spoil("PATCH", p.path + WRITE, status, said=said, times=2)
    applied = await through.rollouts.apply(apply)
    assert applied.generation == apply.captured.generation + 1
    end = end_of(await through.wait(apply, applied))
    through.cluster.close()
    return end


@situation("SlipwayError", "422 image: Required value")
async def a_write_that_is_invalid(p: Place) -> End:
    await p.create()
    through = p.spoilt()
    apply = through.forward(await through.capture())
    p.proxy.spoil("PATCH", p.path + WRITE, 422, said="image: Required value")
    end = await refused(through.rollouts.apply(apply))
    through.cluster.close()
    return end


@situation(DONE, "1 of 1 pods ready")
async def a_wait_that_meets_429(p: Place) -> End:
    await p.create()
    return await spoilt_reads(p, 429)


@situation(DONE, "1 of 1 pods ready")
async def a_wait_that_meets_503(p: Place) -> End:
    await p.create()
    return await spoilt_reads(p, 503)


@situation(DONE, "1 of 1 pods ready")
async def a_wait_whose_replies_are_slow(p: Place) -> End:
    await p.create()
    return await spoilt_reads(p, 2.0)


@situation(DONE, "1 of 1 pods ready")
async def a_wait_whose_replies_are_lost(p: Place) -> End:
    await p.create()
    return await spoilt_reads(p, LOST)


# Admission


@situation(AGAIN, "answered 500 Internal error occurred: failed calling webhook")
async def a_webhook_that_is_dead(p: Place) -> End:
    await p.create()
    apply = p.forward(await p.capture())
    async with webhook(p, DEPLOYMENTS, "https://127.0.0.1:1/validate"):
        end = await refused(p.rollouts.apply(apply))
    done = await p.wait(apply, await p.rollouts.apply(apply))
    assert done.verdict.kind == "PROCEED"
    return end


@situation("SlipwayError", "denied the request: images of today are forbidden")
async def a_webhook_that_refuses_the_write(p: Place) -> End:
    await p.create()
    apply = p.forward(await p.capture())
    with refusing(p.stack, "images of today are forbidden") as url:
        async with webhook(p, DEPLOYMENTS, url):
            return await refused(p.rollouts.apply(apply))


@situation(DOOMED, "denied the request: no pods today")
async def a_webhook_that_refuses_pods(p: Place) -> End:
    await p.create()
    with refusing(p.stack, "no pods today") as url:
        async with webhook(p, PODS, url):
            apply, doomed = await p.deploy()
    assert (await p.back(apply)).verdict.kind == "PROCEED"
    return end_of(doomed)


@situation("SlipwayError", "denied request: no images of today")
async def a_policy_that_refuses_the_write(p: Place) -> End:
    await p.create()
    apply = p.forward(await p.capture())
    async with policy(p, DEPLOYMENTS, "no images of today"):
        end = await refused(p.rollouts.apply(apply))
        undone = await p.rollouts.apply(p.undo(apply))  # nothing to revert, and its fence is kept
    assert not undone.changed
    assert (await refused(p.rollouts.apply(apply))).how == "Fenced"
    return end


@situation("ForeignChange", "after slipway wrote it")
async def a_policy_that_refuses_a_dry_run(p: Place) -> End:
    """Somebody else's hand has written meanwhile: a refused dry run is not the undo's own end."""
    await p.create()
    apply = p.forward(await p.capture())
    hotfix = {"spec": {"template": {"metadata": {"annotations": {"hotfix": "yes"}}}}}
    await p.merge(hotfix)
    async with policy(p, DEPLOYMENTS, "no images of today"):
        return await refused(p.rollouts.apply(p.undo(apply)))


@situation(DOOMED, "pods are refused: FailedCreate")
async def a_policy_that_refuses_pods(p: Place) -> End:
    await p.create()
    async with policy(p, PODS, "no pods of today"):
        return await p.doomed("")


@situation(DOOMED, "exceeded quota: few", own_namespace=True)
async def a_quota_of_pods(p: Place) -> End:
    await p.create()
    await quota(p, "pods")
    return await p.doomed("")


@situation(DOOMED, "its ReplicaSet is refused", own_namespace=True)
async def a_quota_of_replica_sets(p: Place) -> End:
    await p.create()
    await quota(p, "count/replicasets.apps")
    return await p.doomed("")


# Rights


@situation("Forbidden", 'resources: ["deployments"], verbs: ["patch"]', own_namespace=True)
async def a_right_that_is_taken_away_meanwhile(p: Place) -> End:
    await p.create()
    apply = p.forward(await p.capture())
    path = f"/apis/rbac.authorization.k8s.io/v1/namespaces/{p.namespace}/roles/slipway"
    role = await p.ask(p.kube.get, path)
    rules = [one for one in role["rules"] if "patch" not in one["verbs"]]
    get = {"apiGroups": ["apps"], "resources": ["deployments"], "verbs": ["get", "list"]}
    await p.merge({"rules": [*rules, get]}, path=path)
    patching = Right("patch", "apps", "deployments")

    async def taken() -> bool:
        return not await p.cluster.may(p.namespace, patching)

    await until(taken, "the right is gone")
    end = await refused(p.rollouts.apply(apply))
    await p.merge({"rules": role["rules"]}, path=path)
    await until(lambda: p.cluster.may(p.namespace, patching), "the right is back")
    assert (await p.rollouts.apply(apply)).changed
    return end
