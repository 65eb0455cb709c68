"""The faults of pods and of the database, on a real cluster and a real database."""

import re
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import psycopg
import pytest

from devstack.errors import StackError
from devstack.stack import Stack
from devstack.world import cluster, drizzle, environment
from devstack.world.catalog import BY_NAME
from devstack.world.database import access
from devstack.world.environment import Environment
from devstack.world.images import image
from devstack.world.kube import Kube
from slipway.judgements.pods import judge_pods, troubles
from slipway.verdicts import Reason
from starter.loading import load_plan

pytestmark = pytest.mark.stack
_PLAN = Path(__file__).parents[2] / "plans" / "teei-production.yaml"


@pytest.fixture(scope="module")
def made(stack: Stack) -> Iterator[Environment]:
    yield environment.create(stack, "faults")
    environment.destroy(stack, "faults")


def _wait(what: str, condition: Callable[[], bool], seconds: float = 120) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"{what}: not within {seconds} s"
        time.sleep(0.1)


def _set(stack: Stack, made: Environment, service: str, fault: str | None) -> None:
    wanted = image(service, "1.1.0", fault) if fault else image(service, "1.0.0")
    with Kube(stack) as kube:
        cluster.set_image(kube, made.namespace, service, wanted)


def _heal(stack: Stack, made: Environment, service: str) -> None:
    _set(stack, made, service, None)
    cluster.wait_ready(stack, [made.namespace])


def _pods(stack: Stack, made: Environment, service: str, fault: str) -> list[dict[str, Any]]:
    with Kube(stack) as kube:
        found = kube.get(f"/api/v1/namespaces/{made.namespace}/pods?labelSelector=app={service}")
    assert found is not None
    wanted = image(service, "1.1.0", fault)
    return [one for one in found["items"] if one["spec"]["containers"][0]["image"] == wanted]


def test_the_second_of_two_migrations_fails_and_takes_the_first_with_it(
    stack: Stack, made: Environment, tmp_path: Path
) -> None:
    def columns() -> set[str]:
        with psycopg.connect(access.url(stack, access.ADMIN, made.database)) as connection:
            rows = connection.execute(
                "SELECT attname FROM pg_attribute WHERE attrelid = 'public.reports'::regclass"
            ).fetchall()
        return {name for (name,) in rows}

    before = columns()
    tags = drizzle.prepare(stack, tmp_path / "workspace", "fails-late")
    assert len(tags) == 2
    drizzle.migrate(stack, tmp_path / "workspace", made.staging_database)
    with pytest.raises(StackError, match="db:migrate failed"):
        drizzle.migrate(stack, tmp_path / "workspace", made.database)
    assert columns() == before
    assert "language" not in before


@pytest.mark.parametrize(
    ("fault", "reason"),
    [("oom", Reason.OUT_OF_MEMORY), ("readythendies", Reason.POD_RESTARTING)],
)
def test_a_version_that_dies_was_ready_before(
    stack: Stack, made: Environment, fault: str, reason: Reason
) -> None:
    _set(stack, made, "reporting", fault)

    def judged() -> bool:
        # only a pod that was ready dies by these faults (devstack/servers/stages.py)
        pods = _pods(stack, made, "reporting", fault)
        verdict = judge_pods("reporting", pods, {}, replaced=True)
        return verdict is not None and verdict.reason is reason

    _wait(f"{reason} seen", judged)
    _heal(stack, made, "reporting")


@pytest.mark.parametrize(
    ("fault", "kinds"), [("imagepull", {"image-missing"}), ("neverready", set())]
)
def test_a_version_that_never_serves_leaves_the_old_one_alone(
    stack: Stack, made: Environment, fault: str, kinds: set[str]
) -> None:
    _set(stack, made, "reporting", fault)

    def stuck() -> bool:
        pods = _pods(stack, made, "reporting", fault)
        return bool(pods) and all(one["status"].get("containerStatuses") for one in pods)

    _wait("its pod", stuck)
    pods = _pods(stack, made, "reporting", fault)
    assert {one.kind for pod in pods for one in troubles(pod)} == kinds
    statuses = [one for pod in pods for one in pod["status"]["containerStatuses"]]
    assert [one["ready"] for one in statuses] == [False]
    with Kube(stack) as kube:
        found = kube.get(f"/apis/apps/v1/namespaces/{made.namespace}/deployments/reporting")
    assert found is not None
    assert found["status"]["readyReplicas"] == BY_NAME["reporting"].replicas
    _heal(stack, made, "reporting")


def test_bad_rows_are_seen_by_a_corruption_probe_of_the_plan(
    stack: Stack, made: Environment
) -> None:
    probes = [one.sql for one in load_plan(_PLAN).corruption]

    def unsound() -> int:
        with psycopg.connect(access.url(stack, access.PROBE, made.database)) as connection:
            rows = [connection.execute(sql.encode()).fetchone() for sql in probes]
        return sum(row == (False,) for row in rows)

    assert unsound() == 0
    _set(stack, made, "impact-in", "corrupts")
    _wait("a bad row", lambda: unsound() == 1)
    _heal(stack, made, "impact-in")


def test_the_gauge_of_connections_rises_over_the_limit_and_falls_again(
    stack: Stack, made: Environment
) -> None:
    limit = load_plan(_PLAN).limits.connections

    def share() -> float:
        text = httpx.get(
            f"{_control(stack)}/metrics/{made.namespace}/postgres", trust_env=False
        ).text
        numbers = dict(re.findall(r"^(pg_\w+) (\d+)$", text, re.MULTILINE))
        return int(numbers["pg_stat_activity_count"]) / int(numbers["pg_settings_max_connections"])

    assert share() < limit
    _set(stack, made, "buddy", "dbconnections")
    _wait("too many connections", lambda: share() > limit)
    _heal(stack, made, "buddy")
    _wait("few connections", lambda: share() < limit)


def test_a_version_breaks_once_the_new_schema_is_there(
    stack: Stack, made: Environment, tmp_path: Path
) -> None:
    _set(stack, made, "unified-profile", "dberrors")
    cluster.wait_ready(stack, [made.namespace])

    def failed() -> int:
        text = httpx.get(f"{_control(stack)}/metrics/{made.namespace}/pods", trust_env=False).text
        found = re.findall(
            r'^http_requests_total\{.*code="500".*unified-profile.*\} (\d+)$', text, re.M
        )
        return sum(map(int, found))

    _wait("its first answers", lambda: _answers(made) == {200})
    before = failed()
    drizzle.prepare(stack, tmp_path / "workspace", "one")
    drizzle.migrate(stack, tmp_path / "workspace", made.database)
    _wait("failing requests", lambda: failed() > before + 100)
    _wait("a failing answer", lambda: 500 in _answers(made))
    _heal(stack, made, "unified-profile")


def _answers(made: Environment) -> set[int]:
    url = made.url("unified-profile") + "/profiles/1"
    with httpx.Client(trust_env=False) as client:
        return {client.get(url).status_code for _ in range(12)}


def _control(stack: Stack) -> str:
    return stack.world_url
