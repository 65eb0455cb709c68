"""The corpus of rollouts on a real control plane: every situation side by side, each in its own
Deployment, and how it ended."""

import asyncio
import traceback
import uuid
from collections.abc import AsyncIterator

import pytest

from activities.adapters.cluster import Cluster
from activities.adapters.kube_api import KubeApi
from devstack.stack import Stack
from devstack.world.kube import Kube
from tests.integration import rollout_people, rollout_server, rollout_signs
from tests.integration.kube_proxy import proxy
from tests.integration.rollout_situations import SITUATIONS, Situation
from tests.integration.rollout_world import End, Place, namespace

pytestmark = pytest.mark.stack

TABLE = {one.name: one for one in SITUATIONS}
MODULES = (rollout_people, rollout_server, rollout_signs)
"""What fills the table."""
_SIDE_BY_SIDE = 12
_LONGEST = 600.0


@pytest.fixture(scope="module")
async def ends(request: pytest.FixtureRequest, stack: Stack) -> AsyncIterator[dict[str, End]]:
    """How each situation ended that this session asks for."""
    asked = {one.name.partition("[")[2].rstrip("]") for one in request.session.items}
    cases = [one for one in SITUATIONS if one.name in asked]
    with pytest.MonkeyPatch.context() as patch, Kube(stack) as kube, proxy(stack) as spoiling:
        patch.setenv("KUBECONFIG", stack.kube_slipway_kubeconfig)
        cluster = Cluster(KubeApi.connect())
        limit = asyncio.Semaphore(_SIDE_BY_SIDE)
        shared = f"corpus-{uuid.uuid4().hex[:6]}"

        async def one(case: Situation) -> End:
            async with limit:
                where = f"{shared}-{case.name[-30:]}".rstrip("-") if case.own_namespace else shared
                place = Place(stack, kube, spoiling, where, case.name, cluster)
                if not case.own_namespace:
                    return await run(case, place)
                async with namespace(stack, where):
                    return await run(case, place)

        async with namespace(stack, shared):
            found = await asyncio.gather(*map(one, cases))
        cluster.close()
        print(f"\n{len(found)} situations of rollouts on a real control plane")
        yield {case.name: end for case, end in zip(cases, found, strict=True)}


async def run(case: Situation, place: Place) -> End:
    """Run one; what breaks in it must not hide how the others end."""
    try:
        async with asyncio.timeout(_LONGEST):
            return await case.act(place)
    except Exception as error:
        return End(f"broke: {type(error).__name__}", "".join(traceback.format_exception(error)))


@pytest.mark.parametrize("name", TABLE)
async def test_a_situation_ends_as_it_must(ends: dict[str, End], name: str) -> None:
    case, end = TABLE[name], ends[name]
    assert (end.how, case.says in end.because) == (case.ends, True), end


def test_the_corpus_is_large_enough() -> None:
    assert len(TABLE) == len(SITUATIONS) >= 60, "each name once"
    assert all(len(name) <= 63 for name in TABLE), "names of Deployments"
