"""Says how far a dump or a restore has come, by what the server shows of it."""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

from activities.adapters.postgres.sessions import Connection, Sessions, rows
from activities.adapters.postgres.url import Target
from slipway.errors import SlipwayError
from slipway.judgements.pace import how_far

Say = Callable[[str], None]

_EVERY = 2.0
"""Seconds between two looks."""
_COPIES = """
SELECT p.relid::regclass::text, p.bytes_processed
FROM pg_stat_progress_copy p JOIN pg_stat_activity a USING (pid)
WHERE p.datname = current_database() AND a.application_name = 'slipway tool'
ORDER BY 1"""
_SIZE = "SELECT pg_database_size(current_database())"


def silent(text: str) -> None:
    """Tell nobody."""


@asynccontextmanager
async def telling(
    sessions: Sessions,
    target: Target,
    say: Say,
    what: str,
    total: int,
    done: Callable[[], int] | None = None,
) -> AsyncIterator[None]:
    """Say every few seconds how far the block has come: `done` bytes, or the database's size, of
    `total`. Only telling fails when the server cannot be asked: the work goes on."""
    say(what)
    task = asyncio.create_task(_watch(sessions, target, say, what, total, done))
    try:
        yield
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def _watch(
    sessions: Sessions,
    target: Target,
    say: Say,
    what: str,
    total: int,
    done: Callable[[], int] | None,
) -> None:
    began = time.monotonic()

    async def tell(size: int, now: str) -> None:
        say(f"{what}: {how_far(size, total, time.monotonic() - began, now)}")

    while True:
        await asyncio.sleep(_EVERY)
        try:
            async with sessions.session(target, "progress", read_only=True) as session:
                await _look(session, tell, done)
        except SlipwayError:
            continue


async def _look(
    session: Connection,
    tell: Callable[[int, str], Awaitable[None]],
    done: Callable[[], int] | None,
) -> None:
    while True:
        copied = [str(table) for table, _ in await rows(session, _COPIES)]
        size = done() if done else int((await rows(session, _SIZE))[0][0])
        await tell(size, f"now {', '.join(copied)}" if copied else "")
        await asyncio.sleep(_EVERY)
