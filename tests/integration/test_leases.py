"""The Lease of an environment on a real API server."""

import asyncio
from itertools import pairwise
from typing import Any
from uuid import uuid4

import pytest

from activities.adapters.cluster import Cluster
from activities.leases import Leases, lease_name
from slipway.errors import Fenced, Held
from slipway.judgements.lease import holder_of
from slipway.judgements.workload import FENCE, Raw
from slipway.messages.record import AcquireLease, LeaseHeld, ReleaseLease
from tests.integration.cluster_world import ClusterWorld

pytestmark = pytest.mark.stack


@pytest.fixture
def environment() -> str:
    return f"lease-{uuid4().hex[:8]}"


def ask(place: ClusterWorld, environment: str, who: str, **more: Any) -> AcquireLease:
    return AcquireLease(namespace=place.namespace, environment=environment, deployment=who, **more)


def give(place: ClusterWorld, environment: str, who: str, turn: int = 0) -> ReleaseLease:
    return ReleaseLease(
        namespace=place.namespace, environment=environment, deployment=who, turn=turn
    )


async def holder(place: ClusterWorld, environment: str) -> str:
    lease = await place.cluster.get_lease(place.namespace, lease_name(environment))
    assert lease is not None
    return holder_of(lease)


class Freezing:
    """A cluster whose Lease is out of reach, as for a frozen process, until the test wakes it."""

    def __init__(self, cluster: Cluster, before: str) -> None:
        """`before`: the call that hangs."""
        self._cluster = cluster
        self._before = before
        self.frozen, self.awake = asyncio.Event(), asyncio.Event()

    def __getattr__(self, name: str) -> Any:
        call = getattr(self._cluster, name)
        return self._hanging(call) if name == self._before else call

    def _hanging(self, call: Any) -> Any:
        async def later(*arguments: Any) -> Raw | None:
            self.frozen.set()
            await self.awake.wait()
            found: Raw | None = await call(*arguments)
            return found

        return later


async def frozen(
    place: ClusterWorld, request: AcquireLease, before: str
) -> tuple[Freezing, "asyncio.Task[LeaseHeld]"]:
    """Begin to take the Lease and freeze before that call."""
    cluster: Any = Freezing(place.cluster, before)
    late = asyncio.create_task(Leases(cluster).acquire(request))
    await asyncio.wait_for(cluster.frozen.wait(), 120)
    return cluster, late


async def test_the_holder_who_asks_again_keeps_its_epoch(
    place: ClusterWorld, environment: str
) -> None:
    leases, request = Leases(place.cluster), ask(place, environment, "one")
    first = await leases.acquire(request)
    assert await leases.acquire(request) == first


async def test_another_deployment_is_told_who_holds_it(
    place: ClusterWorld, environment: str
) -> None:
    leases = Leases(place.cluster)
    await leases.acquire(ask(place, environment, "one"))
    with pytest.raises(Held, match="held by deployment one"):
        await leases.acquire(ask(place, environment, "two"))


async def test_epochs_rise_with_every_holder_and_every_fresh_start(
    place: ClusterWorld, environment: str
) -> None:
    leases = Leases(place.cluster)
    seen = [await leases.acquire(ask(place, environment, "one"))]
    seen.append(await leases.acquire(ask(place, environment, "one", fresh=True)))
    await leases.release(give(place, environment, "one"))
    seen.append(await leases.acquire(ask(place, environment, "two")))
    await leases.release(give(place, environment, "two"))
    seen.append(await leases.acquire(ask(place, environment, "two", turn=1)))
    epochs = [one.epoch for one in seen]
    assert epochs == sorted(set(epochs))
    assert all(a.undo_fence < b.do_fence for a, b in pairwise(seen))


async def test_only_the_holder_gives_it_back(place: ClusterWorld, environment: str) -> None:
    leases = Leases(place.cluster)
    await leases.acquire(ask(place, environment, "one"))
    await leases.release(give(place, environment, "two"))
    with pytest.raises(Held):
        await leases.acquire(ask(place, environment, "three"))
    await leases.release(give(place, environment, "one"))
    await leases.release(give(place, environment, "one"))
    assert (await leases.acquire(ask(place, environment, "three"))).deployment == "three"


@pytest.mark.parametrize("before", ["get_lease", "replace_lease"])
async def test_an_attempt_that_wakes_after_the_run_has_ended_is_refused(
    place: ClusterWorld, environment: str, before: str
) -> None:
    leases = Leases(place.cluster)
    await leases.acquire(ask(place, environment, "earlier"))
    await leases.release(give(place, environment, "earlier"))
    cluster, late = await frozen(place, ask(place, environment, "one"), before)
    await leases.acquire(ask(place, environment, "one"))
    await leases.release(give(place, environment, "one"))
    cluster.awake.set()
    with pytest.raises(Fenced, match="one has ended and given"):
        await late
    assert await holder(place, environment) == ""
    assert (await leases.acquire(ask(place, environment, "two"))).deployment == "two"


