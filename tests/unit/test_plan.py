"""Plans: lengths of time, the scale, and the plan that ships for TEEI against its playbook."""

import re
from functools import lru_cache
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from slipway.base import parse_length, say_length
from slipway.plan import Plan, ServiceKind
from starter.loading import load_plan

ROOT = Path(__file__).resolve().parents[2]
PLAYBOOK = (ROOT / "docs" / "playbook.md").read_text()


@lru_cache
def shipped() -> Plan:
    return load_plan(ROOT / "plans" / "teei-production.yaml")


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("250ms", 0.25), ("30s", 30), ("2m", 120), ("1h", 3600), ("1.5h", 5400), ("7d", 604800)],
)
def test_lengths_of_time(text: str, seconds: float) -> None:
    assert parse_length(text) == seconds


@pytest.mark.parametrize("text", ["", "30", "30 s", "-1s", "1w", "1h30m", "forever", "1e3s"])
def test_other_texts_are_no_lengths(text: str) -> None:
    with pytest.raises(ValueError, match="not a length"):
        parse_length(text)


@given(st.integers(1, 30 * 86400))
@settings(deadline=None)
def test_lengths_are_said_so_that_they_add_up(seconds: int) -> None:
    parts = re.findall(r"\d+(?:\.\d+)?[smhd]", say_length(seconds))
    assert "".join(parts) == say_length(seconds)
    assert sum(parse_length(part) for part in parts) == seconds


def test_services_ports_and_addresses_are_the_playbooks() -> None:
    table = re.findall(r"^\| ([^|]+) \| (\d{4}) \| (\S+|N/A \(non-HTTP\)) \|$", PLAYBOOK, re.M)
    assert len(table) == 11
    for service, (title, port, url) in zip(shipped().services, table, strict=True):
        assert service.port == int(port)
        if service.kind is ServiceKind.LOG:
            assert url.startswith("N/A")
        else:
            assert service.url == url
        assert service.title.split()[0].split("/")[0].rstrip(",") in title


def test_every_wait_of_the_playbook_is_in_the_plan() -> None:
    plan = shipped()
    assert (plan.timings.settle, plan.timings.monitor) == (30, 120)
    assert plan.timings.final_monitor == 15 * 60
    assert (plan.timings.aftercare_health, plan.timings.aftercare_errors) == (1800, 3600)
    assert (plan.timings.aftercare_day, plan.timings.aftercare_week) == (86400, 7 * 86400)
    assert plan.backup.max_age == 3600
    assert plan.staging.soak == 86400
    assert (plan.limits.error_rate, plan.limits.error_rate_rollback) == (0.001, 0.01)
    assert plan.limits.latency_p95 == 0.5
    assert len(plan.smoke) == 5


def test_every_service_with_http_has_a_critical_function() -> None:
    without = [one.name for one in shipped().services if not one.critical]
    assert without == ["discord-bot"]


def test_time_scale_divides_every_wait() -> None:
    plan = shipped().model_copy(update={"time_scale": 15.0})
    assert plan.lengths.settle == 2
    assert plan.floor == shipped().floor / 15
    assert plan.timings == shipped().timings


def test_a_plan_without_a_key_that_came_later_keeps_its_digest() -> None:
    dumped = shipped().model_dump(mode="json")
    assert "generate" not in dumped["migrations"]
    off = shipped().migrations.model_copy(update={"generate": [], "unchanged": "nothing to do"})
    travelled = type(off).model_validate(off.model_dump(mode="json"))
    assert (travelled.generate, travelled.unchanged) == ([], "nothing to do")


def test_how_to_observe_travels_only_where_a_plan_says_it() -> None:
    plan = shipped()
    assert "observe" not in plan.model_dump(mode="json")
    data = {**plan.model_dump(mode="json"), "observe": {"horizon": "2d"}}
    other = Plan.model_validate(data)
    assert Plan.model_validate(other.model_dump(mode="json")).observe.horizon == 2 * 86400


def test_a_function_that_may_be_run_while_observing_is_one_of_the_plan() -> None:
    data = shipped().model_dump(mode="json")
    Plan.model_validate({**data, "observe": {"also_run": ["a person can log in"]}})
    with pytest.raises(ValidationError, match="no critical function is called 'nothing'"):
        Plan.model_validate({**data, "observe": {"also_run": ["nothing"]}})


def test_poolers_and_another_server_are_left_out_of_a_plan_that_has_none() -> None:
    """The digests of plans that are running stay."""
    plain = shipped().database
    assert not {"poolers", "restore_server"} & plain.model_dump().keys()
    given = {**plain.model_dump(), "poolers": ["env:POOLER"], "restore_server": "file:/x"}
    assert type(plain).model_validate(given).model_dump() == given
    with pytest.raises(ValueError, match="poolers"):
        type(plain).model_validate({**given, "poolers": ["postgresql://a:b@c/pgbouncer"]})


def test_a_log_store_travels_only_where_a_plan_names_one() -> None:
    data = shipped().model_dump(mode="json")
    assert "loki" not in data
    other = Plan.model_validate({**data, "loki": {"url": "http://loki:3100", "delay": "20s"}})
    again = Plan.model_validate(other.model_dump(mode="json")).loki
    assert again is not None
    assert (again.delay, again.tenant) == (20.0, None)


@pytest.mark.parametrize(
    "wrong",
    [
        {"selector": '{namespace="teei"}'},
        {"selector": "$pods"},
        {"selector": '{pod=~"$pods"} |= `x`'},
        {"selector": '{pod=~"$pods"}\n{a="b"}'},
        {"tenant": "a b"},
        {"url": "http://user:word@loki:3100"},
        {"token": "env:LOKI"},
        {"authorization": "Bearer of-a-test-only"},
        {"delay": "31s"},
    ],
)
def test_a_log_store_that_could_not_be_asked_is_refused(wrong: dict[str, str]) -> None:
    data = {**shipped().model_dump(mode="json"), "loki": {"url": "http://loki:3100", **wrong}}
    with pytest.raises(ValidationError):
        Plan.model_validate(data)


def test_a_browser_is_wanted_only_where_a_plan_says_it() -> None:
    data = shipped().model_dump(mode="json")
    (cockpit,) = [one for one in data["services"] if one["name"] == "corp-cockpit"]
    assert "rendered" not in cockpit["page"]
    cockpit["page"]["rendered"] = ["Sign in"]
    page = Plan.model_validate(data).service("corp-cockpit").page
    assert page is not None
    assert page.model_dump(mode="json")["rendered"] == ["Sign in"]
