"""How tests wait for what a workflow says of itself."""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable
from typing import TypeVar

from pydantic import BaseModel
from temporalio.client import WorkflowQueryFailedError
from temporalio.service import RPCError

PATIENCE = 300.0
"""Seconds of real time that a condition may take."""
_Said = TypeVar("_Said", bound=BaseModel)


async def until(ask: Callable[[], Awaitable[_Said]], condition: Callable[[_Said], bool]) -> _Said:
    """Ask (real time, no skipping) until the answer fulfils a condition."""
    deadline = asyncio.get_running_loop().time() + PATIENCE
    seen = "no answer"
    while asyncio.get_running_loop().time() < deadline:
        # A busy worker did not answer in time: again.
        with contextlib.suppress(RPCError, WorkflowQueryFailedError):
            said = await ask()
            if condition(said):
                return said
            seen = said.model_dump_json(indent=1)
        await asyncio.sleep(0.05)
    raise AssertionError(f"not reached: {seen}")
