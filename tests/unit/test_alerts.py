"""The alerting rules: each says what is wrong, and leads to a place that says what to do."""

import re
from typing import Any

import pytest
import yaml

from tests.unit.test_docs import ROOT, anchors

FOLDER = ROOT / "deploy" / "prometheus"
RULES: list[dict[str, Any]] = [
    rule
    for group in yaml.safe_load((FOLDER / "slipway.rules.yaml").read_text())["groups"]
    for rule in group["rules"]
]
NAMES = [rule["alert"] for rule in RULES]


def test_there_are_rules_and_each_name_is_used_once() -> None:
    assert len(set(NAMES)) == len(NAMES) >= 6


@pytest.mark.parametrize("rule", RULES, ids=NAMES)
def test_an_alert_says_what_is_wrong_and_where_to_read_on(rule: dict[str, Any]) -> None:
    assert rule["labels"]["severity"] in {"page", "warn"}
    assert set(rule["annotations"]) == {"summary", "description", "runbook"}
    page, _, anchor = rule["annotations"]["runbook"].partition("#")
    assert anchor in anchors(ROOT / page)


def test_every_alert_has_a_test_in_which_it_fires_and_one_in_which_it_does_not() -> None:
    cases = yaml.safe_load((FOLDER / "slipway.rules.test.yaml").read_text())["tests"]
    tested = [one for case in cases for one in case["alert_rule_test"]]
    fires = {one["alertname"] for one in tested if one["exp_alerts"]}
    silent = {one["alertname"] for one in tested if not one["exp_alerts"]}
    assert fires == set(NAMES)
    assert set(NAMES) - silent <= {"SlipwayWorkerDown", "SlipwayNoticesNotDelivered"}, (
        "for these two the same moment tells two series apart"
    )


def test_every_alert_is_in_the_handbook() -> None:
    page = (ROOT / "docs" / "howto" / "watch-slipway.md").read_text()
    assert re.findall(r"^### (Slipway\w+)$", page, re.M) == NAMES
