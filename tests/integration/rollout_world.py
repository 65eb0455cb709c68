"""Namespaces of the rollout corpus: small Deployments with slipway's own rights, pods whose state a
test gives, and the server's admission."""

import asyncio
import contextlib
import itertools
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from activities.adapters.cluster import Cluster
from activities.adapters.loki import Loki
from activities.log_source import LogSource
from activities.rollouts import Rollouts
from devstack.errors import StackError
from devstack.stack import Stack
from devstack.world import cluster as objects
from devstack.world.kube import Kube
from slipway.errors import SlipwayError
from slipway.judgements.rollout import STANDS
from slipway.messages.record import Captured, LeaseHeld
from slipway.messages.rollout import Applied, Apply, AwaitRollout, Capture, RolledOut, Workload
from tests.integration.cluster_world import activity, until
from tests.integration.kube_proxy import Proxy

Raw = dict[str, Any]
MERGE, STRATEGIC = "application/merge-patch+json", "application/strategic-merge-patch+json"
STANDS_HERE = {kind: min(seconds, 5.0) for kind, seconds in STANDS.items()}
"""Signs of doom need not last as long here as in production."""
PUPPET = "-neverready"
"""Images whose pods kwok starts and never makes ready: the test says what becomes of them."""
OLD, NEW, LATER = "a" * 64, "b" * 64, "c" * 64
_epochs = itertools.count(int(time.time()))


def image(fate: str = "", digest: str = NEW) -> str:
    """An image of the corpus; `fate` as kwok's stages name it."""
    return f"registry.example/app:1{fate}@sha256:{digest}"


@dataclass
class End:
    """How a situation ended: a verdict's kind and reason, or an error's reason."""

    how: str
    because: str = ""


def end_of(rolled: RolledOut) -> End:
    """Say how a rollout ended."""
    verdict = rolled.verdict
    reason = f" {verdict.reason}" if verdict.reason != "Ok" else ""
    return End(f"{verdict.kind}{reason}", verdict.because)


async def refused(work: Awaitable[Any]) -> End:
    """Say with which error some work ended."""
    try:
        done = await work
    except SlipwayError as error:
        again = "" if error.final else " (again)"
        return End(f"{type(error).__name__}{again}", str(error))
    return End("no error", repr(done))


