"""The preflight's look at real servers: all is well, or each missing thing is named."""

import asyncio
import json
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from io import BytesIO
from pathlib import Path
from typing import Any

import boto3
import pytest
from botocore.awsrequest import AWSResponse
from botocore.compat import HTTPHeaders
from urllib3 import HTTPResponse

from activities.adapters.browser import Browser
from activities.adapters.object_store import ObjectStore
from activities.adapters.project import Project
from activities.bucket_look import BucketLook
from activities.cluster_look import ClusterLook
from activities.preflight import EnvironmentChecks
from devstack.world import node
from devstack.world import release as releases
from devstack.world.cluster import wait_ready
from devstack.world.kube import Kube
from slipway.errors import Unreachable
from slipway.judgements.bucket import ACTIONS
from slipway.judgements.environment import (
    CONFIG_MAPS,
    PRODUCTION_RIGHTS,
    STAGING_RIGHTS,
    Right,
)
from slipway.messages.preflight import (
    DOCTOR,
    EnvironmentReport,
    Finding,
    Preflight,
    StagingReport,
)
from slipway.plan import Plan
from slipway.release import Release
from starter.loading import load_release
from tests.integration.cluster_world import ClusterWorld
from tests.integration.data_world import DataWorld

pytestmark = pytest.mark.stack

ROLES = {"production": "slipway", "staging": "slipway-reader"}


@pytest.fixture(scope="module")
def release(place: ClusterWorld) -> Release:
    return load_release(releases.make_release(place.stack, place.environment, pending="none"))


@pytest.fixture(autouse=True)
def with_pnpm(place: ClusterWorld, monkeypatch: pytest.MonkeyPatch) -> None:
    """Find pnpm where the worker runs."""
    path = f"{node.pnpm(place.stack).parent}{os.pathsep}{os.environ['PATH']}"
    monkeypatch.setenv("PATH", path)


def checks(place: ClusterWorld) -> EnvironmentChecks:
    return EnvironmentChecks(
        place.cluster,
        place.postgres,
        place.store,
        place.metrics,
        place.logs,
        place.http,
        Project(),
        Browser(),
    )


async def environment(
    place: ClusterWorld, plan: Plan, release: Release, deployment: str = DOCTOR
) -> EnvironmentReport:
    request = Preflight(plan=plan, release=release, deployment=deployment)
    return await checks(place).environment(request)


async def staging(
    place: ClusterWorld, plan: Plan, release: Release, deployment: str = DOCTOR
) -> StagingReport:
    request = Preflight(plan=plan, release=release, deployment=deployment)
    return await checks(place).staging(request)


def blocking(findings: list[Finding]) -> str:
    return " | ".join(f"{one.what} {one.remedy}" for one in findings if one.severity == "block")


async def test_the_local_stack_is_ready(place: ClusterWorld, release: Release) -> None:
    report = await environment(place, place.plan, release)
    assert blocking(report.findings) == ""
    assert all(one.group for one in report.findings)
    assert report.server_version.startswith("18")
    assert report.database_size > 1_000_000


async def test_staging_is_stable(place: ClusterWorld, release: Release) -> None:
    report = await staging(place, place.plan, release)
    assert report.stable, report.because


@asynccontextmanager
async def without(place: ClusterWorld, stage: str, right: Right) -> AsyncIterator[None]:
    """Take one right out of a Role, and wait until the API server knows."""
    plan = place.plan
    namespace = plan.staging.namespace if stage == "staging" else plan.kubernetes.namespace
    path = f"/apis/rbac.authorization.k8s.io/v1/namespaces/{namespace}/roles/{ROLES[stage]}"
    given = STAGING_RIGHTS if stage == "staging" else PRODUCTION_RIGHTS
    with place.admin() as kube:
        role = kube.get(path)
        assert role is not None
        kube.merge(path, {"rules": [_rule(one) for one in given if one != right]})
        try:
            await _until_may(place, namespace, right, False)
            yield
        finally:
            kube.merge(path, {"rules": role["rules"]})
            await _until_may(place, namespace, right, True)


def _rule(right: Right) -> dict[str, Any]:
    return {"apiGroups": [right.group], "resources": [right.kind], "verbs": [right.verb]}


