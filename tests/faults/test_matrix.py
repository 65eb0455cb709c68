"""The worker dies, or freezes and wakes, at every boundary of every activity: nothing is done
twice, nothing is left half done, and the reported outcome is the world's."""

from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

import pytest

from devstack.demo.cli import Cli
from devstack.stack import Stack
from devstack.world import environment as environments
from tests.e2e.small import TIME_SCALE, told
from tests.faults.kept import carry_kept
from tests.faults.matrix import Case, Struck, carry, cases, cost

pytestmark = [pytest.mark.stack, pytest.mark.e2e]
CASES = cases()
AT_ONCE = 3
"""Runs side by side: a struck run mostly waits until the server has missed a heartbeat."""
ENDS = {"rolled_back": ("rolled_back", 3), "corrupted": ("rolled_back", 3), "kept": ("rejected", 5)}
Found = list[str]


@pytest.fixture(scope="module")
def runs(
    stack: Stack, tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest
) -> Iterator[dict[str, "Future[Found]"]]:
    """Every run of the matrix that was asked for, side by side."""
    folder = tmp_path_factory.mktemp("matrix")
    asked = {item.name.partition("[")[2].rstrip("]") for item in request.session.items}
    chosen = sorted((one for one in CASES if one.name in asked), key=cost, reverse=True)
    with ThreadPoolExecutor(AT_ONCE) as pool:
        started = {one.name: pool.submit(_run, stack, one, folder / one.name) for one in chosen}
        yield started
        for one in started.values():
            one.cancel()


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_a_struck_worker_leaves_no_trace(case: Case, runs: dict[str, "Future[Found]"]) -> None:
    found = runs[case.name].result()
    assert found == [], "\n".join(found)


def _run(stack: Stack, case: Case, folder: Path) -> Found:
    """Carry one case out and return what is wrong, a sentence each."""
    made = environments.create(stack, case.name, time_scale=TIME_SCALE)
    try:
        with Struck(stack, f"slipway-{case.name}", case, folder) as struck:
            found = _judged(stack, made, struck, folder)
            return [*found, *(f"nothing struck at {one}" for one in struck.missed)]
    finally:
        environments.destroy(stack, case.name)


def _judged(stack: Stack, made: environments.Environment, struck: Struck, folder: Path) -> Found:
    ending = carry(stack, made, struck, folder)
    found = list(ending.wrong)
    expected = ENDS.get(struck.case.scenario, ("deployed", 0))
    if (ending.outcome, ending.code) != expected:
        found.append(f"it ended {ending.outcome}, {ending.code}: {told(ending, folder)}")
    report = Cli(stack, struck.queue).run("report", made.name, timeout=300)
    if report.code != 0:
        found.append(f"no report: {report.out}{report.err}")
    if struck.case.scenario == "kept":
        found += carry_kept(stack, made, struck.queue)
    return found
