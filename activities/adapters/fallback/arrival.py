"""Waiting until a side database has what production has committed."""

import asyncio
import time
from collections.abc import Awaitable, Callable

from activities.adapters.fallback.store import is_beyond, mark
from activities.adapters.postgres.sessions import Connection

_POLL, _SELDOM, _SHARE = 0.005, 0.25, 0.05
"""Seconds between two looks: few while production is closed, and longer, to a twentieth of what was
waited, while the follower needs the machine itself."""
_LOOK_AFTER = 0.2
"""Seconds between two looks at who follows."""


async def arrival(
    production: Connection,
    side: Connection,
    within: float,
    look: Callable[[], Awaitable[None]] | None = None,
) -> float | None:
    """Return how many seconds a commit took to arrive; None: more than `within`. `look` is awaited
    now and then meanwhile."""
    began, looked = time.monotonic(), 0.0
    marker = await mark(production)
    while not await is_beyond(side, marker):
        now = time.monotonic()
        if now - began > within:
            return None
        if look is not None and now - looked > _LOOK_AFTER:
            looked = now
            await look()
        await asyncio.sleep(max(_POLL, min(_SELDOM, (now - began) * _SHARE)))
    return time.monotonic() - began