async def _until_may(place: ClusterWorld, namespace: str, right: Right, wanted: bool) -> None:
    async with asyncio.timeout(120):
        while await place.cluster.may(namespace, right) is not wanted:  # noqa: ASYNC110 - no event
            await asyncio.sleep(0.05)


@pytest.mark.parametrize(
    ("stage", "right"),
    [("production", one) for one in PRODUCTION_RIGHTS]
    + [("staging", one) for one in STAGING_RIGHTS],
    ids=lambda one: one if isinstance(one, str) else f"{one.verb} {one.kind}",
)
async def test_each_right_taken_out_of_a_role_is_named_and_nothing_else(
    place: ClusterWorld, release: Release, stage: str, right: Right
) -> None:
    async with without(place, stage, right):
        report = await environment(place, place.plan, release)
    (finding,) = report.blocking
    assert finding.group == ("staging" if stage == "staging" else "cluster")
    assert finding.remedy.endswith(right.rule)
    assert right.why in finding.what


async def test_settings_that_could_not_be_compared_are_noted_with_a_rule_on_their_names(
    place: ClusterWorld,
) -> None:
    path = f"/apis/apps/v1/namespaces/{place.namespace}/deployments/buddy"
    sources = [
        {"configMapRef": {"name": "buddy-settings", "optional": True}},
        {"secretRef": {"name": "buddy-secrets", "optional": True}},
    ]

    def change(kube: Kube, sources: list[Any]) -> None:
        containers = [{"name": "app", "envFrom": sources}]
        body = {"spec": {"template": {"spec": {"containers": containers}}}}
        kube.patch(path, body, "application/strategic-merge-patch+json")

    async def notes() -> list[str]:
        found = await ClusterLook(place.cluster, place.http, place.plan).settings()
        assert {one.severity for one in found} <= {"note"}
        return [one.remedy.partition(": ")[2] for one in found]

    secrets = (
        '- {apiGroups: [""], resources: ["secrets"], resourceNames: ["buddy-secrets"], '
        'verbs: ["get"]}'
    )
    with place.admin() as kube:
        change(kube, sources)
        try:
            assert await notes() == [secrets]
            async with without(place, "production", CONFIG_MAPS):
                assert await notes() == [
                    secrets.replace("secrets", "configmaps", 1).replace(
                        "buddy-secrets", "buddy-settings"
                    ),
                    secrets,
                ]
        finally:
            change(kube, [])
            wait_ready(place.stack, [place.namespace])
    assert await notes() == []


@pytest.mark.parametrize("right", STAGING_RIGHTS, ids=lambda right: f"{right.verb} {right.kind}")
async def test_every_right_in_staging_is_needed_there(
    place: ClusterWorld, release: Release, right: Right
) -> None:
    async with without(place, "staging", right):
        report = await staging(place, place.plan, release)
    assert not report.stable


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"backup": {"bucket": "no-such-bucket"}}, "create-bucket --bucket no-such-bucket"),
        ({"metrics": {"url": "http://127.0.0.1:1"}}, "Prometheus"),
        ({"database": {"probe_url": "env:NOT_SET_AT_ALL"}}, "NOT_SET_AT_ALL"),
        ({"database": {"owner": "nobody"}}, "nobody"),
        ({"database": {"name": "other"}}, "database.url"),
        ({"notices": {"webhook": "https://hooks.example/x"}}, "notices.webhook"),
        ({"kubernetes": {"namespace": "nowhere"}}, "namespace nowhere"),
        ({"migrations": {"command": ["no-such-tool"]}}, "no-such-tool cannot be run"),
    ],
)
async def test_what_is_missing_blocks_and_is_named(
    place: ClusterWorld, release: Release, change: dict[str, dict[str, Any]], said: str
) -> None:
    report = await environment(place, changed(place.plan, change), release)
    assert said in blocking(report.findings)


def changed(plan: Plan, change: dict[str, dict[str, Any]]) -> Plan:
    parts = {name: getattr(plan, name).model_copy(update=values) for name, values in change.items()}
    return plan.model_copy(update=parts)


