"""A run is held to its expectation: outcome, reason, exit code, deadline."""

from datetime import UTC, datetime
from typing import Any

import pytest

from devstack.demo.expected import ALLOWANCE, first_decision, unexpected
from devstack.demo.look import Contents, Seen
from devstack.demo.run import Ending
from devstack.world.expectations import End

_BEGAN = 1_795_000_000.0
_BACK = End("rolled_back", 3, ("Unhealthy",), 90.0)
_PARKED = End("running", 7, ("ErrorRateRaised",), 240.0)
_GOOD = End("deployed", 0, ("Ok",), 7200.0)


def _ending(outcome: str, code: int, reason: str, after: float, **more: Any) -> Ending:
    at = datetime.fromtimestamp(_BEGAN + after, UTC).isoformat()
    status = {
        "outcome": outcome,
        "time_scale": 15.0,
        "verdict": {"reason": reason},
        "timeline": [{"phase": "roll_back", "at": at}] if outcome == "rolled_back" else [],
    }
    seen = Seen({}, {}, Contents("", [], {}), 0, frozenset())
    return Ending(
        code, status, [], more.get("parked", []), [], [], seen, _BEGAN, _BEGAN, _BEGAN + after
    )


def _parked(reason: str, after: float) -> list[dict[str, Any]]:
    return [{"step": "monitor:buddy", "verdict": {"reason": reason}, "at": _BEGAN + after}]


def test_what_is_allowed_is_not_unexpected() -> None:
    assert unexpected(_ending("rolled_back", 3, "Unhealthy", 20), [_GOOD, _BACK]) == []


@pytest.mark.parametrize(
    ("outcome", "code", "reason"),
    [("deployed", 0, "Ok"), ("rolled_back", 4, "Unhealthy"), ("rolled_back", 3, "OutOfMemory")],
)
def test_another_outcome_code_or_reason_is(outcome: str, code: int, reason: str) -> None:
    said = unexpected(_ending(outcome, code, reason, 20), [_BACK])
    assert len(said) == 1
    assert "expected rolled_back, Unhealthy, 3" in said[0]


def test_a_decision_after_the_deadline_is() -> None:
    limit = 90.0 / 15 + ALLOWANCE
    assert unexpected(_ending("rolled_back", 3, "Unhealthy", limit), [_BACK]) == []
    (said,) = unexpected(_ending("rolled_back", 3, "Unhealthy", limit + 5), [_BACK])
    assert "66 s are allowed" in said


def test_the_latest_of_several_fitting_deadlines_counts() -> None:
    slow = End("rolled_back", 3, ("Unhealthy",), 900.0)
    assert unexpected(_ending("rolled_back", 3, "Unhealthy", 100), [_BACK, slow]) == []


def test_a_step_that_parked_as_expected_counts_with_its_own_time() -> None:
    parked = _parked("ErrorRateRaised", 30)
    ending = _ending("rolled_back", 3, "ErrorRateRaised", 500, parked=parked)
    assert unexpected(ending, [_PARKED]) == []
    late = _ending("rolled_back", 3, "x", 500, parked=_parked("ErrorRateRaised", 100))
    assert len(unexpected(late, [_PARKED])) == 1
    other = _ending("rolled_back", 3, "x", 50, parked=_parked("NothingToRead", 30))
    assert "parked: monitor:buddy (NothingToRead)" in unexpected(other, [_PARKED])[0]


def test_the_exit_code_belongs_to_the_outcome_after_parking_too() -> None:
    parked = _parked("ErrorRateRaised", 30)
    ending = _ending("rolled_back", 0, "ErrorRateRaised", 50, parked=parked)
    assert unexpected(ending, [_PARKED]) == ["outcome rolled_back came with exit code 0"]


def test_the_first_decision_is_what_comes_first() -> None:
    assert first_decision(_ending("rolled_back", 3, "Unhealthy", 20)) == _BEGAN + 20
    assert first_decision(_ending("deployed", 0, "Ok", 70)) == _BEGAN + 70
    parked = _ending("rolled_back", 3, "Unhealthy", 50, parked=_parked("ErrorRateRaised", 30))
    assert first_decision(parked) == _BEGAN + 30
