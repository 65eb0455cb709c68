"""The end of following: a rollback lets whoever follows catch up, and drains the copy while
production is closed. Only where nobody follows, or one that is frozen, it follows itself."""

import asyncio
import secrets
import threading
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress

from activities.adapters.fallback import control
from activities.adapters.fallback.arrival import arrival
from activities.adapters.fallback.check import Check
from activities.adapters.fallback.follower import Follower
from activities.adapters.fallback.following import ended, settled, wanted
from activities.adapters.fallback.home import at_home
from activities.adapters.fallback.signs import Signs
from activities.adapters.fallback.store import position
from activities.adapters.postgres import side
from activities.adapters.postgres.progress import Say
from activities.adapters.postgres.sessions import Connection, Sessions, row
from activities.adapters.postgres.source import Source
from activities.adapters.postgres.swap import Last
from activities.adapters.postgres.url import Target
from activities.uninterrupted import uninterrupted
from slipway.errors import FallbackLost, Unreachable
from slipway.messages.record import BackupTaken
from slipway.states import FallbackState

_TAKEABLE = (FallbackState.READY, FallbackState.FOLLOWING, FallbackState.TAKEN)
_CLOSE_ENOUGH = 0.5
"""Seconds from a commit on production to its arrival that are good enough to close production."""
_CLOSED = 5.0
"""Seconds that production may stay closed for the last changes to arrive."""
_GRACE = 2.0
"""Seconds that another, who has cut this off, may take to begin."""
_TRIES = 5
"""Beginnings of following by the rollback itself."""

_BEHIND = "SELECT pg_wal_lsn_diff(pg_current_wal_lsn(), %s::pg_lsn)::bigint"


class Own:
    """A follower of the rollback's own."""

    def __init__(self, follower: Follower) -> None:
        self._stop = threading.Event()
        self._work = asyncio.create_task(asyncio.to_thread(follower.run, self._stop))

    @property
    def over(self) -> bool:
        """Whether it has ended by itself: cut off, or lost."""
        return self._work.done()

    def explain(self) -> None:
        """Raise what ended it."""
        ended(self._work)

    async def close(self) -> None:
        """Stop following and wait until it has stopped."""
        self._stop.set()
        await uninterrupted(settled(self._work))


