"""What the environment must offer, and staging's stability."""

import math
from dataclasses import replace

import pytest

from slipway.judgements import environment, staging
from slipway.judgements.corruption import ProbeResult, judge_probe
from slipway.judgements.counters import Unreadable
from slipway.judgements.database_ready import DatabaseStanding, judge_database
from slipway.judgements.health import count_probe, judge_health
from slipway.judgements.queries import fill
from slipway.plan import Database, Limits
from slipway.verdicts import Kind
from tests.unit.judgements.objects import NEW, OLD, deployment

DATABASE = Database(
    name="teei",
    url="env:A",
    admin_url="env:B",
    probe_url="env:C",
    owner="teei_owner",
)
STANDING = DatabaseStanding(
    database="teei",
    role="slipway_admin",
    server_version="18.4",
    server_major=18,
    tools_major=18,
    wal_level="logical",
    size=1,
    local_setting="true",
    may_create_databases=True,
    may_create_roles=True,
    may_end_sessions=True,
    owns_database=True,
    acts_as_owner=True,
    may_grant_owner=True,
    admin_database="slipway",
    admin_elsewhere=False,
    probe_elsewhere=False,
    hosts={"database.url": "127.0.0.1"},
)


def test_a_ready_database_gives_no_finding() -> None:
    assert judge_database(STANDING, DATABASE) == []


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"may_create_databases": False}, "CREATEDB"),
        ({"may_create_roles": False}, "CREATEROLE"),
        ({"may_end_sessions": False}, "pg_signal_backend"),
        ({"owns_database": False}, "OWNER TO teei_owner"),
        ({"acts_as_owner": False}, "GRANT teei_owner TO slipway_admin"),
        ({"may_grant_owner": False}, "WITH ADMIN OPTION"),
        ({"database": "other"}, "database.url"),
        ({"admin_database": "teei"}, "admin_url"),
        ({"admin_elsewhere": True}, "admin_url"),
        ({"probe_elsewhere": True}, "probe_url"),
        ({"tools_major": 15}, "SLIPWAY_PG_BIN"),
    ],
)
def test_each_missing_thing_blocks_and_says_what_grants_it(
    change: dict[str, object], said: str
) -> None:
    findings = judge_database(replace(STANDING, **change), DATABASE)  # type: ignore[arg-type]  # parametrised fields
    assert [one.severity for one in findings] == ["block"]
    assert said in f"{findings[0].what} {findings[0].remedy}"


def test_missing_rights_name_the_line_of_the_role() -> None:
    right = environment.Right("get", "", "pods", "log")
    (finding,) = environment.missing_rights("prod", [right])
    assert '- {apiGroups: [""], resources: ["pods/log"], verbs: ["get"]}' in finding.remedy


@pytest.mark.parametrize(
    ("address", "local"),
    [
        ("http://127.0.0.1:1", True),
        ("http://[::1]:1/x", True),
        ("http://localhost:1", True),
        ("/run/postgresql", True),
        ("https://127.0.0.1.evil.example", False),
        ("https://api.teei.com", False),
        ("10.0.0.1", False),
        ("", False),
    ],
)
def test_loopback(address: str, local: bool) -> None:
    assert (environment.not_loopback({"x": address}) == []) is local


def test_compressed_time_needs_every_marker() -> None:
    label = {environment.LOCAL_LABEL: "true"}
    assert environment.local_only(15, [], label, "true") == []
    assert environment.local_only(1, ["x"], {}, None) == []
    for far, labels, setting in (
        (["x"], label, "true"),
        ([], {}, "true"),
        ([], label, None),
        ([], label, "on"),
    ):
        assert environment.local_only(15, far, labels, setting)[0].severity == "block"


def test_staging_must_run_the_releases_digest_at_rest() -> None:
    assert staging.judge_deployment("buddy", deployment(), "app", OLD) == []
    assert staging.judge_deployment("buddy", None, "app", OLD)
    assert staging.judge_deployment("buddy", deployment(), "app", NEW)
    assert staging.judge_deployment("buddy", deployment(availableReplicas=0), "app", OLD)
    assert staging.judge_deployment("buddy", deployment("reg/app:1.0"), "app", OLD)


def test_staging_with_errors_or_slow_answers_or_no_data_blocks() -> None:
    limits = Limits()
    assert staging.judge_errors({"200": 9990.0, "500": 5.0}, "5..", 60, limits) == []
    assert staging.judge_errors({"200": 9000.0, "500": 90.0}, "5..", 60, limits)
    assert staging.judge_errors({"200": 10.0}, "5..", 60, limits)
    assert staging.judge_errors(Unreadable("down"), "5..", 60, limits)
    quick, slow = {0.5: 990.0, math.inf: 1000.0}, {0.5: 900.0, math.inf: 1000.0}
    assert staging.judge_latency(quick, 60, limits) == []
    assert staging.judge_latency(slow, 60, limits)
    assert staging.judge_latency(Unreadable("down"), 60, limits)
    assert staging.judge_latency({1.0: 1.0, math.inf: 1000.0}, 60, limits)


def test_three_failed_probes_in_a_row_and_no_fewer() -> None:
    failing: dict[str, int] = {}
    for problem, kind in (("x", None), ("x", None), ("", None), ("x", None), ("x", None)):
        failing = count_probe(failing, "a", problem)
        assert judge_health("a", failing["a"], problem) is kind
    failing = count_probe(failing, "a", "DOWN")
    verdict = judge_health("a", failing["a"], "DOWN")
    assert verdict is not None
    assert verdict.kind is Kind.ROLLBACK


@pytest.mark.parametrize(
    ("result", "kind"),
    [
        (ProbeResult("p", True), Kind.PROCEED),
        (ProbeResult("p", False), Kind.ROLLBACK),
        (ProbeResult("p", None, "no table", "42P01"), Kind.INCONCLUSIVE),
        (ProbeResult("p", None, "bad page", "XX001"), Kind.ROLLBACK),
        (ProbeResult("p", None, "bad index", "XX002"), Kind.ROLLBACK),
    ],
)
def test_corruption_probes(result: ProbeResult, kind: Kind) -> None:
    assert judge_probe(result).kind is kind


def test_queries_are_filled_in_and_pods_cannot_break_out() -> None:
    query = fill('x{n="$namespace",p=~"$pods"}[$window]', namespace="a", pods='b"}', window=1.5)
    assert query == 'x{n="a",p=~"b\\"}"}[1500ms]'
