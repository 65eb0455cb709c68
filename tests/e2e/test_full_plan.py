"""All eleven services of the TEEI plan: a release that is good."""

from pathlib import Path

import pytest

from devstack.demo.run import Wish, carry_out
from devstack.stack import Stack
from tests.e2e.conftest import Make
from tests.e2e.small import full_plan, told, wrongly_parked

pytestmark = [pytest.mark.stack, pytest.mark.e2e]
TIME_SCALE = 15.0
"""The demo's: the backup's hour is four minutes."""


def test_the_whole_playbook(stack: Stack, make: Make, queue: str, tmp_path: Path) -> None:
    made = make(TIME_SCALE)
    with (tmp_path / "slipway.log").open("wb") as log:
        ending = carry_out(
            stack, made, Wish(plan=full_plan(tmp_path)), queue, to=log.fileno(), decide="retry"
        )

    assert (ending.outcome, ending.code, ending.wrong) == ("deployed", 0, []), told(
        ending, tmp_path
    )
    assert wrongly_parked(ending) == [], told(ending, tmp_path)
    status = ending.status
    assert [one["state"] for one in status["services"]] == ["deployed"] * 11
    assert [one["item"] for one in status["checklist"] if one["state"] != "done"] == []
    assert set(status) >= STATUS_FIELDS


STATUS_FIELDS = {
    "id",
    "environment",
    "release",
    "phase",
    "outcome",
    "current",
    "waiting_for",
    "abort",
    "services",
    "backup",
    "migrations",
    "lost_writes",
    "checklist",
    "undo",
    "timeline",
}
"""What design and documentation promise of `status --json`."""