class Tail(Last):
    """The rest of a copy's way to production's last commit. Made by `taking_over`."""

    def __init__(
        self,
        sessions: Sessions,
        admin: Connection,
        source: Target,
        backup: BackupTaken,
        check: Check,
        name: str,
    ) -> None:
        """`admin`: a session in the control database. `check`: how the copy is compared. `name`:
        the copy's, on production's server."""
        fallback = wanted(backup)
        self.check = check
        self._sessions = sessions
        self._admin = admin
        self._source = source
        self._copy = source.on(name)
        self._slot, self._publication = fallback.slot, fallback.publication
        self._signs = Signs(fallback.slot, source.user)
        self._own: Own | None = None
        self._begun = 0
        self._alone = 0.0
        """Since when nobody follows after this was cut off; 0: somebody does."""

    @property
    def side(self) -> str:
        """The copy's name."""
        return self._copy.database

    async def close(self) -> None:
        """Follow no more, if this follows at all."""
        if self._own is not None:
            await self._own.close()

    async def spared(self, admin: Connection) -> list[int]:
        """Return the server processes of whoever follows."""
        return await self._signs.sessions(admin)

    async def catch_up(self, within: float, say: Callable[[str], None]) -> None:
        """Wait until what production commits arrives at once, then compare what was not compared.

        Raises FallbackLost when that is not reached within so many seconds, FallbackDiffers.
        """
        began = time.monotonic()
        async with (
            self._sessions.session(self._source, "catch up") as production,
            self._sessions.session(self._copy, "catch up") as copy,
        ):
            took = within
            while took > _CLOSE_ENOUGH:
                left = within - (time.monotonic() - began)
                took = await self._pulse(production, copy, left, say)

            async def arrive() -> None:
                await self._pulse(production, copy, within, say)

            await self.check.before(production, copy, arrive, say)

    async def _pulse(
        self,
        production: Connection,
        copy: Connection,
        within: float,
        say: Callable[[str], None],
    ) -> float:
        took = await self._arrival(production, copy, within, say)
        if took is None:
            behind = await _behind(production, copy)
            raise FallbackLost(
                f"The fallback is still {behind} bytes of WAL behind after {within:.0f} s.",
                "Raise rollback.fallback_catch_up in the plan, or let a person decide.",
            )
        return took

    async def _arrival(
        self,
        production: Connection,
        copy: Connection,
        within: float,
        say: Callable[[str], None] | None = None,
    ) -> float | None:
        async def look() -> None:
            await self._see_to_it(await position(copy))
            if say is not None:
                say(f"catching up: {await _behind(production, copy)} bytes of WAL behind")

        return await arrival(production, copy, within, look)

    async def _see_to_it(self, at: str) -> None:
        """Let whoever follows go on; where nobody does, follow.

        Raises FallbackLost, and Unreachable when following was cut off again and again.
        """
        own = self._own
        if own is not None and not own.over:
            return
        if await self._signs.alive(self._admin, at):
            self._alone = 0.0
            return  # also one that has cut this off
        if own is not None:
            with suppress(Unreachable):
                own.explain()
            self._alone = self._alone or time.monotonic()
            if time.monotonic() - self._alone < _GRACE:
                return  # whoever has cut this off is about to begin: two would go on doing so
            if self._begun >= _TRIES:
                own.explain()
                raise Unreachable("The follower ended before its time.", "It is tried again.")
        self._begun, self._alone = self._begun + 1, 0.0
        self._own = Own(
            Follower(self._source, self._copy, slot=self._slot, publication=self._publication)
        )

    async def act(self, production: Connection, copy: Connection) -> None:
        """Wait for what production committed before it was closed, look at the copy once more, and
        carry the sequences over.

        Nothing is committed there any more, so that a follower who goes on has nothing to write;
        its sessions end before the swap, and no other can be opened.

        Raises Unreachable when that lasts too long: production must be opened again rather than
        stay closed; FallbackDiffers.
        """
        if await self._arrival(production, copy, _CLOSED) is None:
            raise Unreachable(
                f"The last changes did not arrive within {_CLOSED:g} s; production was opened "
                "again, nothing was swapped.",
                "It is tried again.",
            )
        await self.close()
        await self.check.closed(production, copy)
        await super().act(production, copy)


async def _behind(production: Connection, copy: Connection) -> int:
    """Return how many bytes of production's log the side database lacks."""
    found = await row(production, _BEHIND, await position(copy))
    return max(0, int(found[0])) if found else 0


@asynccontextmanager
async def taking_over(
    sessions: Sessions,
    admin: Connection,
    source: Source,
    owner: str,
    backup: BackupTaken,
    check: Check,
    say: Say,
) -> AsyncIterator[Tail]:
    """Take a fallback to swap it in; whoever follows goes on while the block lasts. One that is on
    another server is fetched to production's first.

    `admin`: a session in the control database. Raises FallbackLost when it is lost or over. When
    the block fails the fallback is given back, unless it was found lost; not by an attempt from
    whom another has taken it.
    """
    fallback, name = wanted(backup), backup.side_database
    ours = f"a rollback has it: attempt {secrets.token_hex(4)}"
    taken = [FallbackState.TAKEN]
    if not await control.move(admin, fallback.slot, _TAKEABLE, FallbackState.TAKEN, ours):
        state, because = await control.state_of(admin, fallback.slot)
        raise FallbackLost(f"The fallback {name} is {state.value}: {because or 'no reason noted'}.")
    try:
        name = await at_home(sessions, admin, source, owner, backup, say)
        await side.open_for_owner(admin, name, owner)
        running = Tail(sessions, admin, source.target, backup, check, name)
        try:
            yield running
        finally:
            await running.close()
    except BaseException as error:
        lost = isinstance(error, FallbackLost)
        after = FallbackState.LOST if lost else FallbackState.FOLLOWING
        because = str(error) if lost else ""
        with suppress(Exception):  # the first error is the one to tell
            await uninterrupted(
                control.move(admin, fallback.slot, taken, after, because, held=ours)
            )
        raise
    await control.move(admin, fallback.slot, taken, FallbackState.SWAPPED, held=ours)
