"""The Lease of an environment on a real API server."""

import asyncio
from itertools import pairwise
from uuid import uuid4

import pytest

from activities.leases import Leases, lease_name
from slipway.errors import Held
from slipway.judgements.workload import FENCE
from slipway.messages.record import AcquireLease, LeaseHeld, ReleaseLease
from tests.integration.cluster_world import ClusterWorld

pytestmark = pytest.mark.stack


@pytest.fixture
def environment() -> str:
    return f"lease-{uuid4().hex[:8]}"


def ask(place: ClusterWorld, environment: str, who: str, **more: bool) -> AcquireLease:
    return AcquireLease(namespace=place.namespace, environment=environment, deployment=who, **more)


def give(place: ClusterWorld, environment: str, who: str) -> ReleaseLease:
    return ReleaseLease(namespace=place.namespace, environment=environment, deployment=who)


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
    seen.append(await leases.acquire(ask(place, environment, "two")))
    epochs = [one.epoch for one in seen]
    assert epochs == sorted(set(epochs))
    assert all(a.undo_fence < b.do_fence for a, b in pairwise(seen))


async def test_only_the_holder_gives_it_back(place: ClusterWorld, environment: str) -> None:
    leases = Leases(place.cluster)
    await leases.acquire(ask(place, environment, "one"))
    await leases.release(give(place, environment, "two"))
    with pytest.raises(Held):
        await leases.acquire(ask(place, environment, "two"))
    await leases.release(give(place, environment, "one"))
    await leases.release(give(place, environment, "one"))
    assert (await leases.acquire(ask(place, environment, "two"))).deployment == "two"


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