@pytest.mark.parametrize("before", ["get_lease", "create_lease"])
async def test_also_where_the_run_ended_without_a_lease(
    place: ClusterWorld, environment: str, before: str
) -> None:
    cluster, late = await frozen(place, ask(place, environment, "one"), before)
    await Leases(place.cluster).release(give(place, environment, "one"))
    cluster.awake.set()
    with pytest.raises(Fenced):
        await late
    assert await holder(place, environment) == ""


async def test_also_where_the_next_deployment_has_it(place: ClusterWorld, environment: str) -> None:
    leases = Leases(place.cluster)
    await leases.acquire(ask(place, environment, "one"))
    cluster, late = await frozen(place, ask(place, environment, "one", fresh=True), "get_lease")
    await leases.release(give(place, environment, "one"))
    held = await leases.acquire(ask(place, environment, "two"))
    cluster.awake.set()
    with pytest.raises(Fenced):
        await late
    assert await leases.acquire(ask(place, environment, "two")) == held


async def test_a_rollback_takes_the_environment_of_an_ended_deployment_and_is_over_with_its_end(
    place: ClusterWorld, environment: str
) -> None:
    leases = Leases(place.cluster)
    first = await leases.acquire(ask(place, environment, "one"))
    await leases.release(give(place, environment, "one"))
    cluster, late = await frozen(place, ask(place, environment, "one", turn=7), "get_lease")
    again = await leases.acquire(ask(place, environment, "one", turn=7))
    assert again.do_fence > first.undo_fence
    await leases.release(give(place, environment, "one", turn=7))
    cluster.awake.set()
    with pytest.raises(Fenced, match="This rollback of one has ended"):
        await late
    assert (await leases.acquire(ask(place, environment, "one", turn=8))).epoch > again.epoch


async def test_a_rollback_takes_over_from_a_terminated_run_whose_attempts_and_end_come_too_late(
    place: ClusterWorld, environment: str
) -> None:
    leases = Leases(place.cluster)
    held = await leases.acquire(ask(place, environment, "one"))
    cluster, late = await frozen(place, ask(place, environment, "one"), "get_lease")
    assert await leases.acquire(ask(place, environment, "one", turn=7)) == held
    cluster.awake.set()
    with pytest.raises(Fenced, match="later rollback of one"):
        await late
    await leases.release(give(place, environment, "one"))
    assert await holder(place, environment) == "one"
    await leases.release(give(place, environment, "one", turn=7))
    assert await holder(place, environment) == ""


async def test_an_aborted_run_resumes_and_ends(place: ClusterWorld, environment: str) -> None:
    leases = Leases(place.cluster)
    first = await leases.acquire(ask(place, environment, "one"))
    resumed = await leases.acquire(ask(place, environment, "one", fresh=True))
    assert resumed.do_fence > first.undo_fence
    await leases.release(give(place, environment, "one"))
    assert await holder(place, environment) == ""


async def test_a_lease_of_an_older_slipway_is_given_back(
    place: ClusterWorld, environment: str
) -> None:
    leases, name = Leases(place.cluster), lease_name(environment)
    spec = {"holderIdentity": "one", "leaseTransitions": 3}
    body = {"apiVersion": "coordination.k8s.io/v1", "kind": "Lease", "spec": spec}
    body["metadata"] = {"name": name, "namespace": place.namespace}
    await place.cluster.create_lease(place.namespace, body)
    assert (await leases.acquire(ask(place, environment, "one"))).epoch == 4
    await leases.release(give(place, environment, "one", turn=7))
    assert (await leases.acquire(ask(place, environment, "two"))).epoch == 5


async def test_of_many_at_once_exactly_one_gets_it(place: ClusterWorld, environment: str) -> None:
    leases = Leases(place.cluster)
    tries = (leases.acquire(ask(place, environment, f"d{number}")) for number in range(10))
    results = await asyncio.gather(*tries, return_exceptions=True)
    assert sum(isinstance(one, LeaseHeld) for one in results) == 1
    assert sum(isinstance(one, Held) for one in results) == 9


async def test_a_lease_that_was_deleted_begins_above_every_fence_that_stands(
    place: ClusterWorld, environment: str
) -> None:
    with place.admin() as kube:
        path = f"/apis/apps/v1/namespaces/{place.namespace}/deployments/q2q-ai"
        kube.merge(path, {"metadata": {"annotations": {FENCE: "4002"}}})
        try:
            held = await Leases(place.cluster).acquire(ask(place, environment, "one"))
        finally:
            kube.merge(path, {"metadata": {"annotations": {FENCE: None}}})
    assert held.do_fence > 4002
    stored = await place.cluster.get_lease(place.namespace, lease_name(environment))
    assert stored is not None
    assert stored["spec"]["holderIdentity"] == "one"
