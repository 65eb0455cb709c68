"""`slipway check`: findings, sequence, floor, who must approve, what a rollback would do."""

from collections.abc import Callable
from functools import lru_cache
from pathlib import Path
from typing import Any

import pytest

from slipway.check import CheckReport, review
from slipway.check_rules import PLACEHOLDER
from slipway.plan import Plan, Window
from slipway.release import Release
from starter.loading import load_plan, load_release

PLANS = Path(__file__).resolve().parents[2] / "plans"
ENGINEER = "vp-engineering@teei.com"


@lru_cache
def shipped() -> tuple[dict[str, Any], dict[str, Any]]:
    """Return the shipped plan with real contacts, and the example release, as plain data."""
    plan = load_plan(PLANS / "teei-production.yaml").model_dump()
    for contact in plan["contacts"].values():
        contact["reach"] = "+47 22 00 00 00"
    return plan, load_release(PLANS / "example-release.yaml").model_dump()


def checked(change: Callable[[dict[str, Any], dict[str, Any]], None] | None = None) -> CheckReport:
    """Return the report about the shipped documents after a change."""
    plan, release = shipped()
    plan, release = Plan(**plan).model_dump(), Release(**release).model_dump()
    if change:
        change(plan, release)
    return review(Plan.model_validate(plan), Release.model_validate(release))


def test_the_shipped_plan_is_refused_for_its_placeholders_alone() -> None:
    report = review(
        load_plan(PLANS / "teei-production.yaml"), load_release(PLANS / "example-release.yaml")
    )
    assert [one.place for one in report.blocking] == [
        f"plan: contacts.{who}.reach"
        for who in ("on_call", "vp_engineering", "cto", "database_admin")
    ]


def test_with_contacts_the_shipped_plan_is_sound_and_as_strict_as_the_playbook() -> None:
    assert checked().findings == []


def test_the_staging_plan_has_the_same_services_flows_and_limits() -> None:
    production = load_plan(PLANS / "teei-production.yaml")
    staging = load_plan(PLANS / "teei-staging.yaml")
    assert staging.limits == production.limits
    assert staging.smoke == production.smoke
    assert staging.logs == production.logs
    assert staging.corruption == production.corruption
    for ours, theirs in zip(staging.services, production.services, strict=True):
        where = {"url": None, "staging_url": None, "kind": "log", "heartbeat": None}
        assert ours.model_copy(update=where) == theirs.model_copy(update=where)


def _images(plan: dict[str, Any], release: dict[str, Any]) -> None:
    release["images"]["extra"] = release["images"].pop("buddy")


def _only_requester(plan: dict[str, Any], release: dict[str, Any]) -> None:
    plan["approvals"]["roles"] = {"vp": [release["requester"]]}


def _nobody_confirms(plan: dict[str, Any], release: dict[str, Any]) -> None:
    plan["approvals"]["confirm"] = {"incident-team-on-standby": [ENGINEER]}


def _short_window(plan: dict[str, Any], release: dict[str, Any]) -> None:
    plan["window"] = {"days": ["mon"], "start": "08:00", "end": "08:30", "timezone": "UTC"}


def _wrong_zone(plan: dict[str, Any], release: dict[str, Any]) -> None:
    plan["window"]["timezone"] = "Europe/Olso"


def _compressed(plan: dict[str, Any], release: dict[str, Any]) -> None:
    plan["time_scale"] = 15


def _retention(plan: dict[str, Any], release: dict[str, Any]) -> None:
    plan["backup"]["retention"] = 3600


def _old_backup(plan: dict[str, Any], release: dict[str, Any]) -> None:
    plan["backup"]["max_age"] = 3601


def _pattern(plan: dict[str, Any], release: dict[str, Any]) -> None:
    plan["logs"][0]["pattern"] = "(["


def _not_captured(plan: dict[str, Any], release: dict[str, Any]) -> None:
    plan["smoke"][1]["steps"][1]["capture"] = {}


def _no_address(plan: dict[str, Any], release: dict[str, Any]) -> None:
    plan["smoke"][1]["steps"][0]["service"] = "discord-bot"


def _twice(plan: dict[str, Any], release: dict[str, Any]) -> None:
    release["migrations"]["pending"] *= 2


def _slice(plan: dict[str, Any], release: dict[str, Any]) -> None:
    plan["timings"]["slice"] = 901