@dataclass
class Place:
    """One situation's Deployment, and slipway at work on it."""

    stack: Stack
    kube: Kube
    proxy: Proxy
    namespace: str
    name: str
    cluster: Cluster
    epoch: int = field(default_factory=lambda: next(_epochs))
    stands: Mapping[str, float] = field(default_factory=lambda: STANDS_HERE)

    @property
    def rollouts(self) -> Rollouts:
        return Rollouts(self.cluster, LogSource(self.cluster, Loki()), stands=self.stands)

    @property
    def path(self) -> str:
        return f"/apis/apps/v1/namespaces/{self.namespace}/deployments/{self.name}"

    @property
    def work(self) -> Workload:
        return Workload(
            service=self.name, namespace=self.namespace, deployment=self.name, container="app"
        )

    @property
    def lease(self) -> LeaseHeld:
        return LeaseHeld(deployment=f"corpus-{self.epoch}", epoch=self.epoch)

    def spoilt(self) -> "Place":
        """The same, with slipway led through the proxy."""
        return Place(**{**self.__dict__, "cluster": self.proxy.cluster()})

    # The world's hand

    async def ask(self, call: Callable[..., Any], *args: Any, **more: Any) -> Any:
        return await asyncio.to_thread(call, *args, **more)

    async def create(
        self,
        *,
        replicas: int = 1,
        pod: Raw | None = None,
        first: str | None = None,
        rest: bool = True,
        **spec: Any,
    ) -> None:
        """Create the Deployment on the old version and wait until it is at rest."""
        labels = {"app": self.name}
        container = {"name": "app", "image": first or image(digest=OLD)}
        more = dict(pod or {})
        container |= more.pop("container", {})
        template = {
            "metadata": {"labels": labels},
            "spec": {"containers": [container], "terminationGracePeriodSeconds": 1, **more},
        }
        body = {
            "apiVersion": "apps/v1",
            "kind": "Deployment",
            "metadata": {"name": self.name, "namespace": self.namespace, "labels": labels},
            "spec": {
                "replicas": replicas,
                "selector": {"matchLabels": labels},
                "strategy": {"rollingUpdate": {"maxUnavailable": 0, "maxSurge": 1}},
                "template": template,
                **spec,
            },
        }
        await self.ask(self.kube.create, self.path.rpartition("/")[0], body)
        if rest:
            await self.at_rest()

    async def at_rest(self) -> None:
        async def rests() -> bool:
            found = await self.ask(self.kube.get, self.path)
            status, wanted = found.get("status") or {}, found["spec"]["replicas"]
            taken_up = status.get("observedGeneration") == found["metadata"]["generation"]
            return bool(taken_up and (status.get("availableReplicas") or 0) == wanted)

        await until(rests, f"{self.name} is at rest")

    async def merge(self, body: Raw, *, path: str = "") -> None:
        await self.ask(self.kube.merge, path or self.path, body)

    async def pods(self, fate: str = "") -> list[Raw]:
        """The pods of an image."""
        query = f"/api/v1/namespaces/{self.namespace}/pods?labelSelector=app%3D{self.name}"
        found = (await self.ask(self.kube.get, query))["items"]
        return [one for one in found if fate in one["spec"]["containers"][0]["image"]]

    async def started(self, said: str = "") -> Raw:
        """Wait for a pod of the puppet image whose state is known, and tells something."""
        found: list[Raw] = []

        async def known() -> bool:
            found[:] = [
                one
                for one in await self.pods(PUPPET)
                if one["status"].get("containerStatuses") and said in str(one["status"])
            ]
            return bool(found)

        await until(known, f"a new pod of {self.name} is known")
        return found[0]

    @asynccontextmanager
    async def puppets(self, *states: Callable[[Raw], Raw]) -> AsyncIterator[None]:
        """Give each new pod of the puppet image its state: the first pod the first one, and so on;
        further pods the last one."""
        task = asyncio.create_task(self._play(list(states)))
        try:
            yield
        finally:
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task

    async def _play(self, states: list[Callable[[Raw], Raw]]) -> None:
        played: set[str] = set()
        while True:
            for pod in await self.pods(PUPPET):
                uid = pod["metadata"]["uid"]
                if uid in played or not pod.get("status", {}).get("containerStatuses"):
                    continue
                state = states[min(len(played), len(states) - 1)]
                path = f"/api/v1/namespaces/{self.namespace}/pods/{pod['metadata']['name']}/status"
                with contextlib.suppress(StackError):  # it went meanwhile
                    await self.ask(self.kube.patch, path, {"status": state(pod)}, MERGE)
                    played.add(uid)
            await asyncio.sleep(0.2)

    # slipway's hand

    async def capture(self, patience: float = 0.0) -> Captured:
        return await self.rollouts.capture(Capture(workload=self.work, patience=patience))

    def forward(self, captured: Captured, fate: str = "", digest: str = NEW) -> Apply:
        return Apply(
            workload=self.work,
            captured=captured,
            image=image(fate, digest),
            fence=self.lease.do_fence,
            op_id=f"{self.lease.deployment}/rollout:{self.name}",
            cause="corpus",
        )

    def undo(self, apply: Apply) -> Apply:
        change = {"image": None, "wrote": apply.image, "fence": self.lease.undo_fence}
        change["op_id"] = f"{self.lease.deployment}/undo:{self.name}"
        return apply.model_copy(update=change)

    async def wait(self, apply: Apply, applied: Applied, deadline: float = 120) -> RolledOut:
        back = apply.image is None
        request = AwaitRollout(
            workload=self.work,
            template=applied.template,
            image=apply.image or apply.captured.image,
            deadline=deadline,
            uid=apply.captured.uid,
            back=back,
            captured=apply.captured,
        )
        done: RolledOut = await activity(self.rollouts.wait, request)
        return done

    async def deploy(self, fate: str = "", deadline: float = 120) -> tuple[Apply, RolledOut]:
        apply = self.forward(await self.capture(), fate)
        return apply, await self.wait(apply, await self.rollouts.apply(apply), deadline)

    async def back(self, apply: Apply, deadline: float = 120) -> RolledOut:
        """Undo; when it says that it is done, look at that from outside."""
        undo = self.undo(apply)
        done = await self.wait(undo, await self.rollouts.apply(undo), deadline)
        if done.verdict.kind == "PROCEED":
            found = await self.ask(self.kube.get, self.path)
            assert found["spec"]["template"] == apply.captured.template
            images = {one["spec"]["containers"][0]["image"] for one in await self.pods()}
            assert images <= {apply.captured.image}, images
        return done

    async def doomed(self, fate: str = PUPPET, deadline: float = 120) -> End:
        """Deploy what cannot come up, and put it back."""
        apply, doomed = await self.deploy(fate, deadline)
        back = await self.back(apply)
        assert back.verdict.kind == "PROCEED", back.verdict.because
        return end_of(doomed)


