"""An activity that is cut off where it stands, as a cancelled or killed attempt is."""

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

import pytest


async def cut_off(
    attempt: Coroutine[Any, Any, object],
    reached: asyncio.Event,
    meanwhile: Callable[[], None] = lambda: None,
) -> None:
    """Let an attempt come to where it sets `reached` and hangs, look `meanwhile`, cancel it."""
    task = asyncio.create_task(attempt)
    waiting = asyncio.create_task(reached.wait())
    await asyncio.wait({task, waiting}, timeout=120, return_when=asyncio.FIRST_COMPLETED)
    waiting.cancel()
    assert reached.is_set(), task
    meanwhile()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