@pytest.mark.parametrize(
    ("change", "place", "what"),
    [
        (_images, "release: images.buddy", "names no image for it"),
        (_images, "release: images.extra", "no such service"),
        (_only_requester, "plan: approvals.roles", "only 0 people"),
        (_nobody_confirms, "plan: approvals.confirm.stakeholders-notified", "Nobody"),
        (_short_window, "plan: window", "30m on end, but the plan's waits alone last 44m30s"),
        (_wrong_zone, "plan: window.timezone", "Europe/Olso"),
        (_compressed, "plan: services[api-gateway].url", "api.teei.com is not this machine"),
        (_compressed, "plan: metrics.url", "not this machine"),
        (_retention, "plan: backup.retention", "locked for 1h, but may be needed for 1d"),
        (_old_backup, "plan: backup.max_age", "more than the hour"),
        (_pattern, "plan: logs[connection errors].pattern", "no regular expression"),
        (_not_captured, "plan: smoke[dashboard loads and displays data].steps[its data]", "token"),
        (_no_address, "plan: smoke[dashboard loads", "discord-bot has no `url`"),
        (_twice, "release: migrations.pending", "given twice"),
        (_slice, "plan: timings.slice", "longer than the last window"),
    ],
)
def test_what_cannot_work_blocks(
    change: Callable[[dict[str, Any], dict[str, Any]], None], place: str, what: str
) -> None:
    found = [one for one in checked(change).blocking if one.place.startswith(place)]
    assert found, [one.place for one in checked(change).findings]
    assert what in found[0].what
    assert found[0].remedy.endswith(".")


def test_what_is_softer_than_the_playbook_is_noted_and_does_not_block() -> None:
    def softer(plan: dict[str, Any], release: dict[str, Any]) -> None:
        plan["timings"]["final_monitor"] = 60
        plan["limits"]["error_rate"] = 0.002

    report = checked(softer)
    assert report.blocking == []
    assert [one.place for one in report.findings] == [
        "plan: timings.final_monitor",
        "plan: limits.error_rate",
    ]
    assert "0.20% is softer than the playbook's 0.10%" in report.findings[1].what


def test_compressed_time_is_accepted_on_loopback() -> None:
    def local(plan: dict[str, Any], release: dict[str, Any]) -> None:
        _compressed(plan, release)
        for service in plan["services"]:
            service["url"] = service["url"] and "http://127.0.0.1:4000"
            service["staging_url"] = service["staging_url"] and "http://localhost:4000"
        plan["metrics"]["url"] = "http://[::1]:9090"

    report = checked(local)
    assert report.blocking == []
    assert report.floor == (11 * 150 + 900 + 120) / 15
    assert any("wait 2s" in step and "watch 8s" in step for step in report.sequence)


@pytest.mark.parametrize("text", ["[Contact Info]", "TBD", "todo: Anna", "<mail>", "--", "xxxx"])
def test_placeholders(text: str) -> None:
    assert PLACEHOLDER.search(text)


@pytest.mark.parametrize("text", ["+47 22 00 00 00", "Anna <anna@teei.com>", "pager 7", "Todor"])
def test_real_contacts(text: str) -> None:
    assert not PLACEHOLDER.search(text)


def test_the_sequence_is_the_playbooks() -> None:
    report = checked()
    deployed = [step.split()[1].rstrip(",") for step in report.sequence if "Deploy " in step]
    assert deployed == [one["name"] for one in shipped()[0]["services"]]
    assert report.sequence[0].startswith("Preflight")
    assert "0002_report_language" in report.sequence[4]
    assert report.sequence[-1].startswith("Hand over")
    assert report.floor == 11 * 150 + 900 + 120


def test_the_requester_is_not_among_the_approvers() -> None:
    def asks(plan: dict[str, Any], release: dict[str, Any]) -> None:
        release["requester"] = ENGINEER

    assert checked(asks).approvers == ["cto@teei.com (cto)"]


@pytest.mark.parametrize(
    ("policy", "said"),
    [
        ("always", "no later write is lost"),
        ("ask", "Ask a person"),
        ("when-implicated", "Only when"),
    ],
)
def test_the_rollback_is_told(policy: str, said: str) -> None:
    def choose(plan: dict[str, Any], release: dict[str, Any]) -> None:
        plan["rollback"]["database"] = policy

    assert any(said in line for line in checked(choose).rollback)


def test_without_migrations_nothing_is_restored() -> None:
    def none(plan: dict[str, Any], release: dict[str, Any]) -> None:
        release["migrations"]["pending"] = []

    report = checked(none)
    assert any("restore nothing" in line for line in report.rollback)
    assert not any(step.startswith("Migrate") for step in report.sequence)


def test_a_window_of_all_hours_fits_every_plan() -> None:
    plan = Plan.model_validate(shipped()[0])
    assert plan.window == Window(
        days=["mon", "tue", "wed", "thu", "fri", "sat", "sun"],
        start="00:00",
        end="24:00",
        timezone="Europe/Oslo",
    )
