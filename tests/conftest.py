"""What all tests share: how properties are tried, in which order tests run, and the local stack,
started once per session and only when asked for."""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from temporalio.worker import _workflow as sdk

from devstack import testing
from devstack.stack import Stack
from tests import second_look

HERE = Path(__file__).parent
# Hypothesis fails an example that takes longer than 200 ms, and one that is made slowly. Both tell
# of the machine: a process that waits for its turn is no wrong answer. CI judges a commit and gives
# the same commit the same examples; everywhere else they are new ones each time.
settings.register_profile(
    "slipway",
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow],
    derandomize="CI" in os.environ,
)
settings.load_profile("slipway")
_plain_init = sdk._WorkflowWorker.__init__


def _patient_init(self: Any, **options: Any) -> None:
    """The SDK takes workflow code for deadlocked that does not yield within two seconds: a test
    process that waits for its turn may take longer."""
    _plain_init(self, **options)
    self._deadlock_timeout_seconds = 120


pytest.MonkeyPatch().setattr(sdk._WorkflowWorker, "__init__", _patient_init)
TURNS = {"faults": 0, "unit": 1, "replay": 2, "workflow": 3, "integration": 4, "e2e": 5}
"""The longest file first; what judges live traffic last, when least else is running."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put the tests in the order of TURNS, by folder; folders of no turn come first."""
    items.sort(key=lambda item: TURNS.get(item.path.relative_to(HERE).parts[0], 0))


@pytest.fixture(scope="session")
def stack() -> Iterator[Stack]:
    """The local stack; it is stopped at the end if a test session has started it."""
    with testing.shared_stack() as running:
        yield running


def pytest_sessionfinish(session: pytest.Session, exitstatus: int) -> None:
    """Let go of the stack; the last test process stops it. Keep how the run ended."""
    testing.release()
    cache = getattr(session.config, "cache", None)  # none with -p no:cacheprovider
    if cache is not None and not hasattr(session.config, "workerinput"):  # not one of xdist's
        cache.set(second_look.STATUS, int(exitstatus))
