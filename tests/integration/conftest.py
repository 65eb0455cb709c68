"""Fixtures of the tests against real servers."""

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from devstack.stack import Stack
from tests.integration.cluster_world import ClusterWorld, make
from tests.integration.data_world import DataWorld, data_world
from tests.integration.patience import be_patient


@pytest.fixture(autouse=True)
def patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """A slow machine is no reason to fail."""
    be_patient(monkeypatch.setattr)


@pytest.fixture
def world(stack: Stack, tmp_path: Path) -> Iterator[DataWorld]:
    """A production database of the test's own."""
    with data_world(stack, tmp_path) as made:
        yield made


@pytest.fixture(scope="session")
async def place(stack: Stack, worker_id: str) -> AsyncIterator[ClusterWorld]:
    """Pods, services, metrics and databases of this test process's own."""
    async with make(stack, f"k{worker_id.removeprefix('gw')}"[:8]) as made:
        yield made
