"""PgBouncer by its admin console: lets the clients of a database wait, and lets them go again.

The console knows the simple protocol only, and does not answer a PAUSE before the last transaction
has ended: so raw sessions of libpq, each in a thread and for a bounded time.
"""

import asyncio
import select
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager

from psycopg import pq
from psycopg.conninfo import make_conninfo

from activities.adapters.postgres.url import resolve_target
from slipway.errors import SlipwayError, Unreachable
from slipway.judgements.poolers import PAUSE, Entry, PoolerStanding

_ANSWER = 5.0
"""Seconds for everything but a PAUSE."""
_CONNECT = 2
_OK = (pq.ExecStatus.COMMAND_OK, pq.ExecStatus.TUPLES_OK)
_NOBODY = "slipway asks whether it might"
"""A database that is in no pooler's list. To resume it changes nothing, but only an administrator
of the console is told so."""

Row = dict[str, str]


class Refused(SlipwayError):
    """The console answered with an error."""


class PgBouncer:
    """One pooler's console. Holds no connection between calls."""

    def __init__(self, reference: str) -> None:
        """Raises BadInput when the reference leads to no address."""
        self.reference = reference
        self._target = resolve_target(reference)

    @property
    def host(self) -> str:
        """Where it runs."""
        return self._target.host

    async def entries(self) -> list[Entry]:
        """Return its list of databases. Raises Unreachable, Refused."""
        return await asyncio.to_thread(self._entries)

    async def pause(self, entries: Sequence[str]) -> list[str]:
        """Let clients of these entries wait; return those with a transaction that did not end
        within `PAUSE` seconds: it goes on, all others of its entry wait."""
        return await asyncio.to_thread(self._pause, entries)

    async def resume(self, entries: Sequence[str]) -> None:
        """Let the clients of these entries go on, by new connections. Those that do not wait, or
        are gone, are skipped."""
        await asyncio.to_thread(self._resume, entries)

    async def look(self, database: str) -> tuple[PoolerStanding, set[int]]:
        """Return how it stands, and which server processes its connections to a database have.
        Changes nothing. Raises Unreachable."""
        return await asyncio.to_thread(self._look, database)

    def _entries(self) -> list[Entry]:
        with self._console() as ask:
            return _listed(ask)

    def _pause(self, entries: Sequence[str]) -> list[str]:
        deadline = time.monotonic() + PAUSE
        with ExitStack() as stack:
            waiting = {}
            for name in entries:
                wire = stack.enter_context(self._wire())
                wire.send_query(f"PAUSE {_quoted(name)}".encode())
                waiting[name] = wire
            return [name for name, wire in waiting.items() if not self._paused(wire, deadline)]

    def _paused(self, wire: pq.abc.PGconn, deadline: float) -> bool:
        try:
            self._answer(wire, deadline)
        except Unreachable:
            if wire.status != pq.ConnStatus.OK:
                raise
            return False
        return True

    def _resume(self, entries: Sequence[str]) -> None:
        with self._console() as ask:
            held = {one.name for one in _listed(ask) if one.paused}
            for name in entries:
                if name in held:
                    ask(f"RECONNECT {_quoted(name)}")
                    ask(f"RESUME {_quoted(name)}")

    def _look(self, database: str) -> tuple[PoolerStanding, set[int]]:
        with self._console() as ask:
            version = _said(ask, "SHOW VERSION", "version")
            if not version.startswith("PgBouncer"):
                return PoolerStanding(self.reference, ""), set()
            may = _may_pause(ask)
            try:
                entries, servers = _listed(ask), ask("SHOW SERVERS")
            except Refused as error:
                return PoolerStanding(self.reference, version, may, refused=error.what), set()
            patience = _patience(ask) if may else 0.0
        standing = PoolerStanding(self.reference, version, may, tuple(entries), "", patience)
        mine = {one.name for one in standing.of(database)}
        pids = {int(one["remote_pid"]) for one in servers if one["database"] in mine}
        return standing, pids - {0}

    @contextmanager
    def _console(self) -> Iterator[Callable[[str], list[Row]]]:
        with self._wire() as wire:

            def ask(words: str) -> list[Row]:
                wire.send_query(words.encode())
                return self._answer(wire, time.monotonic() + _ANSWER)

            yield ask

    @contextmanager
    def _wire(self) -> Iterator[pq.abc.PGconn]:
        given = {name: value for name, value in self._target.arguments().items() if value}
        given |= {"connect_timeout": _CONNECT, "application_name": "slipway pooler"}
        words = make_conninfo(**given)
        wire = pq.PGconn.connect(words.encode())
        try:
            if wire.status != pq.ConnStatus.OK:
                raise self._silent(wire)
            yield wire
        finally:
            wire.finish()

    def _answer(self, wire: pq.abc.PGconn, deadline: float) -> list[Row]:
        """Return the answer to what was sent. Raises Unreachable when none comes in time."""
        wire.flush()
        while wire.is_busy():
            left = deadline - time.monotonic()
            if left <= 0 or not select.select([wire.socket], [], [], left)[0]:
                raise self._silent(wire)
            wire.consume_input()
        result = wire.get_result()
        if result is None or wire.status != pq.ConnStatus.OK:
            raise self._silent(wire)
        while wire.get_result() is not None:
            pass
        if result.status not in _OK:
            text = result.error_field(pq.DiagnosticField.MESSAGE_PRIMARY) or b""
            said = " ".join(text.decode(errors="replace").split())[:200]
            raise Refused(f"The pooler {self.reference} says: {said}.", "Look at its log.")
        return _rows(result)

    def _silent(self, wire: pq.abc.PGconn) -> Unreachable:
        # libpq's words may name the address and the user: only their end tells why
        why = " ".join(wire.get_error_message().split()).rpartition(": ")[2][-200:]
        return Unreachable(
            f"The pooler {self.reference} does not answer at its console: {why or 'no reply'}.",
            "Check that PgBouncer runs and that the login of the reference is right, then retry.",
        )


def _listed(ask: Callable[[str], list[Row]]) -> list[Entry]:
    return [
        Entry(one["name"], one["database"], one["pool_mode"] or _default(ask), one["paused"] == "1")
        for one in ask("SHOW DATABASES")
    ]


def _default(ask: Callable[[str], list[Row]]) -> str:
    return _setting(ask, "pool_mode")


def _patience(ask: Callable[[str], list[Row]]) -> float:
    said = _setting(ask, "query_wait_timeout")
    return float(said) if said.replace(".", "", 1).isdigit() else 0.0


def _setting(ask: Callable[[str], list[Row]], name: str) -> str:
    return next((one["value"] for one in ask("SHOW CONFIG") if one["key"] == name), "")


def _may_pause(ask: Callable[[str], list[Row]]) -> bool:
    try:
        ask(f"RESUME {_quoted(_NOBODY)}")
    except Refused as error:
        return "admin access" not in error.what
    return True


def _said(ask: Callable[[str], list[Row]], words: str, column: str) -> str:
    try:
        found = ask(words)
    except Refused:
        return ""
    return found[0].get(column, "") if found else ""


def _rows(result: pq.abc.PGresult) -> list[Row]:
    names = [(result.fname(column) or b"").decode() for column in range(result.nfields)]
    return [
        {
            name: (result.get_value(row, column) or b"").decode(errors="replace")
            for column, name in enumerate(names)
        }
        for row in range(result.ntuples)
    ]


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'
