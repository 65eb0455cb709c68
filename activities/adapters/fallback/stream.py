"""Production's changes as they are committed: the stream of a logical replication slot."""

import select
import struct
import time
from collections.abc import Iterator

import psycopg
from psycopg import pq, sql

from activities.adapters.fallback.protocol import parse_lsn, say_lsn
from activities.adapters.fallback.wire import REMEDY, ask, failure, open_session
from activities.adapters.postgres.url import Target
from slipway.errors import FallbackLost

_KEEPALIVE = struct.Struct("!cQqB")
_DATA = struct.Struct("!cQQq")
_STATUS = struct.Struct("!cQQQqB")
_EPOCH = 946_684_800
"""Seconds from 1970 to 2000, where PostgreSQL's clock begins."""
_RELEASE_SECONDS = 30.0

_SLOT = """
SELECT database, active_pid, coalesce(confirmed_flush_lsn::text, ''), wal_status,
    to_jsonb(s) ->> 'invalidation_reason', coalesce(restart_lsn::text, ''), plugin
FROM pg_replication_slots s WHERE slot_name = {}"""


def purpose_of(slot: str) -> str:
    """Return what all three sessions of the follower of a slot are for, as `session_name` has it:
    a fence must spare them, whoever's they are."""
    return f"fallback {slot}"


class Stream:
    """A connection that streams. Positions are numbers, see `say_lsn`."""

    def __init__(self, source: Target, slot: str, publication: str) -> None:
        """Connect. Nothing is streamed yet. Raises psycopg.OperationalError."""
        self._slot = slot
        self._publication = publication
        self._database = source.database
        self._connection = open_session(source, purpose_of(slot), replication="database")
        self.heard = 0
        """How far the server has read its log for us."""
        self._wanted = True
        self._told = 0.0

    def wait(self, seconds: float) -> bool:
        """Wait until something has arrived, at most so long; return whether it has."""
        readable, _, _ = select.select([self._connection.socket], [], [], seconds)
        return bool(readable)

    def close(self) -> None:
        """Disconnect."""
        self._connection.finish()

    def start(self, position: int) -> None:
        """Begin to stream what was committed at or after the position.

        Raises FallbackLost when the slot is gone, has lost its log, or has been told of more than
        the side database has: the server would pass over the rest without a word.
        """
        self._release()
        _, _, confirmed, *_ = self._look()
        if parse_lsn(confirmed) > position:
            raise FallbackLost(
                f"The slot {self._slot} stands at {confirmed}, beyond {say_lsn(position)} where "
                "the side database is: the changes between were lost.",
                REMEDY,
            )
        command = sql.SQL(
            "START_REPLICATION SLOT {} LOGICAL {} (proto_version '1', publication_names {},"
            " messages 'true')"
        ).format(
            sql.Identifier(self._slot),
            sql.SQL(say_lsn(position)),
            sql.Literal(sql.Identifier(self._publication).as_string(None)),
        )
        result = self._connection.exec_(command.as_string(None).encode())
        if result.status != pq.ExecStatus.COPY_BOTH:
            raise self._explained(failure(result))
        self._connection.nonblocking = 1

    def _look(self) -> list[str]:
        found = ask(self._connection, sql.SQL(_SLOT).format(self._slot).as_string(None))
        if not found:
            raise FallbackLost(
                f"The replication slot {self._slot} is gone: somebody dropped it, or production "
                "is another server than before.",
                REMEDY,
            )
        slot = [one or "" for one in found[0]]
        if slot[3] == "lost" or slot[4] or not slot[5]:
            why = slot[4] or "its log was removed"
            raise FallbackLost(
                f"The replication slot {self._slot} is lost ({why.replace('_', ' ')}): production "
                "no longer keeps what the side database lacks.",
                f"{REMEDY} A larger max_slot_wal_keep_size prevents it.",
            )
        if slot[0] != self._database or slot[6] != "pgoutput":
            raise FallbackLost(
                f"The slot {self._slot} is one of {slot[6]} in database {slot[0]}, not ours.",
                REMEDY,
            )
        return slot

    def _release(self) -> None:
        """End a server process that still holds the slot: the one of a follower before us."""
        deadline = time.monotonic() + _RELEASE_SECONDS
        while holder := self._look()[1]:
            ask(self._connection, f"SELECT pg_terminate_backend({int(holder)})")
            if time.monotonic() > deadline:
                raise psycopg.OperationalError(
                    f"the slot {self._slot} is still held by the server process {holder}"
                )
            time.sleep(0.05)  # a server process ends when it next looks, and tells nobody

    def _explained(self, error: Exception) -> Exception:
        if isinstance(error, psycopg.OperationalError | FallbackLost):
            self._look()  # raises when the slot was lost
            return error
        return FallbackLost(f"The slot {self._slot} cannot be read ({error}).", REMEDY)

    def messages(self) -> Iterator[bytes]:
        """Yield what has arrived and needs no waiting; ends when nothing is there."""
        self._connection.consume_input()
        while True:
            size, view = self._connection.get_copy_data(1)
            if size == 0:
                return
            if size < 0:
                self._ended()
            if view[0] == 0x77:  # w: data behind a header
                yield bytes(view[_DATA.size :])
            else:
                self._keepalive(view)

    def _keepalive(self, view: memoryview) -> None:
        kind, end, _, wanted = _KEEPALIVE.unpack_from(view)
        if kind == b"k":
            self.heard = max(self.heard, end)
            self._wanted = self._wanted or bool(wanted)

    def _ended(self) -> None:
        result = self._connection.get_result()
        if result is None or result.status in (
            pq.ExecStatus.COMMAND_OK,
            pq.ExecStatus.COPY_BOTH,
            pq.ExecStatus.COPY_IN,
        ):
            raise psycopg.OperationalError("production's server ended the stream")
        error = failure(result)
        if isinstance(error, psycopg.OperationalError | FallbackLost):
            raise error
        raise FallbackLost(f"Production's server cannot stream any more ({error}).", REMEDY)

    def tell(self, flushed: int, *, every: float = 1.0) -> None:
        """Report how far the side database is: at most once in `every` seconds, or at once when the
        server asks. What is reported the server forgets."""
        now = time.monotonic()
        if not self._wanted and now - self._told < every:
            return
        self._wanted, self._told = False, now
        clock = int((time.time() - _EPOCH) * 1e6)
        status = _STATUS.pack(b"r", max(self.heard, flushed), flushed, flushed, clock, 0)
        self._connection.put_copy_data(status)
        while self._connection.flush():
            select.select([], [self._connection.socket], [], 5)
