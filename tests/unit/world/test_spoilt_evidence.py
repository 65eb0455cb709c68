"""Each spoilt piece of evidence fails its own gate and no other."""

from pathlib import Path

import pytest

from devstack.world.spoilt_evidence import SPOILT, spoil
from slipway.evidence.judge import GATES
from tests.unit.world.written_evidence import failed_gates

_FILES = {gate: gate for gate in GATES if gate != "change_request"} | {"stale": "performance"}


@pytest.mark.parametrize("kind", _FILES)
def test_a_spoilt_piece_fails_its_own_gate_alone(kind: str, tmp_path: Path) -> None:
    failed = failed_gates(tmp_path, kind)

    assert [one.gate for one in failed] == [_FILES[kind]]
    assert ("stale" in failed[0].because) == (kind == "stale")


def test_every_gate_can_be_spoilt() -> None:
    assert set(SPOILT) == {*GATES, "stale"}


def test_an_unknown_gate_is_refused_by_name(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="trivy"):
        spoil(tmp_path, "astrology")
