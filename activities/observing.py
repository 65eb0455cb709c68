"""Looking at Deployments that others change. It reads, and has no way of writing."""

import asyncio
import time
from dataclasses import replace
from typing import TYPE_CHECKING

from temporalio import activity

from activities.heartbeat import current_progress
from activities.log_history import Past, logs_before
from activities.log_source import LogSource
from slipway.base import say_length
from slipway.errors import SlipwayError
from slipway.judgements.counters import prefix_of
from slipway.judgements.noticing import Glance, Noticed, is_as_known, notice, pods_of_version
from slipway.judgements.workload import Raw, name_of, replicas_wanted
from slipway.messages.observe import Look, Looked, Standing
from slipway.messages.rollout import Workload
from slipway.plan import Loki

if TYPE_CHECKING:
    from activities.adapters.cluster import Cluster


class Observing:
    """Notices rollouts."""

    def __init__(self, cluster: "Cluster", logs: LogSource) -> None:
        """`cluster` holds the Deployments; its token needs reading rights only."""
        self._cluster = cluster
        self._logs = logs

    @activity.defn(name="observe.notice")
    async def notice(self, request: Look) -> Looked:
        """Look again and again until something has changed, or `length` seconds are over."""
        progress, end = current_progress(), time.monotonic() + request.length
        while True:
            looked = await self._look(request)
            left = end - time.monotonic()
            if looked.tells(request) or left <= 0:
                return looked
            progress.say(f"nothing new, for {say_length(max(1.0, round(left)))} more")
            await asyncio.sleep(min(request.every, left))

    async def _look(self, request: Look) -> Looked:
        standing = await self._deployments(request.workloads)
        met = [one for one in request.workloads if one.service in standing]
        noticed = await asyncio.gather(
            *(self._at(one, standing[one.service], request) for one in met)
        )
        found = list(zip(met, noticed, strict=True))
        return Looked(
            at=time.time(),
            standing=_standing(found),
            rollouts=[one.rollout for _, one in found if one.rollout is not None],
            absent=sorted(one.service for one in request.workloads if one.service not in standing),
        )

    async def _deployments(self, workloads: list[Workload]) -> dict[str, Raw]:
        """Return the Deployment of each service that has one: one read a namespace."""
        namespaces = sorted({one.namespace for one in workloads})
        lists = await asyncio.gather(*map(self._cluster.list_deployments, namespaces))
        there = {
            (namespace, name_of(one)): one
            for namespace, found in zip(namespaces, lists, strict=True)
            for one in found
        }
        return {
            one.service: there[one.namespace, one.deployment]
            for one in workloads
            if (one.namespace, one.deployment) in there
        }

    async def _at(self, work: Workload, deployment: Raw, request: Look) -> Noticed:
        known = request.known.get(work.service)
        if is_as_known(deployment, known):
            return Noticed()
        replica_sets = await self._cluster.list_replica_sets(deployment)
        glance = Glance(work.service, work.container, deployment, replica_sets, time.time())
        noticed = notice(glance, known, request.recent)
        if noticed.rollout is None:
            return noticed
        rates = await self._rates_before(work, deployment, noticed.rollout.pod_hash_before, request)
        return Noticed(noticed.standing, noticed.rollout.model_copy(update={"log_rates": rates}))

    async def _rates_before(
        self, work: Workload, deployment: Raw, pod_hash: str, request: Look
    ) -> dict[str, float] | None:
        """Return how many error lines the version before wrote; None when none can be read. From
        Kubernetes they are read from those of its pods that are left and taken for all of them."""
        try:
            pods = pods_of_version(await self._cluster.list_pods_of(deployment), pod_hash)
            past = Past(
                work=work,
                pods=pods,
                pattern=prefix_of(work.deployment, pod_hash) + ".+",
                logs=request.logs,
                baseline=request.baseline,
                born=0.0,
            )
            if request.loki is not None:
                return await self._rates_in_loki(past, request.loki)
            if not pods:
                return None
            before = await logs_before(self._logs, past, None)
        except SlipwayError as error:
            current_progress().say(str(error))
            return None
        missing = max(1.0, replicas_wanted(deployment) / len(pods))
        return {name: rate * missing for name, rate in before.per_second.items()}

    async def _rates_in_loki(self, past: Past, loki: Loki) -> dict[str, float] | None:
        """The version before was there since the oldest of its lines."""
        since = time.time() - past.baseline
        oldest = await self._logs.oldest(loki, past.work, past.pattern, since)
        if oldest is None:
            return None
        return (await logs_before(self._logs, replace(past, born=oldest), loki)).per_second


def _standing(found: list[tuple[Workload, Noticed]]) -> dict[str, Standing]:
    return {work.service: one.standing for work, one in found if one.standing is not None}