async def test_a_server_that_does_not_answer_is_tried_again_by_a_deployment(
    place: ClusterWorld, release: Release
) -> None:
    plan = changed(place.plan, {"metrics": {"url": "http://127.0.0.1:1"}})
    with pytest.raises(Unreachable, match="Prometheus"):
        await environment(place, plan, release, f"{plan.environment}-x")


async def test_addresses_that_lead_nowhere_are_noted(place: ClusterWorld, release: Release) -> None:
    services = [
        one.model_copy(update={"url": "http://127.0.0.1:1"}) if one.name == "buddy" else one
        for one in place.plan.services
    ]
    plan = place.plan.model_copy(update={"services": services})
    report = await environment(place, plan, release)
    assert blocking(report.findings) == ""
    notes = {one.group: one.what for one in report.findings}
    assert "buddy does not answer" in notes["addresses"]


@pytest.mark.parametrize(
    ("name", "query", "said"),
    [
        (
            "requests",
            'no_such_total{namespace="$namespace"}',
            "series of buddy for `metrics.requests`",
        ),
        (
            "requests",
            'http_request_duration_seconds_count{namespace="$namespace",pod=~"$pods"}',
            "A request counter of buddy has no label `code`",
        ),
        (
            "latency",
            'no_such_bucket{namespace="$namespace"}',
            "series of buddy for `metrics.latency`",
        ),
        ("external", 'sum(no_such_total{namespace="$namespace"})', "`metrics.external`"),
        ("connections", "vector(0) / 0", "`metrics.connections` of the plan gives no number"),
    ],
)
async def test_what_windows_will_ask_for_in_vain_blocks(
    place: ClusterWorld, release: Release, name: str, query: str, said: str
) -> None:
    plan = changed(place.plan, {"metrics": {name: query}})
    report = await environment(place, plan, release)
    told = [one for one in report.findings if one.severity == "block"]
    assert {one.group for one in told} == {"metrics"}
    assert said in blocking(told)
    assert all(one.remedy for one in told)


async def test_a_service_of_logs_without_counters_is_noted(
    place: ClusterWorld, release: Release
) -> None:
    others = place.plan.metrics.requests.replace("{", '{pod!~"discord-bot-.*",')
    plan = changed(place.plan, {"metrics": {"requests": others}})
    report = await environment(place, plan, release)
    assert blocking(report.findings) == ""
    (note,) = [one.what for one in report.findings if one.group == "metrics"]
    assert "discord-bot" in note
    assert "judged without traffic" in note


@pytest.mark.parametrize("action", ACTIONS)
async def test_each_action_refused_in_the_bucket_is_named(
    place: ClusterWorld, world: DataWorld, action: str
) -> None:
    plan = place.plan.model_copy(update={"backup": world.backup})
    found = await BucketLook(ObjectStore(refusing(world, action)), plan).protection()
    (finding,) = found
    assert finding.severity == "block"
    assert f'"Action": "{action}"' in finding.remedy


def refusing(world: DataWorld, action: str) -> Any:
    """A client whose requests reach the real store, but for those that need one action."""
    operations = {
        "s3:ListBucket": ["ListObjectsV2"],
        "s3:GetObjectVersion": ["HeadObject"],
        "s3:GetBucketObjectLockConfiguration": ["GetObjectLockConfiguration"],
        "s3:DeleteObjectVersion": ["DeleteObject"],
    }.get(action, [action.removeprefix("s3:")])
    client = world.s3

    def refuse(request: Any, **_: Any) -> AWSResponse:
        return answered(request.url, 403, b"<Error><Code>AccessDenied</Code></Error>")

    for operation in operations:
        client.meta.events.register(f"before-send.s3.{operation}", refuse)
    return client


def answered(url: str, status: int, content: bytes) -> AWSResponse:
    """An answer that no store gave."""
    raw = HTTPResponse(body=BytesIO(content), status=status, preload_content=False)
    return AWSResponse(url, status, HTTPHeaders(), raw)


