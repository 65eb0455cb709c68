"""Queries over which a worker stood still are asked again; what fails otherwise is told."""

from typing import Any, cast

import pytest
from temporalio.client import WorkflowQueryFailedError
from temporalio.worker import _workflow

from starter import patience
from starter.query import query


class _Stuck:
    """What the SDK asks of code that does not yield."""

    def get_thread_id(self) -> None:
        """Return no thread: then no stack is told."""


_SAID = _workflow._DeadlockError.from_deadlocked_workflow(cast("Any", _Stuck()), 2)
STOOD_STILL = WorkflowQueryFailedError(str(_SAID))


class Handle:
    """A workflow whose queries end as planned, one after the other; then the last for ever."""

    def __init__(self, *planned: Any) -> None:
        self.planned = list(planned)
        self.asked: list[tuple[str, tuple[Any, ...]]] = []

    async def query(self, name: str, *, args: tuple[Any, ...], result_type: Any) -> Any:
        """Answer or fail."""
        self.asked.append((name, args))
        answer = self.planned.pop(0) if len(self.planned) > 1 else self.planned[0]
        if isinstance(answer, Exception):
            raise answer
        return answer


async def ask(handle: Any) -> Any:
    """Ask the handle as commands do."""
    return await query(handle, "news", 7)


async def test_a_worker_that_stood_still_is_asked_again() -> None:
    handle = Handle(STOOD_STILL, STOOD_STILL, {"phase": "go"})
    assert await ask(handle) == {"phase": "go"}
    assert handle.asked == [("news", (7,))] * 3


async def test_code_that_fails_is_told_at_once() -> None:
    handle = Handle(WorkflowQueryFailedError("KeyError: a bug"), {"phase": "go"})
    with pytest.raises(WorkflowQueryFailedError, match="a bug"):
        await ask(handle)
    assert len(handle.asked) == 1


async def test_code_that_never_yields_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(patience, "ANSWER", 0.5)
    with pytest.raises(WorkflowQueryFailedError, match="TMPRL1101"):
        await ask(Handle(STOOD_STILL))
