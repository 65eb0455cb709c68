"""Two services on real servers, one of them bad: taken back, whatever is wrong with it."""

from pathlib import Path

import pytest

from devstack.stack import Stack
from tests.e2e.conftest import Make
from tests.e2e.small import TIME_SCALE, deploy, told

pytestmark = [pytest.mark.stack, pytest.mark.e2e]


@pytest.mark.parametrize(
    ("service", "fault", "reasons"),
    [
        ("analytics", "errors3", {"ErrorRateTooHigh"}),
        ("api-gateway", "unhealthy", {"Unhealthy"}),
        ("analytics", "critical", {"CriticalFunctionBroken"}),
        ("analytics", "crashloop", {"RolloutDoomed", "RolloutTooSlow", "PodRestarting"}),
    ],
)
def test_a_bad_release_is_taken_back(
    stack: Stack,
    make: Make,
    queue: str,
    tmp_path: Path,
    service: str,
    fault: str,
    reasons: set[str],
) -> None:
    made = make(TIME_SCALE)
    ending = deploy(stack, made, queue, tmp_path, faults={service: fault})

    assert (ending.outcome, ending.code) == ("rolled_back", 3), told(ending, tmp_path)
    assert ending.reason in reasons
    assert ending.wrong == [], told(ending, tmp_path)
