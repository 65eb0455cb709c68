"""One pair of workers for all end-to-end tests, one environment for each."""

from collections.abc import Callable, Iterator
from itertools import count

import pytest

from devstack.demo import workers
from devstack.stack import Stack
from devstack.world import environment as environments
from devstack.world.environment import Environment

QUEUE = "slipway-e2e"
Make = Callable[[float], Environment]
_NUMBERS = count()


@pytest.fixture(scope="session")
def queue(stack: Stack, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The task queue of this session's workers (each pytest process has its own pair)."""
    name = f"{QUEUE}-{tmp_path_factory.getbasetemp().name}"
    workers.start(stack, name)
    yield name
    workers.stop(stack, name)


@pytest.fixture
def make(stack: Stack, worker_id: str) -> Iterator[Make]:
    """Make an environment that no other test has had, and remove it afterwards."""
    made: list[str] = []

    def create(time_scale: float) -> Environment:
        name = f"e{worker_id.removeprefix('gw')}n{next(_NUMBERS)}"
        made.append(name)
        return environments.create(stack, name, time_scale=time_scale)

    yield create
    for name in made:
        environments.destroy(stack, name)
