"""A look at staging: the release's own digests, at rest, healthy, quick, with few errors."""

import asyncio
import math
import time
from typing import TYPE_CHECKING

from activities.probing import Prober
from slipway.errors import SlipwayError
from slipway.judgements import staging as judgement
from slipway.judgements import workload as objects
from slipway.judgements.counters import Unreadable
from slipway.judgements.logs import classify
from slipway.judgements.queries import fill
from slipway.judgements.workload import Raw
from slipway.messages.preflight import Finding, Preflight, StagingReport
from slipway.plan import Plan, Service, ServiceKind

if TYPE_CHECKING:
    from activities.adapters.cluster import Cluster
    from activities.adapters.http import Http
    from activities.adapters.prometheus import Prometheus

_TRIES = 3
_PAUSE = 1.0
_TAIL = 2000


class StagingLook:
    """Reads staging; it never writes there."""

    def __init__(self, cluster: "Cluster", metrics: "Prometheus", http: "Http") -> None:
        self._cluster = cluster
        self._metrics = metrics
        self._prober = Prober(http, cluster)

    async def report(self, request: Preflight) -> StagingReport:
        """Return whether staging is stable, and everything found."""
        plan, release = request.plan, request.release
        deployments = {
            objects.name_of(one): one
            for one in await self._cluster.list_deployments(plan.staging.namespace)
        }
        findings = [
            finding
            for one in plan.services
            for finding in judgement.judge_deployment(
                one.name,
                deployments.get(one.workload),
                one.container,
                release.images.get(one.name, ""),
            )
        ]
        for found in await asyncio.gather(
            self._health(plan), self._traffic(plan), self._logs(plan, deployments)
        ):
            findings += found
        return StagingReport(
            stable=not any(one.severity == "block" for one in findings),
            findings=findings,
            because=judgement.sentence(findings, len(plan.services), plan.lengths.staging_window),
        )

    async def _health(self, plan: Plan) -> list[Finding]:
        problems = await asyncio.gather(*(self._probe(plan, one) for one in plan.services))
        return [
            Finding(
                severity="block",
                what=f"{one.name} is not healthy in staging: {problem}.",
                remedy="Repair staging, then retry.",
            )
            for one, problem in zip(plan.services, problems, strict=True)
            if problem
        ]

    async def _probe(self, plan: Plan, service: Service) -> str:
        """Return what three probes in a row found wrong, or the empty text."""
        problem = ""
        for number in range(_TRIES):
            if number:
                await asyncio.sleep(_PAUSE)
            problem = await self._probe_once(plan, service)
            if not problem:
                break
        return problem

    async def _probe_once(self, plan: Plan, service: Service) -> str:
        if service.kind is not ServiceKind.LOG:
            return await self._prober.over_http(service, service.staging_url)
        try:
            pods = await self._prober.pods_of(plan.staging.namespace, service.workload)
        except SlipwayError as error:
            return error.what.rstrip(".")
        return await self._prober.by_log(service, plan.staging.namespace, pods)

    async def _traffic(self, plan: Plan) -> list[Finding]:
        """Judge errors and latency of all pods together over the soak window."""
        window, limits = plan.lengths.staging_window, plan.limits
        by_code, by_bound = await asyncio.gather(
            self._increases(plan, plan.metrics.requests, "code", window),
            self._increases(plan, plan.metrics.latency, "le", window),
        )
        errors = judgement.judge_errors(by_code, plan.metrics.error_code, window, limits)
        buckets = by_bound if isinstance(by_bound, Unreadable) else _buckets(by_bound)
        return [*errors, *judgement.judge_latency(buckets, window, limits)]

    async def _increases(
        self, plan: Plan, selector: str, label: str, window: float
    ) -> dict[str, float] | Unreadable:
        """Return how much the counters of a selector grew in the window, by one label."""
        filled = fill(selector, namespace=plan.staging.namespace)
        query = f"sum by ({label}) (increase({filled}[{math.ceil(window * 1000)}ms]))"
        found = await self._metrics.vector(plan.metrics.url, query, time.time())
        if isinstance(found, Unreadable):
            return found
        return {one.labels.get(label, ""): one.samples[0][1] for one in found}

    async def _logs(self, plan: Plan, deployments: dict[str, Raw]) -> list[Finding]:
        """Note error lines by class; a log that cannot be read is noted too."""
        found = await asyncio.gather(
            *(
                self._log(plan, one, deployments[one.workload])
                for one in plan.services
                if one.workload in deployments
            ),
            return_exceptions=True,
        )
        counts: dict[str, dict[str, int]] = {}
        notes: list[Finding] = []
        for one in found:
            if isinstance(one, SlipwayError):
                notes.append(Finding(severity="note", what=one.what, remedy=one.remedy))
            elif isinstance(one, BaseException):
                raise one
            else:
                counts |= one
        return [*notes, *judgement.judge_log_counts(counts)]

    async def _log(
        self, plan: Plan, service: Service, deployment: Raw
    ) -> dict[str, dict[str, int]]:
        namespace = plan.staging.namespace
        lines = []
        for pod in await self._cluster.list_pods_of(deployment):
            lines += await self._cluster.pod_log(
                namespace,
                objects.name_of(pod),
                service.container,
                tail=_TAIL,
                since_seconds=plan.lengths.baseline,
            )
        return {service.name: classify(lines, plan.logs)}


def _buckets(by_bound: dict[str, float]) -> dict[float, float]:
    found: dict[float, float] = {}
    for text, count in by_bound.items():
        try:
            found[float(text)] = count
        except ValueError:
            continue  # a series without its bound says nothing
    return dict(sorted(found.items()))