# What becomes of puppets


def _status(pod: Raw, *, ready: bool, phase: str = "Running", **container: Any) -> Raw:
    now = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
    reference = pod["spec"]["containers"][0]["image"]
    one = {
        "name": "app",
        "image": reference,
        "imageID": reference,
        "ready": ready,
        "started": ready,
        "restartCount": 0,
        "state": {"running": {"startedAt": now}},
        **container,
    }
    conditions = [
        {"type": kind, "status": str(ready), "lastTransitionTime": now}
        for kind in ("Ready", "ContainersReady")
    ]
    return {"phase": phase, "conditions": conditions, "containerStatuses": [one]}


def ready(**container: Any) -> Callable[[Raw], Raw]:
    """It becomes ready."""
    return lambda pod: _status(pod, ready=True, **container)


def waits(reason: str, message: str = "", restarts: int = 0) -> Callable[[Raw], Raw]:
    """Its container waits, after so many ends with an error."""
    state = {"waiting": {"reason": reason, "message": message}}
    return lambda pod: _status(pod, ready=False, state=state, **_ended(restarts, "Error", 1))


def restarted(times: int, reason: str = "Error", code: int = 1) -> Callable[[Raw], Raw]:
    """Its container runs again, after so many ends."""
    return lambda pod: _status(pod, ready=False, **_ended(times, reason, code))


def in_init(reason: str) -> Callable[[Raw], Raw]:
    """Its init container waits."""

    def state(pod: Raw) -> Raw:
        status = _status(pod, ready=False, phase="Pending")
        waiting = {"state": {"waiting": {"reason": reason}}, **_ended(2, "Error", 3)}
        init = {"name": "prepare", "image": "i", "imageID": "i", "ready": False, **waiting}
        return {**status, "initContainerStatuses": [init]}

    return state


def evicted(pod: Raw) -> Raw:
    """The node has evicted it."""
    status = _status(pod, ready=False, phase="Failed")
    return {**status, "reason": "Evicted", "message": "The node was low on memory."}


def _ended(times: int, reason: str, code: int) -> Raw:
    if not times:
        return {"restartCount": 0}
    return {
        "restartCount": times,
        "lastState": {"terminated": {"reason": reason, "exitCode": code}},
    }


@asynccontextmanager
async def namespace(stack: Stack, name: str) -> AsyncIterator[str]:
    """A namespace with the Role that deploy/k8s ships."""
    with Kube(stack) as kube:
        await asyncio.to_thread(objects.create_namespace, kube, name, "production")
    try:
        yield name
    finally:
        await asyncio.to_thread(objects.remove, stack, [name])
