"""Committed histories replay on today's workflow code: a change that breaks a running deployment
is seen here first. `python -m tests.replay.record` writes new ones."""

from pathlib import Path

import pytest
from temporalio.client import WorkflowHistory
from temporalio.contrib.pydantic import pydantic_data_converter
from temporalio.worker import Replayer

from workflows.registry import OBSERVING, WORKFLOWS

HISTORIES = {
    path.stem: path.read_text()
    for path in sorted((Path(__file__).parent / "histories").glob("*.json"))
}


def test_there_are_histories() -> None:
    assert len(HISTORIES) >= 8


@pytest.mark.parametrize("name", HISTORIES)
async def test_history_replays(name: str) -> None:
    replayer = Replayer(workflows=[*WORKFLOWS, *OBSERVING], data_converter=pydantic_data_converter)

    await replayer.replay_workflow(WorkflowHistory.from_json(name, HISTORIES[name]))


async def test_a_changed_order_is_noticed() -> None:
    """The check itself can fail: a history with another first activity does not replay."""
    other = HISTORIES["deployed"].replace('"lease.acquire"', '"backup.take"')
    assert other != HISTORIES["deployed"]
    replayer = Replayer(workflows=[*WORKFLOWS, *OBSERVING], data_converter=pydantic_data_converter)

    with pytest.raises(Exception, match="Nondeterminism"):
        await replayer.replay_workflow(WorkflowHistory.from_json("other", other))
