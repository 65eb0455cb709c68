"""The follower: keeps a side database on the old schema as current as production.

It reads what production commits, through a logical replication slot, and writes it into the side
database, whole transactions of production in one of the side's, together with the position behind
them. Only then the server is told, so that after any crash the side's position is the truth.
"""

import threading
import time
from contextlib import ExitStack, closing, suppress
from dataclasses import dataclass, replace

from activities.adapters.fallback.intake import Again, Intake
from activities.adapters.fallback.production import Production
from activities.adapters.fallback.side import Side
from activities.adapters.fallback.state import State
from activities.adapters.fallback.stream import Stream, purpose_of
from activities.adapters.postgres.url import Target
from activities.adapters.processes import Stopped

_LINGER = 0.25
"""Seconds that changes may wait for others to be committed with."""
_LOOK_EVERY = 1.0
_REST_EVERY = 10.0
"""Seconds between two positions stored while nothing was written: production's log is freed by
them, and each of them writes a little log itself."""
_POLL = 0.02
"""Seconds until a follower notices that it is to stop. Production is closed meanwhile."""


@dataclass(frozen=True)
class Progress:
    """Where a follower is. A value of one moment."""

    position: int = 0
    """The WAL position behind which the side database lacks nothing; see `say_lsn`."""
    received: int = 0
    """How far production's log went when last asked."""
    lag: int = 0
    """Bytes of production's log between what was read and its end."""
    quiet: float = 0.0
    """Seconds since the last commit to the side database."""
    transactions: int = 0
    """Transactions of production applied since the backup."""
    changes: int = 0
    conflicts: int = 0
    epoch: int = 0

    @property
    def words(self) -> str:
        """The same for people."""
        return (
            f"following: {self.lag} bytes of WAL behind, {self.transactions} transactions applied,"
            f" {self.conflicts} conflicts"
        )


class Follower:
    """Follows production until it is stopped. `run` blocks; the rest may be called meanwhile."""

    def __init__(self, source: Target, side: Target, *, slot: str, publication: str) -> None:
        """`source`: production, by a role with REPLICATION. `side`: a database that `prepare` was
        called on. Both roles may be the same."""
        self._source = source
        self._side = side
        self._slot = slot
        self._publication = publication
        self._progress = Progress()
        self._committed = self._looked = self._rested = time.monotonic()

    @property
    def progress(self) -> Progress:
        """Where it is now. May be asked from any thread."""
        return replace(self._progress, quiet=time.monotonic() - self._committed)

    def run(self, stop: threading.Event) -> None:
        """Follow until `stop` is set. What is not committed then is read again by the next run.

        Raises psycopg.OperationalError when a connection was lost: run it again. Raises
        FallbackLost when it never can follow again.
        """
        with suppress(Stopped):
            while not stop.is_set():
                with ExitStack() as stack, suppress(Again):
                    self._follow(stop, stack)

    def _follow(self, stop: threading.Event, stack: ExitStack) -> None:
        """Follow on new connections."""

        def tick() -> None:  # the side database works on something long: keep the stream alive
            if stop.is_set():
                raise Stopped
            stream.tell(state.position)

        purpose = purpose_of(self._slot)
        side = stack.enter_context(closing(Side(self._side, purpose, tick)))
        state = State.load(self._side)  # after the session of a follower before us was ended
        production = stack.enter_context(closing(Production(self._source, purpose)))
        stream = stack.enter_context(closing(Stream(self._source, self._slot, self._publication)))
        production.check_publication(self._publication, list(state.epoch.tables))
        stream.start(state.position)
        intake = Intake(state, side, production, self._publication)
        self._show(state)
        while not stop.is_set():
            self._turn(stream, intake, production)

    def _turn(self, stream: Stream, intake: Intake, production: Production) -> None:
        """Read what is there and write it, or wait a moment."""
        state, before = intake.state, intake.state.position
        for data in stream.messages():
            intake.take(data)
            if intake.full or (intake.waiting and self._overdue()):
                self._write(intake)
        more = stream.wait(0)
        if intake.waiting and not more:
            self._write(intake)
        self._look(stream, intake, production)
        stream.tell(state.position, every=0.1 if state.position > before else 1.0)
        if state.position > before:
            self._committed = time.monotonic()
            self._show(state)
        elif not more:
            stream.wait(_POLL)

    def _overdue(self) -> bool:
        return time.monotonic() - self._committed > _LINGER

    def _write(self, intake: Intake) -> None:
        intake.write()
        self._committed = time.monotonic()
        self._show(intake.state)

    def _look(self, stream: Stream, intake: Intake, production: Production) -> None:
        """From time to time: how far production is, and a position without changes."""
        now = time.monotonic()
        idle = intake.between and not intake.waiting
        if idle and now - max(self._committed, self._rested) > _REST_EVERY:
            intake.rest(stream.heard)
            self._rested = now
        if now - self._looked > _LOOK_EVERY:
            self._looked = now
            production.check_publication(self._publication, list(intake.state.epoch.tables))
            end = production.end()
            reached = max(intake.state.position, stream.heard if idle else 0)
            self._progress = replace(self._progress, received=end, lag=max(0, end - reached))

    def _show(self, state: State) -> None:
        self._progress = replace(
            self._progress,
            position=state.position,
            epoch=state.epoch.number,
            transactions=state.transactions,
            changes=state.changes,
            conflicts=state.conflicts,
        )