async def test_a_bucket_that_ignores_locks_blocks(place: ClusterWorld, world: DataWorld) -> None:
    client = world.s3

    def pretend(request: Any, **_: Any) -> AWSResponse:
        return answered(request.url, 200, b"")

    client.meta.events.register("before-send.s3.PutObjectRetention", pretend)
    plan = place.plan.model_copy(update={"backup": world.backup})
    found = await BucketLook(ObjectStore(client), plan).protection()
    assert any("took a lock and let the locked object be deleted" in one.what for one in found)


async def test_doctor_and_preflight_change_nothing(place: ClusterWorld, release: Release) -> None:
    before = await world_of(place)
    offset = audit_size(place)
    for deployment in (DOCTOR, f"{place.plan.environment}-x"):
        report = await environment(place, place.plan, release, deployment)
        assert blocking(report.findings) == ""
        await staging(place, place.plan, release, deployment)
    assert await world_of(place) == before
    assert writes_since(place, offset) == []


async def world_of(place: ClusterWorld) -> dict[str, Any]:
    """Databases, roles, settings, schema and rows of production and staging, and the bucket."""
    made = place.environment
    found: dict[str, Any] = {}
    for name in (made.database, made.staging_database):
        target = place.postgres.target(place.plan.database.url).on(name)
        async with place.postgres.session(target) as session:
            for what, query in CATALOGS.items():
                cursor = await session.execute(query.encode())
                found[f"{name} {what}"] = await cursor.fetchall()
    client = boto3.client("s3")
    pages = client.get_paginator("list_object_versions").paginate(
        Bucket=made.bucket, Prefix=made.bucket_prefix
    )
    found["bucket"] = [
        (one["Key"], one["VersionId"])
        for page in pages
        for one in [*page.get("Versions", []), *page.get("DeleteMarkers", [])]
    ]
    uploads = client.list_multipart_uploads(Bucket=made.bucket, Prefix=made.bucket_prefix)
    found["uploads"] = [one["Key"] for one in uploads.get("Uploads", [])]
    return found


CATALOGS = {
    "ledger": "SELECT * FROM drizzle.__drizzle_migrations ORDER BY id",
    "objects": "SELECT oid, relname, relfilenode, relacl::text FROM pg_class ORDER BY oid",
    "database": "SELECT datname, datdba, datallowconn, datacl::text FROM pg_database"
    " WHERE datname = current_database()",
    "settings": "SELECT setrole, setconfig FROM pg_db_role_setting"
    " WHERE setdatabase = (SELECT oid FROM pg_database WHERE datname = current_database())",
    "people": "SELECT count(*), sum(hashtextextended(u::text, 0)) FROM public.users u",
    "reports": "SELECT count(*), sum(hashtextextended(r::text, 0)) FROM public.reports r",
}


def audit_size(place: ClusterWorld) -> int:
    return Path(place.stack.kube_audit_log).stat().st_size


def writes_since(place: ClusterWorld, offset: int) -> list[str]:
    """What slipway's own user wrote in this environment, by the API server's audit log."""
    namespaces = (place.environment.namespace, place.environment.staging_namespace)
    found = []
    with Path(place.stack.kube_audit_log).open("rb") as log:
        log.seek(offset)
        for line in log:
            event = json.loads(line) if line.endswith(b"\n") else {}
            reference = event.get("objectRef") or {}
            ours = event.get("user", {}).get("username") == "slipway"
            if not ours or reference.get("namespace") not in namespaces:
                continue
            if event["verb"] not in ("get", "list", "watch"):
                found.append(f"{event['verb']} {reference}")
    return found


async def test_staging_that_runs_something_else_is_not_stable(
    place: ClusterWorld, release: Release
) -> None:
    other = {**release.images, "buddy": "registry.example/buddy@sha256:" + "0" * 64}
    report = await staging(place, place.plan, release.model_copy(update={"images": other}))
    assert not report.stable
    assert "buddy" in report.because


async def test_staging_that_cannot_be_measured_is_not_stable(
    place: ClusterWorld, release: Release, unused_tcp_port: int
) -> None:
    metrics = place.plan.metrics.model_copy(update={"url": f"http://127.0.0.1:{unused_tcp_port}"})
    plan = place.plan.model_copy(update={"metrics": metrics})
    report = await staging(place, plan, release)
    assert not report.stable
    assert "cannot be judged" in report.because
