"""The sweep runs every fault on every class of traffic once, with the earliest service."""

import json
from dataclasses import asdict
from pathlib import Path

import pytest

from devstack.__main__ import main
from devstack.demo import sweep
from devstack.demo.sweep import Result
from devstack.errors import StackError
from devstack.world import expectations
from devstack.world.catalog import BY_NAME, NAMES
from devstack.world.faults import FAULTS


def test_every_fault_meets_every_class_it_can_in_the_earliest_service() -> None:
    chosen = sweep.chosen()
    assert len(chosen) == len(set(chosen))
    for fault in set(FAULTS) - {"healthy"}:
        able = [name for name in NAMES if FAULTS[fault].applies_to(name)]
        first = {BY_NAME[name].traffic: name for name in reversed(able)}
        assert {f"{name}:{fault}" for name in first.values()} == {
            one for one in chosen if one.endswith(f":{fault}") and one.split(":")[0] in BY_NAME
        }


def test_everything_around_the_services_is_run() -> None:
    around = {
        one.fault for one in expectations.everything() if one.fault.partition(":")[0] not in BY_NAME
    }
    assert around <= set(sweep.chosen())


def test_patterns_choose() -> None:
    assert sweep.chosen(["gate:trivy"]) == ["gate:trivy"]
    several = sweep.chosen(["gate:*", "*:errors05"])
    assert {one.partition(":")[0] for one in several} >= {"gate", "api-gateway", "discord-bot"}
    assert sweep.chosen(["nothing:*"]) == []


def test_who_stops_a_shared_server_runs_alone() -> None:
    assert {one for one in sweep.chosen() if sweep.alone(one)} == {"metrics:down", "store:down"}


def test_a_pattern_that_fits_nothing_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["sweep", "--only", "gremlins"]) == 1
    assert "python -m devstack faults" in capsys.readouterr().err


def test_a_result_says_what_is_wrong() -> None:
    good = Result("buddy:errors3", "rolled_back", "ErrorRateTooHigh", [], 3, 61.0, [])
    bad = Result("buddy:late3", "deployed", "Ok", ["?"], 0, 200.0, ["it ended deployed"])
    assert sweep.line(good).endswith("agrees")
    assert sweep.line(bad).splitlines()[1:] == ["    - it ended deployed"]
    rows = sweep.table([good, bad]).splitlines()
    assert len(rows) == 4
    assert rows[-1].endswith("| no |")


def test_another_file_is_not_written_over(tmp_path: Path) -> None:
    file = tmp_path / "results.json"
    file.write_text(json.dumps({"other": 1}))
    with pytest.raises(StackError, match="name another file"):
        sweep.known(file)


def test_healthy_runs_are_counted_and_what_agreed_is_left_out(tmp_path: Path) -> None:
    assert sweep.healthy(2) == ["healthy:1", "healthy:2"]
    assert not any(map(sweep.alone, sweep.healthy(2)))
    done = [
        Result("healthy:1", "deployed", "Ok", [], 0, 200.0, []),
        Result("healthy:2", "deployed", "Ok", ["ErrorRateRaised"], 0, 220.0, ["was parked"]),
    ]
    file = tmp_path / "results.json"
    file.write_text(json.dumps([asdict(one) for one in done]))
    assert sweep.left(sweep.healthy(3), file) == ["healthy:2", "healthy:3"]
    assert sweep.left(sweep.healthy(1), None) == ["healthy:1"]
