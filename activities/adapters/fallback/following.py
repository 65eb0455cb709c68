"""One fallback at work: whose it is, how it stands, and following itself."""

import asyncio
import threading
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial

import psycopg

from activities.adapters.fallback import control
from activities.adapters.fallback.arrival import arrival
from activities.adapters.fallback.check import record
from activities.adapters.fallback.follower import Follower
from activities.adapters.fallback.once import Once
from activities.adapters.postgres import side
from activities.adapters.postgres.sessions import Connection, Sessions, row
from activities.adapters.postgres.source import Source
from activities.adapters.postgres.url import Target
from activities.uninterrupted import uninterrupted
from slipway.errors import FallbackLost, Unreachable
from slipway.judgements.comparison import compared
from slipway.messages.record import BackupTaken, Fallback
from slipway.plan import Database
from slipway.states import FallbackState

_NEAR = 1024 * 1024
"""Bytes of production's log that a copy may be behind when it is compared."""
_ARRIVES = 60.0
"""Seconds that a commit may take to arrive while the copy is compared."""
_LOOK = 1.0
"""Seconds between two looks at who has the fallback, and at its slot."""
_OURS = (FallbackState.READY, FallbackState.FOLLOWING)
_AT_WORK = (FallbackState.FOLLOWING, FallbackState.TAKEN)


class Following:
    """A fallback and the session by which it is watched. Made by `following`."""

    def __init__(
        self, sessions: Sessions, admin: Connection, source: Source, owner: str, backup: BackupTaken
    ) -> None:
        """`admin`: a session in the control database; `source`: production."""
        self._sessions = sessions
        self._admin = admin
        self._source = source
        self._owner = owner
        self._side = backup.side_database
        self._fallback = wanted(backup)

    async def state(self) -> tuple[FallbackState, str]:
        """Return where the fallback stands, and why."""
        return await control.state_of(self._admin, self._fallback.slot)

    async def follow(self, say: Callable[[str], None], steady: float = 0.0) -> bool:
        """Follow until it is over, or, where `steady` is given, for so many seconds of nothing
        wrong; return whether it ended so. Raises FallbackLost, and Unreachable when a connection
        breaks: then it goes on from where the side database stands.

        A rollback that takes the fallback meanwhile lets this run on and looks at the position;
        only when following breaks off then, it is the rollback's to go on.
        """
        if not await control.move(self._admin, self._fallback.slot, _OURS, FallbackState.FOLLOWING):
            return False
        await self.check_slot()  # first: the server of the copy may be away for long
        copy = await self._copy()
        async with self._sessions.session(copy.beside, "fallback") as there:
            await side.open_for_owner(there, copy.name, self._owner)
        follower = self._follower(copy)
        stop, comparison = threading.Event(), Once(partial(self._compare, copy))
        work, began = asyncio.create_task(asyncio.to_thread(follower.run, stop)), time.monotonic()
        try:
            while not work.done() and (state := (await self.state())[0]) in _AT_WORK:
                now = follower.progress
                say(f"{now.words}{comparison.words}")
                await self.check_slot()
                if state is FallbackState.TAKEN:  # the rollback looks itself, and needs the server
                    await comparison.stop()
                elif steady and time.monotonic() - began > steady:
                    return True
                elif now.epoch and now.received and now.lag < _NEAR:
                    comparison.begin(now.epoch)
                await asyncio.wait({work}, timeout=_LOOK)
            if work.done() and (await self.state())[0] is FallbackState.FOLLOWING:
                ended(work)  # else the rollback that has taken it goes on, or has ended it
            return False
        finally:
            await uninterrupted(comparison.stop())
            stop.set()
            await uninterrupted(settled(work))

    async def _copy(self) -> "Copy":
        """The database that follows: on the server of the copies, or fetched from there."""
        name = await control.side_of(self._admin, self._fallback.slot)
        source = self._source
        return Copy(name, source.copies if name == self._side else source.admin)

    async def _compare(self, copy: "Copy") -> str:
        """Compare the copy with production, after a migration; say what was found."""
        async with (
            self._sessions.session(self._source.target, "compare") as one,
            self._sessions.session(copy.beside.on(copy.name), "compare") as other,
        ):

            async def arrive() -> None:
                if await arrival(one, other, _ARRIVES) is None:
                    raise Unreachable("The copy is too far behind.", "It is tried again.")

            found = await record(one, other, arrive)
        return compared(list(found.tables.values()))

    def _follower(self, copy: "Copy") -> Follower:
        return Follower(
            self._source.target,
            copy.beside.on(copy.name),
            slot=self._fallback.slot,
            publication=self._fallback.publication,
        )

    async def check_slot(self) -> None:
        """Raise FallbackLost when the server has given up the slot's WAL."""
        found = await row(
            self._admin,
            "SELECT wal_status FROM pg_replication_slots WHERE slot_name = %s",
            self._fallback.slot,
        )
        if found is None or found[0] == "lost":
            what = "is gone" if found is None else "was given up by the server (WAL removed)"
            raise FallbackLost(
                f"Slot {self._fallback.slot} {what}.",
                "Raise max_slot_wal_keep_size or idle_replication_slot_timeout for the next time.",
            )

    async def lose(self, because: str) -> None:
        """Note that the fallback is lost."""
        await control.move(self._admin, self._fallback.slot, _OURS, FallbackState.LOST, because)


@dataclass(frozen=True)
class Copy:
    """The database that follows production."""

    name: str
    beside: Target
    """The control database of its server."""


@asynccontextmanager
async def following(
    sessions: Sessions, source: Source, database: Database, backup: BackupTaken
) -> AsyncIterator[Following]:
    """Watch one fallback through a session in the control database."""
    async with sessions.session(source.admin, "fallback") as connection:
        yield Following(sessions, connection, source, database.owner, backup)


def wanted(backup: BackupTaken) -> Fallback:
    """Return a backup's fallback. Raises FallbackLost when it has none."""
    if backup.fallback is None:
        raise FallbackLost(f"{backup.key} has no fallback.", backup.no_fallback)
    return backup.fallback


async def settled(work: "asyncio.Task[None]") -> None:
    """Wait until a follower's thread has ended, however it ends."""
    await asyncio.gather(work, return_exceptions=True)


def ended(work: "asyncio.Task[None]") -> None:
    """Raise what ended a follower: FallbackLost as it is, a broken connection as Unreachable."""
    try:
        work.result()
    except psycopg.Error as error:
        words = " ".join(str(error).split())[:300]
        raise Unreachable(f"Following was cut off: {words}.", "It is tried again.") from error
