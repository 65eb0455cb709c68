"""Fixtures of the tests against real servers."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from devstack.stack import Stack
from devstack.testing import shared_stack
from tests.integration.data_world import DataWorld, data_world


@pytest.fixture(scope="session")
def stack() -> Iterator[Stack]:
    """The servers that all tests share."""
    with shared_stack() as running:
        yield running


@pytest.fixture
def world(stack: Stack, tmp_path: Path) -> Iterator[DataWorld]:
    """A production database of the test's own."""
    with data_world(stack, tmp_path) as made:
        yield made
