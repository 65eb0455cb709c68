"""Temporal's database is lost after a release: the record in the bucket takes it back."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from devstack import build
from devstack.demo import outside, workers
from devstack.demo.cli import Cli
from devstack.layout import Layout
from devstack.process import Processes
from devstack.servers import temporal
from devstack.servers.server import bring_up
from devstack.stack import Stack
from tests.e2e.conftest import Make
from tests.e2e.small import PATIENCE, TIME_SCALE, deploy, small_wish, told

pytestmark = [pytest.mark.stack, pytest.mark.e2e]


@pytest.fixture
def fresh_temporal(stack: Stack, tmp_path: Path) -> Iterator[Stack]:
    """The same world with a Temporal server that has never heard of anything."""
    root = tmp_path / "temporal"
    processes = Processes(root)
    program = build.ensure()["temporal-server"]
    layout = Layout.open(root, running=False)
    try:
        bring_up(temporal.server(layout, program), processes, lambda _: None)
        yield replace(stack, temporal_address=layout.address("temporal"))
    finally:
        processes.stop(temporal.NAME)


def test_rollback_with_a_fresh_temporal_database(
    stack: Stack, fresh_temporal: Stack, make: Make, queue: str, tmp_path: Path
) -> None:
    made = make(TIME_SCALE)
    ending = deploy(stack, made, queue, tmp_path)
    assert (ending.outcome, ending.code) == ("deployed", 0), told(ending, tmp_path)
    identity = ending.status["id"]
    wish = small_wish(stack, made, tmp_path)
    cli = Cli(fresh_temporal, f"{queue}-fresh")
    workers.start(fresh_temporal, cli.queue)
    try:
        lost = cli.run("status", identity)
        assert lost.code == 2, lost.out + lost.err
        assert "--plan" in lost.out + lost.err

        where = ("--plan", str(wish.plan), "--overlay", str(wish.overlay))
        asked = ("--person", "on-call@teei.com", "--reason", "Temporal is gone", "--wait")
        back = cli.run("rollback", identity, *where, *asked, timeout=PATIENCE)
        assert back.code == 0, back.out + back.err
        status = cli.run("status", identity, "--json").json()
    finally:
        workers.stop(fresh_temporal, cli.queue)

    assert status["outcome"] == "rolled_back"
    assert outside.rolled_back(stack, made, ending.before, status) == []
