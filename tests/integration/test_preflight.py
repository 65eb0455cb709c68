"""The preflight's look at real servers: all is well, or each missing thing is named."""

from typing import Any

import pytest

from activities.preflight import EnvironmentChecks
from devstack.world import release as releases
from slipway.messages.preflight import EnvironmentReport, Finding, Preflight, StagingReport
from slipway.plan import Plan
from slipway.release import Release
from starter.loading import load_release
from tests.integration.cluster_world import ClusterWorld

pytestmark = pytest.mark.stack


@pytest.fixture(scope="module")
def release(place: ClusterWorld) -> Release:
    return load_release(releases.make_release(place.stack, place.environment, pending="none"))


def checks(place: ClusterWorld) -> EnvironmentChecks:
    return EnvironmentChecks(place.cluster, place.postgres, place.store, place.metrics, place.http)


async def environment(place: ClusterWorld, plan: Plan, release: Release) -> EnvironmentReport:
    request = Preflight(plan=plan, release=release, deployment=f"{plan.environment}-x")
    return await checks(place).environment(request)


async def staging(place: ClusterWorld, plan: Plan, release: Release) -> StagingReport:
    request = Preflight(plan=plan, release=release, deployment=f"{plan.environment}-x")
    return await checks(place).staging(request)


def blocking(findings: list[Finding]) -> str:
    return " | ".join(f"{one.what} {one.remedy}" for one in findings if one.severity == "block")


async def test_the_local_stack_is_ready(place: ClusterWorld, release: Release) -> None:
    report = await environment(place, place.plan, release)
    assert blocking(report.findings) == ""
    assert report.server_version.startswith("18")
    assert report.database_size > 1_000_000


async def test_staging_is_stable(place: ClusterWorld, release: Release) -> None:
    report = await staging(place, place.plan, release)
    assert report.stable, report.because


async def test_each_right_taken_away_is_named(place: ClusterWorld, release: Release) -> None:
    path = f"/apis/rbac.authorization.k8s.io/v1/namespaces/{place.namespace}/roles/slipway"
    with place.admin() as kube:
        role = kube.get(path)
        assert role is not None
        for number, rule in enumerate(role["rules"]):
            fewer = [one for index, one in enumerate(role["rules"]) if index != number]
            kube.merge(path, {"rules": fewer})
            try:
                said = blocking((await environment(place, place.plan, release)).findings)
            finally:
                kube.merge(path, {"rules": role["rules"]})
            assert f'resources: ["{rule["resources"][0]}"]' in said, rule


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"backup": {"bucket": "no-such-bucket"}}, "no-such-bucket"),
        ({"metrics": {"url": "http://127.0.0.1:1"}}, "Prometheus"),
        ({"database": {"probe_url": "env:NOT_SET_AT_ALL"}}, "NOT_SET_AT_ALL"),
        ({"database": {"owner": "nobody"}}, "nobody"),
        ({"database": {"name": "other"}}, "database.url"),
        ({"notices": {"webhook": "https://hooks.example/x"}}, "notices.webhook"),
        ({"kubernetes": {"namespace": "nowhere"}}, "namespace nowhere"),
    ],
)
async def test_what_is_missing_blocks_and_is_named(
    place: ClusterWorld, release: Release, change: dict[str, dict[str, Any]], said: str
) -> None:
    parts = {
        name: getattr(place.plan, name).model_copy(update=values) for name, values in change.items()
    }
    plan = place.plan.model_copy(update=parts)
    assert said in blocking((await environment(place, plan, release)).findings)


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
