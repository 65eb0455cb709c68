"""All eleven services of the TEEI plan: a release whose seventh service is bad."""

from pathlib import Path

import pytest

from devstack.demo.run import Wish, carry_out
from devstack.stack import Stack
from tests.e2e.conftest import Make
from tests.e2e.small import full_plan, told

pytestmark = [pytest.mark.stack, pytest.mark.e2e]
TIME_SCALE = 15.0
"""The demo's: the backup's hour is four minutes."""


def test_a_bad_service_takes_all_of_it_back(
    stack: Stack, make: Make, queue: str, tmp_path: Path
) -> None:
    made = make(TIME_SCALE)
    wish = Wish(plan=full_plan(tmp_path), faults={"journey": "errors3"}, pending="two")
    with (tmp_path / "slipway.log").open("wb") as log:
        ending = carry_out(stack, made, wish, queue, to=log.fileno(), decide="retry")

    assert (ending.outcome, ending.reason, ending.code) == (
        "rolled_back",
        "ErrorRateTooHigh",
        3,
    ), told(ending, tmp_path)
    assert ending.wrong == [], told(ending, tmp_path)
    touched = [one["name"] for one in ending.status["services"] if one["state"] == "reverted"]
    assert "journey" in touched
    assert "corp-cockpit" not in touched
