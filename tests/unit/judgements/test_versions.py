"""Versions of servers and programs: what was tried, and a word about the rest."""

import pytest

from devstack import versions as pinned
from slipway.judgements.versions import TRIED, judge_version
from slipway.judgements.worker import judge_programs, no_browser, not_rendered, programs
from slipway.plan import Migrations


def test_what_is_said_to_have_been_tried_is_what_the_tests_run_on() -> None:
    for server, version in (
        ("Kubernetes", pinned.KUBERNETES),
        ("Temporal", pinned.TEMPORAL),
        ("PostgreSQL", pinned.POSTGRES),
    ):
        assert judge_version(server, version) == []
    assert set(TRIED) == {"Kubernetes", "Temporal", "PostgreSQL"}


@pytest.mark.parametrize(
    ("found", "said"),
    [
        ("v1.35.9", "older"),
        ("v1.37.0-rc.1", "newer"),
        ("2.0", "newer"),
        ("", "did not say"),
    ],
)
def test_another_version_is_noted_and_stops_nothing(found: str, said: str) -> None:
    (finding,) = judge_version("Kubernetes", found)
    assert finding.severity == "note"
    assert said in finding.remedy


def test_builds_of_the_tried_version_are_the_tried_version() -> None:
    assert judge_version("Kubernetes", "v1.36.9-gke.1200") == []


@pytest.mark.parametrize(
    ("migrations", "wanted"),
    [
        (Migrations(), ["pnpm", "node"]),
        (Migrations(command=["python", "migrate.py"], generate=[]), ["python"]),
        (Migrations(command=["python", "migrate.py"]), ["python", "pnpm", "node"]),
    ],
)
def test_programs_that_the_plans_commands_need(migrations: Migrations, wanted: list[str]) -> None:
    assert programs(migrations) == wanted


def test_a_program_that_cannot_be_run_blocks() -> None:
    (finding,) = judge_programs({"pnpm": "", "node": "v20.20.2"})
    assert (finding.severity, finding.group) == ("block", "worker")
    assert finding.remedy == "Run: npm install --global pnpm@10"


def test_a_browser_that_does_not_run_blocks() -> None:
    finding = no_browser("There is no browser.", ["corp-cockpit"])
    assert finding.severity == "block"
    assert "corp-cockpit" in finding.what
    assert "There is no browser." in finding.what
    assert "SLIPWAY_BROWSER" in finding.remedy


def test_a_page_that_does_not_show_it_yet_is_told_only() -> None:
    finding = not_rendered("corp-cockpit", "it stays empty.")
    assert (finding.severity, finding.group) == ("note", "worker")
    assert finding.what.endswith("for what runs now: it stays empty.")
