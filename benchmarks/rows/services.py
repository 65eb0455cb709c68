"""All eleven services back on their old version: slipway's undo, newest first and waited for side
by side, against `kubectl rollout undo` and `rollout status` of one after the other.

On the local stack: the control plane is real, pods get ready after 200 ms. What is compared is the
order and the waiting, not how long a service takes to start.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Any

from benchmarks.figures import Figure, spread
from devstack import testing
from devstack.world.images import image
from slipway.messages.rollout import Apply, AwaitRollout
from tests.integration.cluster_world import ClusterWorld, activity, make, until

_BAD = "1.1.0"
_WITHIN = 120.0


def measure(runs: int) -> tuple[list[Figure], list[dict[str, Any]]]:
    """Roll everything out and back by each way in turns."""
    try:
        return asyncio.run(_measure(runs))
    finally:
        testing.release()


async def _measure(runs: int) -> tuple[list[Figure], list[dict[str, Any]]]:
    raw = []
    async with make(testing.running_stack(), "bench") as world:
        for _ in range(runs):
            raw.append(
                {
                    "slipway": await _timed(world, _by_slipway),
                    "kubectl": await _timed(world, lambda w, _: _by_kubectl(w)),
                }
            )
    return [
        Figure(
            "eleven services back, slipway against serial kubectl",
            spread([one["slipway"] / one["kubectl"] for one in raw]),
            "x",
            note="Until every pod of the old version is ready and none of the new one is left.",
        ),
        Figure("… slipway", spread([one["slipway"] for one in raw]), "s"),
        Figure("… kubectl", spread([one["kubectl"] for one in raw]), "s"),
    ], raw


async def _timed(
    world: ClusterWorld, take_back: Callable[[ClusterWorld, list[Apply]], Awaitable[None]]
) -> float:
    """Return the seconds from the decision until the old version runs, seen from outside."""
    applied = list(await asyncio.gather(*(_rolled_out(world, one) for one in _names(world))))
    if await _back(world):
        raise RuntimeError("Nothing was rolled out that could be taken back.")
    began = time.monotonic()
    work = asyncio.ensure_future(take_back(world, applied))
    await until(lambda: _back(world), "the old version runs everywhere", _WITHIN)
    took = time.monotonic() - began
    await work
    return took


def _names(world: ClusterWorld) -> list[str]:
    return [one.name for one in world.plan.services]


async def _rolled_out(world: ClusterWorld, service: str) -> Apply:
    captured = await world.capture(service)
    apply = world.forward(service, captured, _BAD, None)
    done = await world.wait(apply, await world.rollouts.apply(apply))
    if done.verdict.kind.value != "PROCEED":
        raise RuntimeError(done.verdict.because)
    return apply


async def _back(world: ClusterWorld) -> bool:
    """Whether every pod is of the old version, and every Deployment has all of its own ready."""
    pods = await world.cluster.list_pods(world.namespace)
    new = {image(name, _BAD) for name in _names(world)}
    if any(one["image"] in new for pod in pods for one in pod["spec"]["containers"]):
        return False
    deployments = await world.cluster.list_deployments(world.namespace)
    return all(
        (one["status"].get("readyReplicas") or 0) == one["spec"]["replicas"]
        and one["status"].get("observedGeneration") == one["metadata"]["generation"]
        for one in deployments
    )


async def _by_slipway(world: ClusterWorld, applied: list[Apply]) -> None:
    """As `workflows/phases/roll_back.py` does: written newest first, all waited for at once."""
    waits = []
    for one in reversed(applied):
        undo = world.undo(one)
        written = await world.rollouts.apply(undo)
        request = AwaitRollout(
            workload=undo.workload,
            template=written.template,
            image=undo.captured.image,
            deadline=_WITHIN,
            uid=undo.captured.uid,
            back=True,
            captured=undo.captured,
        )
        waits.append(asyncio.ensure_future(activity(world.rollouts.wait, request)))
    await asyncio.gather(*waits)


async def _by_kubectl(world: ClusterWorld) -> None:
    for name in reversed(_names(world)):
        for command in ("undo", "status"):
            await _kubectl(world, "rollout", command, f"deployment/{name}")


async def _kubectl(world: ClusterWorld, *arguments: str) -> None:
    running = await asyncio.create_subprocess_exec(
        world.stack.kubectl,
        f"--kubeconfig={world.stack.kube_world_kubeconfig}",
        f"--namespace={world.namespace}",
        *arguments,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    said, _ = await running.communicate()
    if running.returncode != 0:
        raise RuntimeError(said.decode())
