"""Whether another server can hold the copies, and what a rollback then takes longer."""

from dataclasses import replace

import pytest

from slipway.judgements.database_rights import Login
from slipway.judgements.restore_server import Lacking, judge_price, judge_restore_server
from tests.unit.judgements.test_database_ready import PRODUCTION

THERE = replace(PRODUCTION, login=Login.RESTORE, database="postgres", server="2026-11-24")


def test_a_server_like_productions_is_good() -> None:
    assert judge_restore_server(PRODUCTION, THERE, Lacking()) == []


@pytest.mark.parametrize(
    ("there", "lacking", "words"),
    [
        ({"server": PRODUCTION.server}, Lacking(), "production's own server"),
        ({"role": "somebody"}, Lacking(), "logs in as somebody, database.url as slipway_admin"),
        ({"server_major": 17, "server_version": "17.2"}, Lacking(), "is PostgreSQL 17.2"),
        ({}, Lacking(roles=("a", "b")), "lacks roles that own or may use something: a, b"),
        ({}, Lacking(extensions=("vector",)), "cannot install the extensions vector"),
        ({}, Lacking(locale="de_DE.UTF-8"), "does not know production's locale de_DE.UTF-8"),
    ],
)
def test_what_it_lacks_is_said(there: dict[str, object], lacking: Lacking, words: str) -> None:
    standing = replace(THERE, **there)  # type: ignore[arg-type] # of the table
    (finding,) = judge_restore_server(PRODUCTION, standing, lacking)
    assert (finding.severity, finding.group) == ("block", "database")
    assert words in finding.what


def test_of_many_roles_some_are_named() -> None:
    roles = tuple(f"r{number}" for number in range(7))
    (finding,) = judge_restore_server(PRODUCTION, THERE, Lacking(roles=roles))
    assert "r4 and 2 more" in finding.what
    assert finding.remedy.count("CREATE ROLE") == 5


def test_the_price_is_the_pace_of_the_newest_backup() -> None:
    one = judge_price(1000 << 20, (50.0, 500 << 20), "p/prod-backup")
    assert one.severity == "note"
    assert "about 1m40s for 1000 MiB, as long as p/prod-backup took" in one.what
    assert "stays open" in one.what


def test_before_there_is_a_backup_the_price_is_not_known() -> None:
    assert "the first backup shows" in judge_price(1000 << 20, None).what
