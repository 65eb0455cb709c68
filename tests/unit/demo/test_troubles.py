"""What goes wrong around a release does what it says, and nothing else."""

import dataclasses
import subprocess
from datetime import UTC, datetime
from pathlib import Path

import pytest

from devstack.demo import troubles
from devstack.demo.run import PLAN
from devstack.demo.troubles import CUT, NONE, TROUBLES, Trouble, overlaid
from devstack.demo.wishes import interrupted, wished
from devstack.stack import Stack
from devstack.world import expectations
from slipway.plan import Window
from slipway.window import until_open
from starter.loading import load_plan
from starter.overlay import lay_over

_NOW = datetime(2026, 11, 25, 12, 0, tzinfo=UTC)


def test_each_trouble_is_listed_and_can_be_wished() -> None:
    listed = {one.fault for one in expectations.everything()}
    assert set(TROUBLES) <= listed
    for name, trouble in TROUBLES.items():
        wish, _ = wished(name)
        assert wish.trouble == trouble != NONE
        assert not wish.faults


@pytest.mark.parametrize("name", TROUBLES)
def test_an_overlay_may_say_it(name: str) -> None:
    changes = overlaid(TROUBLES[name], _NOW)
    assert lay_over({}, changes, "overlay.yaml").items() >= changes.items()


def test_a_shorter_deadline_is_all_that_differs_from_the_plan(tmp_path: Path) -> None:
    changed = load_plan(troubles.plan_for(TROUBLES["approval:expires"], PLAN, tmp_path))
    plan = load_plan(PLAN)
    timings = plan.timings.model_copy(update={"approval_deadline": 1800.0})
    assert changed == plan.model_copy(update={"timings": timings})
    assert troubles.plan_for(NONE, PLAN, tmp_path) == PLAN


def test_an_ordinary_day_changes_nothing() -> None:
    assert overlaid(NONE, _NOW) == {}


def test_the_window_is_shut_now_and_opens_in_two_days() -> None:
    window = Window.model_validate(overlaid(TROUBLES["window:closed"], _NOW)["window"])
    assert until_open(window, _NOW) == 36 * 3600


def test_an_interrupted_release_is_good_and_may_be_taken_back() -> None:
    wish, allowed = interrupted(7)
    assert not wish.faults
    assert len(wish.interruptions) == 10
    assert {(end.outcome, end.exit_code) for end in allowed} == {
        ("deployed", 0),
        ("rolled_back", 3),
    }


def _stack(folder: Path) -> Stack:
    """A stack of which only the folders matter."""
    empty = {field.name: "" for field in dataclasses.fields(Stack)}
    return Stack(**{**empty, "pg_port": 1, "run_dir": str(folder), "pg_bin": str(folder / "bin")})  # type: ignore[arg-type]  # one of the fields is a number


def test_a_damaged_dump_loses_its_end_and_nothing_else(tmp_path: Path) -> None:
    real = tmp_path / "bin" / "pg_dump"
    real.parent.mkdir()
    real.write_text('#!/bin/sh\nhead -c 100000 /dev/zero\nprintf "%s" "$*" | tail -c 9\nexit 3\n')
    real.chmod(0o755)
    folder = troubles.programs(Trouble(damaged_dump=True), _stack(tmp_path))
    assert folder is not None

    def run(*arguments: str) -> tuple[int, int]:
        done = subprocess.run(
            [str(folder / "pg_dump"), *arguments], capture_output=True, check=False
        )
        return len(done.stdout), done.returncode

    assert run("--schema-only") == (100_009, 3)
    assert run("--format=custom", "--quiet") == (100_009 - CUT, 3)


def test_otherwise_the_programs_are_the_real_ones(tmp_path: Path) -> None:
    assert troubles.programs(NONE, _stack(tmp_path)) is None
