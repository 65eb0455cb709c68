"""An environment of its own for the tests of cluster, traffic and health: real pods, real metrics,
real services, on the shared stack."""

import asyncio
import re
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from typing import Any

import httpx
import pytest
from temporalio.testing import ActivityEnvironment

from activities.adapters.cluster import Cluster
from activities.adapters.http import Http
from activities.adapters.kube_api import KubeApi
from activities.adapters.loki import Loki
from activities.adapters.object_store import ObjectStore
from activities.adapters.postgres.adapter import Postgres
from activities.adapters.probes import Probes
from activities.adapters.prometheus import Prometheus
from activities.log_source import LogSource
from activities.rollouts import Rollouts
from devstack.stack import Stack
from devstack.world import environment as environments
from devstack.world import release as releases
from devstack.world.environment import Environment
from devstack.world.images import image
from devstack.world.kube import Kube
from slipway.messages.record import Captured, LeaseHeld
from slipway.messages.rollout import Applied, Apply, AwaitRollout, Capture, RolledOut, Workload
from slipway.messages.watch import Watched
from slipway.plan import Plan
from starter.loading import load_plan

PLAN = "plans/teei-production.yaml"
TIME_SCALE = 15.0


@dataclass
class ClusterWorld:
    """The environment, the plan that describes it, and everything that reads it."""

    stack: Stack
    environment: Environment
    plan: Plan
    cluster: Cluster = field(default_factory=Cluster)
    http: Http = field(default_factory=Http)
    metrics: Prometheus = field(default_factory=Prometheus)
    loki: Loki = field(default_factory=Loki)
    postgres: Postgres = field(default_factory=Postgres)
    store: ObjectStore = field(default_factory=ObjectStore)
    epoch: int = 0

    @property
    def probes(self) -> Probes:
        return Probes(self.postgres)

    @property
    def logs(self) -> LogSource:
        return LogSource(self.cluster, self.loki)

    @property
    def rollouts(self) -> Rollouts:
        return Rollouts(self.cluster, self.logs)

    @property
    def namespace(self) -> str:
        return self.environment.namespace

    def lease(self) -> LeaseHeld:
        """A new epoch: every test's fences are above those of the tests before, also of the
        contract's, which count from the clock."""
        self.epoch = max(self.epoch, int(time.time())) + 1
        return LeaseHeld(deployment=self.run, epoch=self.epoch)

    @property
    def run(self) -> str:
        return f"{self.environment.name}-20261123T202134Z-{self.epoch % 0x1000000:06x}"

    def workload(self, service: str) -> Workload:
        return Workload(
            service=service, namespace=self.namespace, deployment=service, container="app"
        )

    async def capture(self, service: str) -> Captured:
        return await self.rollouts.capture(
            Capture(
                workload=self.workload(service),
                logs=self.plan.logs,
                baseline=self.plan.lengths.baseline,
            )
        )

    def forward(self, service: str, captured: Captured, version: str, fault: str | None) -> Apply:
        held = self.lease()
        return Apply(
            workload=self.workload(service),
            captured=captured,
            image=image(service, version, fault),
            fence=held.do_fence,
            op_id=f"{self.run}/rollout:{service}",
            cause="test",
        )

    @staticmethod
    def undo(apply: Apply) -> Apply:
        """The undo of a forward write."""
        run, _, step = apply.op_id.partition("/")
        op_id = f"{run}/undo:{step.partition(':')[2]}"
        changes = {"image": None, "fence": apply.fence + 2, "op_id": op_id}
        return apply.model_copy(update=changes)

    async def wait(self, apply: Apply, applied: Applied, deadline: float = 120) -> RolledOut:
        request = AwaitRollout(
            workload=apply.workload,
            template=applied.template,
            image=apply.image or apply.captured.image,
            deadline=deadline,
            uid=apply.captured.uid,
        )
        done: RolledOut = await activity(self.rollouts.wait, request)
        return done

    async def deploy(self, service: str, fault: str | None = None) -> tuple[Apply, RolledOut]:
        """Roll out a version and wait until it runs everywhere, or cannot."""
        captured = await self.capture(service)
        apply = self.forward(service, captured, "1.1.0", fault)
        done = await self.wait(apply, await self.rollouts.apply(apply))
        if done.verdict.kind.value == "PROCEED":
            await self.served(service, done)
        return apply, done

    async def put_back(self, apply: Apply) -> None:
        """Undo a rollout, and wait until the old version runs again."""
        undo = self.undo(apply)
        done = await self.wait(undo, await self.rollouts.apply(undo))
        assert done.verdict.kind.value == "PROCEED", done.verdict.because
        await self.served(apply.workload.service, done)

    async def served(self, service: str, done: RolledOut) -> None:
        """Wait until the services' process has heard that these pods run, and no other: it follows
        the API server as slipway does, and on a busy machine a moment later."""
        url = f"{self.stack.world_url}/metrics/{self.namespace}/pods"
        pods = re.compile(rf'^service_db_connections.*\bpod="([^"]+)".*service="{service}"', re.M)

        async def known() -> bool:
            page = await client.get(url)
            return set(pods.findall(page.text)) == set(done.pods)

        async with httpx.AsyncClient(timeout=30, trust_env=False) as client:
            await until(known, f"{service} is served by {', '.join(done.pods)}")

    async def watched(self, *services: str, **more: Any) -> list[Watched]:
        """Services as they run now, ready to be watched."""
        captured = [await self.capture(name) for name in services]
        return [
            Watched(
                service=self.plan.service(name),
                workload=self.workload(name),
                pod_hash=one.pod_hash,
                log_rates=one.log_rates,
                **{"replaced": False, "focus": True, **more},
            )
            for name, one in zip(services, captured, strict=True)
        ]

    @contextmanager
    def admin(self) -> Iterator[Kube]:
        """The Kubernetes API with the world's rights, which are more than slipway's."""
        with Kube(self.stack) as kube:
            yield kube


async def activity(call: Callable[[Any], Awaitable[Any]], request: Any) -> Any:
    """Run an activity as a worker would, with heartbeats."""
    return await ActivityEnvironment().run(call, request)


async def until(condition: Callable[[], Awaitable[bool]], what: str, deadline: float = 120) -> None:
    """Wait for a condition."""
    async with asyncio.timeout(deadline):
        while not await condition():  # noqa: ASYNC110 - a server's state, which sets no event
            await asyncio.sleep(0.1)


@asynccontextmanager
async def make(stack: Stack, name: str) -> AsyncIterator[ClusterWorld]:
    """Make the world; remove it afterwards."""
    with pytest.MonkeyPatch.context() as patch:
        variables = {**stack.environment(), **releases.worker_environment(stack)}
        for key, value in variables.items():
            if key != "PATH":
                patch.setenv(key, value)
        patch.setenv("SLIPWAY_PG_BIN", stack.pg_bin)
        made = await asyncio.to_thread(environments.create, stack, name, time_scale=TIME_SCALE)
        plan = load_plan(PLAN, releases.write_overlay(stack, made))
        world = ClusterWorld(stack, made, plan, cluster=Cluster(KubeApi.connect()))
        try:
            yield world
        finally:
            await world.http.aclose()
            await world.metrics.aclose()
            await world.loki.aclose()
            world.cluster.close()
            await asyncio.to_thread(environments.destroy, stack, name)
