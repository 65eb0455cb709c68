"""Looks that the test plans, one after the other; nothing is seen between them."""

import asyncio
from dataclasses import dataclass, field
from typing import Any

from temporalio import activity

from slipway.messages.observe import Look, Looked, Rollout, Standing
from slipway.messages.watch import Checked, CheckService
from tests.fakes.activities import FakeChecks, FakeRollouts, FakeWatch
from tests.fakes.plans import image
from tests.fakes.world import FakeWorld

BEGAN = 1_800_000_000.0
"""When the first rollout of a test begins, in unix seconds."""


@dataclass
class FakeLooks:
    """What the looks are going to see, and what they were asked with."""

    planned: "asyncio.Queue[Looked | Exception]" = field(default_factory=asyncio.Queue)
    asked: list[Look] = field(default_factory=list)
    functions: dict[str, list[str]] = field(default_factory=dict)
    """Critical functions that were run, by service."""

    _waiting: "asyncio.Future[Looked | Exception] | None" = None

    async def _next(self) -> "Looked | Exception":
        """Wait for the next planned look; an attempt that was given up must not take it."""
        if self._waiting is not None:
            self._waiting.cancel()
        self._waiting = asyncio.ensure_future(self.planned.get())
        return await self._waiting

    @activity.defn(name="observe.notice")
    async def notice(self, request: Look) -> Looked:
        """Return the next planned look; wait until there is one."""
        activity.heartbeat("looking")
        self.asked.append(request)
        planned = await self._next()
        if isinstance(planned, Exception):
            raise planned
        return planned


class _Checks(FakeChecks):
    """Checks that remember which functions they were to run."""

    def __init__(self, world: FakeWorld, looks: FakeLooks) -> None:
        super().__init__(world)
        self._looks = looks

    @activity.defn(name="check.service")
    async def service(self, request: CheckService) -> Checked:
        """Check one service."""
        functions = [one.name for one in request.service.critical]
        if request.service.page and request.service.page.rendered:
            functions.append("page in a browser")
        self._looks.functions[request.service.name] = functions
        return await super().service(request)


def observing_activities(looks: FakeLooks, world: FakeWorld) -> list[Any]:
    """Return the activities of the observing worker, as `worker.registry.observing` does."""
    watch = FakeWatch(world)
    return [
        looks.notice,
        FakeRollouts(world).wait,
        _Checks(world, looks).service,
        watch.before,
        watch.slice,
    ]


def standing(service: str, version: str, **changes: Any) -> Standing:
    """Return a Deployment that runs a version in full."""
    values: dict[str, Any] = {
        "uid": f"uid-{service}",
        "template_sha256": f"sha-{version}",
        "pod_hash": f"hash-{version}",
        "born": BEGAN - 1000,
        "image": image(service, version),
        "replicas": 2,
        "ran": True,
        **changes,
    }
    return Standing(**values)


def rollout(service: str, version: str, before: str, **changes: Any) -> Rollout:
    """Return a rollout from one version to another that has just begun."""
    values: dict[str, Any] = {
        "service": service,
        "uid": f"uid-{service}",
        "pod_hash": f"hash-{version}",
        "pod_hash_before": f"hash-{before}",
        "image": image(service, version),
        "image_before": image(service, before),
        "template": {"spec": {"containers": [{"name": "app", "image": image(service, version)}]}},
        "born": BEGAN,
        "began": BEGAN,
        "by": "kubectl-set",
        "log_rates": {},
        **changes,
    }
    return Rollout(**values)


def looked(after: float, *seen: Standing | Rollout, **more: Any) -> Looked:
    """Return a look `after` seconds after BEGAN; a rollout brings its service's standing along."""
    rollouts = [one for one in seen if isinstance(one, Rollout)]
    stands = {
        one.image.rpartition("/")[2].partition(":")[0]: one
        for one in seen
        if isinstance(one, Standing)
    }
    for one in rollouts:
        stands[one.service] = Standing(
            uid=one.uid,
            template_sha256=f"sha-{one.pod_hash}",
            pod_hash=one.pod_hash,
            born=one.born,
            image=one.image,
            replicas=2,
            ran=False,
        )
    return Looked(at=BEGAN + after, standing=stands, rollouts=rollouts, **more)
