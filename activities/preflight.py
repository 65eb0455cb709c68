"""Looks at the environment and at staging before anything is changed. Reads only."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING

from temporalio import activity

from activities.record import Records
from activities.staging import StagingLook
from slipway.errors import Absent, SlipwayError
from slipway.judgements import environment as wanted
from slipway.judgements.counters import Unreadable
from slipway.judgements.database_ready import DatabaseStanding, judge_database
from slipway.judgements.workload import refusals
from slipway.messages.preflight import EnvironmentReport, Finding, Preflight, StagingReport
from slipway.messages.record import FindRecords, Place, ReadRecord, RecordSummary
from slipway.plan import Plan, Service

if TYPE_CHECKING:
    from activities.adapters.cluster import Cluster
    from activities.adapters.http import Http
    from activities.adapters.object_store import ObjectStore
    from activities.adapters.postgres import Postgres
    from activities.adapters.prometheus import Prometheus

_TRIES = 3
_PAUSE = 1.0


class EnvironmentChecks:
    """Everything proved of the servers themselves."""

    def __init__(
        self,
        cluster: "Cluster",
        postgres: "Postgres",
        store: "ObjectStore",
        metrics: "Prometheus",
        http: "Http",
    ) -> None:
        self._cluster = cluster
        self._postgres = postgres
        self._store = store
        self._metrics = metrics
        self._records = Records(store)
        self._staging = StagingLook(cluster, metrics, http)

    @activity.defn(name="preflight.environment")
    async def environment(self, request: Preflight) -> EnvironmentReport:
        """Check rights, Deployments, Prometheus, store, database, markers and older records.

        What cannot be looked at is a blocking finding: nothing is taken for granted.
        """
        plan = request.plan
        standing, database = await self._database(plan)
        production, staging = plan.kubernetes.namespace, plan.staging.namespace
        parts = await asyncio.gather(
            _tried(lambda: self._rights(production, wanted.PRODUCTION_RIGHTS)),
            _tried(lambda: self._rights(staging, wanted.STAGING_RIGHTS)),
            _tried(lambda: self._deployments(plan)),
            _tried(lambda: self._prometheus(plan)),
            _tried(lambda: self._bucket(plan)),
            _tried(lambda: self._local_stack(plan, standing)),
            _tried(lambda: self._older(plan, request.deployment)),
        )
        return EnvironmentReport(
            findings=[*database, *(one for found in parts for one in found)],
            server_version=standing.server_version if standing else "",
            database_size=standing.size if standing else 0,
        )

    @activity.defn(name="preflight.staging")
    async def staging(self, request: Preflight) -> StagingReport:
        """Check that staging runs this release's digests, is healthy, quick and has few errors."""
        return await self._staging.report(request)

    async def _rights(self, namespace: str, rights: tuple[wanted.Right, ...]) -> list[Finding]:
        given = await asyncio.gather(*(self._cluster.may(namespace, one) for one in rights))
        lacking = [one for one, may in zip(rights, given, strict=True) if not may]
        return wanted.missing_rights(namespace, lacking)

    async def _deployments(self, plan: Plan) -> list[Finding]:
        looks = (self._deployment(plan.kubernetes.namespace, one) for one in plan.services)
        return [one for found in await asyncio.gather(*looks) for one in found]

    async def _deployment(self, namespace: str, service: Service) -> list[Finding]:
        """Look up to three times: a Deployment may be restless for a moment."""
        wrong: list[str] = []
        for number in range(_TRIES):
            if number:
                await asyncio.sleep(_PAUSE)
            try:
                found = await self._cluster.get_deployment(namespace, service.workload)
            except Absent as error:
                return [_block(error.what, error.remedy)]
            wrong = refusals(found, service.container)
            if not wrong:
                break
        return [_block(one, "") for one in wrong]

    async def _prometheus(self, plan: Plan) -> list[Finding]:
        """Prometheus answers, and scrapes something."""
        answer = await self._metrics.number(plan.metrics.url, "count(up == 1)", time.time())
        if isinstance(answer, Unreadable):
            return [_block(f"Prometheus cannot be read: {answer.because}.", answer.remedy)]
        return []

    async def _bucket(self, plan: Plan) -> list[Finding]:
        bucket = plan.backup.bucket
        versioned, locks = await self._store.bucket_protection(bucket)
        found = []
        if not versioned:
            found.append(_block(f"Bucket {bucket} keeps no versions.", "Enable versioning."))
        if not locks:
            remedy = "Use a bucket that was created with object lock."
            found.append(_block(f"Bucket {bucket} cannot lock objects.", remedy))
        return found

    async def _database(self, plan: Plan) -> tuple[DatabaseStanding | None, list[Finding]]:
        standing: DatabaseStanding | None = None

        async def look() -> list[Finding]:
            nonlocal standing
            standing = await self._postgres.standing(plan.database, plan.staging.database)
            return judge_database(standing, plan.database)

        found = await _tried(look)
        return standing, found

    async def _local_stack(self, plan: Plan, standing: DatabaseStanding | None) -> list[Finding]:
        """Compressed time is for the local stack only, and only where everything says so."""
        if plan.time_scale <= 1:
            return []
        labels = await self._cluster.namespace_labels(plan.kubernetes.namespace)
        hosts = dict(standing.hosts) if standing else {}
        far = wanted.not_loopback({**wanted.addresses_of(plan), **hosts})
        setting = standing.local_setting if standing else None
        return wanted.local_only(plan.time_scale, far, labels, setting)

    async def _older(self, plan: Plan, deployment: str) -> list[Finding]:
        """An earlier run that changed something and never ended must be ended first."""
        place = Place(
            bucket=plan.backup.bucket,
            prefix=plan.backup.prefix,
            environment=plan.environment,
            deployment=deployment,
        )
        listed = await self._records.find(FindRecords(place=place))
        found = []
        for one in listed.records:
            if not one.ended and one.deployment != deployment:
                found.append(await self._unfinished(place, one))
        return found

    async def _unfinished(self, place: Place, one: RecordSummary) -> Finding:
        older = place.model_copy(update={"deployment": one.deployment})
        record = await self._records.read(ReadRecord(place=older))
        if any(entry.kind == "intent" for entry in record.entries):
            return _block(
                f"Deployment {one.deployment} changed production and never ended.",
                f"Put it back with `slipway rollback {one.deployment}`.",
            )
        what = f"Deployment {one.deployment} never ended; it had changed nothing."
        return Finding(severity="note", what=what)


async def _tried(look: Callable[[], Awaitable[list[Finding]]]) -> list[Finding]:
    """Return a look's findings; one that cannot be made becomes a blocking finding itself."""
    for number in range(1, _TRIES + 1):
        try:
            return await look()
        except SlipwayError as error:
            if error.final or number == _TRIES:
                return [_block(error.what, error.remedy)]
            await asyncio.sleep(_PAUSE)
    return []


def _block(what: str, remedy: str) -> Finding:
    return Finding(severity="block", what=what, remedy=remedy)
