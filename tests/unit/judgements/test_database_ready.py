"""What a database must offer, said with the statement that gives it."""

from dataclasses import replace
from functools import lru_cache
from pathlib import Path

import pytest

from slipway.judgements import database_ready as ready
from slipway.judgements.database_obstacles import OBSTACLES, Obstacle
from slipway.judgements.database_ready import Met, Room, Standing
from slipway.judgements.database_rights import RIGHTS, DatabaseRight, Login
from slipway.plan import Plan
from starter.loading import load_plan

ROOT = Path(__file__).resolve().parents[3]
PRODUCTION = Standing(
    login=Login.PRODUCTION,
    database="teei",
    role="slipway_admin",
    server="2026-11-23",
    server_version="18.4",
    server_major=18,
    size=1,
    local_setting="",
    pooled=False,
)
CONTROL = replace(PRODUCTION, login=Login.CONTROL, database="slipway")
PROBE = replace(PRODUCTION, login=Login.PROBE, role="teei_probe")


@lru_cache
def plan() -> Plan:
    return load_plan(ROOT / "plans" / "teei-production.yaml")


def logins(*standings: Standing) -> list[str]:
    found = ready.judge_logins({one.login: one for one in standings}, plan())
    assert all((one.severity, one.group) == ("block", "addresses") for one in found)
    return [f"{one.what} {one.remedy}" for one in found]


@pytest.mark.parametrize("right", RIGHTS, ids=lambda right: f"{right.login}: {right.what}")
@pytest.mark.parametrize("major", [15, 18])
def test_a_missing_right_is_named_with_the_statement_that_grants_it(
    right: DatabaseRight, major: int
) -> None:
    standing = replace(PRODUCTION, login=right.login, lacking=(right,), server_major=major)
    (finding,) = ready.judge_rights(standing, plan())
    assert (finding.severity == "block") is right.blocks
    assert "{" not in f"{finding.what} {finding.remedy}"
    assert finding.remedy.startswith("Run as administrator in database teei: ")
    assert finding.remedy.endswith(";")
    assert not (major == 15 and " TRUE" in finding.remedy)


@pytest.mark.parametrize("obstacle", OBSTACLES, ids=lambda obstacle: obstacle.what[:40])
def test_an_obstacle_names_its_cases_and_what_removes_each(obstacle: Obstacle) -> None:
    cases = tuple((f"odd{{name}}{n}", f"ALTER x{n} TO {{role}};") for n in range(7))
    standing = replace(PRODUCTION, met=(Met(obstacle, cases),))
    (finding,) = ready.judge_obstacles(standing, plan())
    assert "odd{name}0, odd{name}1" in finding.what
    assert "and 2 more" in finding.what
    assert "{names}" not in finding.what
    assert "ALTER x0 TO slipway_admin; ALTER x1" in finding.remedy


def test_logins_that_lead_where_they_should_give_no_finding() -> None:
    assert logins(PRODUCTION, CONTROL, PROBE) == []


@pytest.mark.parametrize(
    ("login", "change", "said"),
    [
        (Login.PRODUCTION, {"database": "other"}, "database.url opens other"),
        (Login.PRODUCTION, {"pooled": True}, "PgBouncer"),
        (Login.CONTROL, {"database": "teei"}, "database.admin_url opens teei"),
        (Login.CONTROL, {"server": "2026-01-01"}, "database.admin_url opens slipway"),
        (Login.CONTROL, {"role": "other"}, "logs in as other"),
        (Login.CONTROL, {"pooled": True}, "database.admin_url leads through"),
        (Login.PROBE, {"server": "2026-01-01"}, "probe_url"),
        (Login.PROBE, {"database": "other"}, "probe_url"),
    ],
)
def test_a_login_that_leads_elsewhere_is_named(
    login: Login, change: dict[str, object], said: str
) -> None:
    standings = {one.login: one for one in (PRODUCTION, CONTROL, PROBE)}
    standings[login] = replace(standings[login], **change)  # type: ignore[arg-type]  # parametrised
    assert any(said in one for one in logins(*standings.values()))


def test_client_tools_of_another_version_block() -> None:
    assert ready.judge_tools(18, {"pg_dump": 18, "pg_restore": 18}) == []
    (finding,) = ready.judge_tools(18, {"pg_dump": 18, "pg_restore": 15})
    assert finding.severity == "block"
    assert "pg_restore is version 15" in finding.what
    assert "SLIPWAY_PG_BIN" in finding.remedy


def test_too_little_room_blocks_and_unknown_room_is_noted() -> None:
    rooms = [
        Room("worker", "where the worker keeps its files", 10 << 20, 100 << 20),
        Room("database", "on the database server", None, 100 << 20),
        Room("database", "on the database server", 200 << 20, 100 << 20),
    ]
    worker, server = ready.judge_room(rooms)
    assert (worker.severity, worker.group) == ("block", "worker")
    assert "Free 90 MiB" in worker.remedy
    assert (server.severity, server.group) == ("note", "database")
    assert "cannot be asked" in server.what


def test_write_ahead_log_takes_room_as_long_as_somebody_holds_it() -> None:
    assert ready.Wal(at_most=1 << 30, held=False).of(5 << 30) == 1 << 30
    assert ready.Wal(at_most=1 << 30, held=False).of(5 << 20) == 5 << 20
    assert ready.Wal(at_most=1 << 30, held=True).of(5 << 30) == 5 << 30


def test_slot_that_a_restore_would_cost_blocks() -> None:
    (finding,) = ready.judge_room([ready.slot_room("standby", 10 << 20, 100 << 20)])
    assert finding.severity == "block"
    assert "10 MiB are free until the server gives up replication slot standby" in finding.what
    assert "max_slot_wal_keep_size" in finding.remedy


def test_probes_that_cannot_be_run_are_told_apart() -> None:
    refused = [
        ("denied", "SQLSTATE 42501: permission denied for table users"),
        ("later", 'SQLSTATE 42P01: relation "new" does not exist'),
        ("wrong", "SQLSTATE 42601: syntax error"),
    ]
    denied, later, wrong = ready.judge_probes(refused, PROBE)
    assert "GRANT pg_read_all_data TO teei_probe;" in denied.remedy
    assert [one.severity for one in (denied, later, wrong)] == ["block", "note", "block"]
