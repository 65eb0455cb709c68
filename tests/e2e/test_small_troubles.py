"""Two services on real servers, and something wrong around the release."""

from pathlib import Path

import pytest

from devstack.demo.troubles import TROUBLES
from devstack.demo.wishes import wished
from devstack.stack import Stack
from tests.e2e.conftest import Make
from tests.e2e.small import TIME_SCALE, deploy, told

pytestmark = [pytest.mark.stack, pytest.mark.e2e]


@pytest.mark.parametrize("fault", ["approval:rejected", "window:closed", "notices:down"])
def test_it_ends_as_expected_and_the_world_agrees(
    stack: Stack, make: Make, queue: str, tmp_path: Path, fault: str
) -> None:
    made = make(TIME_SCALE)
    ending = deploy(stack, made, queue, tmp_path, trouble=TROUBLES[fault])

    assert ending.wrong == [], told(ending, tmp_path)
    _, allowed = wished(fault)
    assert (ending.outcome, ending.reason, ending.code) in [
        (end.outcome, reason, end.exit_code) for end in allowed for reason in end.reasons
    ], told(ending, tmp_path)
