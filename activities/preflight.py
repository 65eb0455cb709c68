"""Looks at the environment and at staging before anything is changed. Changes nothing: the one
object that is written to try the bucket's rights is removed again."""

from collections.abc import Awaitable
from functools import partial
from typing import TYPE_CHECKING

from temporalio import activity

from activities.bucket_look import BucketLook
from activities.cluster_look import ClusterLook
from activities.database_look import DatabaseLook
from activities.looks import Looker, all_of, block
from activities.record import Records
from activities.signal_look import SignalLook
from activities.staging import StagingLook
from slipway.addresses import addresses_of, not_loopback
from slipway.judgements import environment as wanted
from slipway.judgements.database_ready import Standing
from slipway.judgements.database_rights import Login
from slipway.judgements.worker import judge_programs, programs
from slipway.messages.preflight import EnvironmentReport, Finding, Preflight, StagingReport
from slipway.messages.record import FindRecords, Place, ReadRecord, RecordSummary
from slipway.plan import Plan

if TYPE_CHECKING:
    from activities.adapters.browser import Browser
    from activities.adapters.cluster import Cluster
    from activities.adapters.http import Http
    from activities.adapters.object_store import ObjectStore
    from activities.adapters.postgres.adapter import Postgres
    from activities.adapters.project import Project
    from activities.adapters.prometheus import Prometheus
    from activities.log_source import LogSource


class EnvironmentChecks:
    """Everything proved of the servers themselves."""

    def __init__(
        self,
        cluster: "Cluster",
        postgres: "Postgres",
        store: "ObjectStore",
        metrics: "Prometheus",
        logs: "LogSource",
        http: "Http",
        project: "Project",
        browser: "Browser",
    ) -> None:
        """`project` runs the project's own programs, as the migration will."""
        self._browser = browser
        self._cluster = cluster
        self._postgres = postgres
        self._store = store
        self._metrics = metrics
        self._logs = logs
        self._http = http
        self._project = project
        self._records = Records(store)
        self._staging = StagingLook(cluster, metrics, http)

    @activity.defn(name="preflight.environment")
    async def environment(self, request: Preflight) -> EnvironmentReport:
        """Check cluster, databases, bucket, Prometheus, worker, markers and older records.

        What cannot be looked at is a blocking finding: nothing is taken for granted. A server that
        does not answer raises Unreachable, unless somebody only wants to look.
        """
        plan, looker = request.plan, Looker(at_once=request.only_looks)
        databases = DatabaseLook(self._postgres, looker, plan)
        found = await all_of((*self._looks(looker, request), databases.findings()))
        production = databases.standings.get(Login.PRODUCTION)
        found += await all_of(
            (
                looker.make(
                    "addresses", "time_scale", partial(self._local_stack, plan, production)
                ),
                looker.make("bucket", "earlier backups", partial(self._pace, plan, production)),
            )
        )
        return EnvironmentReport(
            findings=wanted.distinct(found),
            server_version=production.server_version if production else "",
            database_size=production.size if production else 0,
        )

    @activity.defn(name="preflight.staging")
    async def staging(self, request: Preflight) -> StagingReport:
        """Check that staging runs this release's digests, is healthy, quick and has few errors."""
        if not request.only_looks:
            return await self._staging.report(request)
        reports: list[StagingReport] = []

        async def look() -> list[Finding]:
            reports.append(await self._staging.report(request))
            return []

        found = await Looker(at_once=True).make("staging", "staging", look)
        if reports:
            return reports[0]
        return StagingReport(stable=False, findings=found, because=found[0].what)

    def _looks(self, looker: Looker, request: Preflight) -> list[Awaitable[list[Finding]]]:
        plan, make = request.plan, looker.make
        cluster = ClusterLook(self._cluster, self._http, plan)
        bucket = BucketLook(self._store, plan)
        signals = SignalLook(self._metrics, self._logs, self._browser, plan)
        return [
            make("cluster", "slipway's Role", cluster.production_rights),
            make("staging", "slipway's Role in staging", cluster.staging_rights),
            make("cluster", "the Deployments", cluster.deployments),
            make("cluster", "settings of the services", cluster.settings),
            make("cluster", "the version of Kubernetes", cluster.version),
            make("addresses", "the addresses of the services", cluster.addresses),
            make("bucket", f"bucket {plan.backup.bucket}", bucket.protection),
            make("metrics", "Prometheus", signals.prometheus),
            make("metrics", "Loki", signals.loki),
            make("worker", "the worker's programs", partial(self._programs, plan)),
            make("worker", "the worker's browser", signals.pages),
            make("bucket", "older records", partial(self._older, request)),
        ]

    async def _programs(self, plan: Plan) -> list[Finding]:
        """Programs of the project's commands run where the worker runs."""
        wishes = programs(plan.migrations)
        return judge_programs({name: await self._project.version(name) for name in wishes})

    async def _pace(self, plan: Plan, standing: Standing | None) -> list[Finding]:
        return await BucketLook(self._store, plan).pace(standing.size) if standing else []

    async def _local_stack(self, plan: Plan, standing: Standing | None) -> list[Finding]:
        """Compressed time is for the local stack only, and only where everything says so."""
        if plan.time_scale <= 1:
            return []
        labels = await self._cluster.namespace_labels(plan.kubernetes.namespace)
        far = not_loopback({**addresses_of(plan), **self._postgres.hosts(plan)})
        setting = standing.local_setting if standing else None
        return wanted.local_only(plan.time_scale, far, labels, setting)

    async def _older(self, request: Preflight) -> list[Finding]:
        """An earlier run that changed something and never ended must be ended first."""
        backup = request.plan.backup
        place = Place(
            bucket=backup.bucket,
            prefix=backup.prefix,
            environment=request.plan.environment,
            deployment=request.deployment,
        )
        listed = await self._records.find(FindRecords(place=place))
        found = []
        for one in listed.records:
            if not one.ended and one.deployment != request.deployment:
                found.append(await self._unfinished(place, one))
        return found

    async def _unfinished(self, place: Place, one: RecordSummary) -> Finding:
        older = place.model_copy(update={"deployment": one.deployment})
        record = await self._records.read(ReadRecord(place=older))
        if any(entry.kind == "intent" for entry in record.entries):
            return block(
                "bucket",
                f"Deployment {one.deployment} changed production and never ended.",
                f"Put it back with `slipway rollback {one.deployment}`.",
            )
        what = f"Deployment {one.deployment} never ended; it had changed nothing."
        return Finding(severity="note", group="bucket", what=what)
