"""The warm fallback: followed while a migration is at stake, and dropped when it is not needed."""

import asyncio
from typing import TYPE_CHECKING

from temporalio import activity

from activities.heartbeat import current_progress
from slipway.errors import FallbackLost
from slipway.messages.fallback import EndFallback, FallbackEnded, Followed, FollowFallback
from slipway.states import FallbackState

if TYPE_CHECKING:
    from activities.adapters.postgres.adapter import Postgres

_LOOK = 1.0
"""Seconds between two looks while a rollback has the fallback."""
_OVER = (FallbackState.SWAPPED, FallbackState.LOST, FallbackState.ENDED)


class Fallbacks:
    """Side databases that follow production."""

    def __init__(self, postgres: "Postgres") -> None:
        """`postgres` is used by the privileged worker only."""
        self._postgres = postgres

    @activity.defn(name="fallback.follow")
    async def follow(self, request: FollowFallback) -> Followed:
        """Follow until the fallback was swapped in, ended or lost. Goes on where an earlier
        attempt stopped; while a rollback has taken it over, it waits. With `steady` in the
        request it returns once it follows well."""
        progress = current_progress()
        async with self._postgres.following(request.database, request.backup) as work:
            while True:
                state, because = await work.state()
                if state in _OVER:
                    return Followed(state=state, because=because)
                if state is FallbackState.TAKEN:
                    progress.say("a rollback has it")
                    await asyncio.sleep(_LOOK)
                    continue
                try:
                    if await work.follow(progress.say, request.steady):
                        return Followed(state=FallbackState.FOLLOWING)
                except FallbackLost as lost:
                    await work.lose(str(lost))

    @activity.defn(name="fallback.end")
    async def end(self, request: EndFallback) -> FallbackEnded:
        """Drop slot, publication and side database. What is gone already is no error, and what
        a rollback has swapped in stays."""
        return FallbackEnded(
            dropped=await self._postgres.end_fallback(request.database, request.backup)
        )
