"""What all tests share: the local stack, started once per session and only when asked for."""

from collections.abc import Iterator

import pytest

from devstack import testing
from devstack.stack import Stack


@pytest.fixture(scope="session")
def stack() -> Iterator[Stack]:
    """The local stack; it is stopped at the end if a test session has started it."""
    with testing.shared_stack() as running:
        yield running


def pytest_sessionfinish() -> None:
    """Let go of the stack; the last test process stops it."""
    testing.release()
