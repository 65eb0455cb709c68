"""The side database as the follower writes it: many statements in one flight, as text."""

import select
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import psycopg
from psycopg import pq, sql

from activities.adapters.fallback.wire import (
    OK,
    ask,
    failure,
    field,
    open_session,
    passing,
    session_name,
)
from activities.adapters.postgres.url import Target

_ABORTED = pq.ExecStatus.PIPELINE_ABORTED
_FLUSH_EVERY = 64
_MOST_PREPARED = 1_000
_BUSY = """
SELECT pg_terminate_backend(pid) FROM pg_stat_activity
WHERE application_name = {name} AND datname = current_database() AND pid <> pg_backend_pid()"""


class Statement(NamedTuple):
    """One statement with its values as text. The server infers their types from the columns that
    they go into: a cast named here (`::varchar(5)`) would cut them without a word."""

    text: bytes
    values: Sequence[bytes | None] = ()


@dataclass(frozen=True)
class Refusal:
    """What the server said against a statement. Its detail is left out."""

    sqlstate: str
    message: str
    constraint: str


class Answers(NamedTuple):
    """What the statements before the first refused one returned."""

    results: list[pq.abc.PGresult]
    refusal: Refusal | None


class Side:
    """A session of the side database in which no trigger and no foreign key fires."""

    def __init__(self, target: Target, purpose: str, tick: Callable[[], None]) -> None:
        """`purpose`: unique for one side database; a session of the same is ended first. `tick`:
        called about once a second while the server works. Raises psycopg.OperationalError."""
        self._connection = open_session(target, purpose)
        self._tick = tick
        self._prepared: dict[bytes, bytes] = {}
        self._names = 0
        try:
            ask(self._connection, _BUSY.format(name=_quoted(session_name(purpose))))
            ask(self._connection, "SET session_replication_role = 'replica'")
            ask(self._connection, "SET synchronous_commit = 'on'")
            ask(self._connection, "SET row_security = off")
            self._connection.enter_pipeline_mode()
            self._connection.nonblocking = 1
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """Disconnect; what is not committed is gone."""
        self._connection.finish()

    def run(self, statements: Sequence[Statement]) -> Answers:
        """Run statements in one flight, up to the first that is refused for what it holds.

        Raises psycopg.OperationalError for every other failure: the session must then be closed.
        """
        failed = self._connection.transaction_status == pq.TransactionStatus.INERROR
        if len(self._prepared) > _MOST_PREPARED and not failed:  # a failed one takes it back first
            self._prepared.clear()
            self._receive(self._send([Statement(b"DEALLOCATE ALL")], prepare=False))
        return self._receive(self._send(statements))

    def _send(
        self, statements: Sequence[Statement], *, prepare: bool = True
    ) -> list[tuple[bytes, bytes] | None]:
        """Return what answers to expect: text and name of a statement to prepare, None for one
        that runs."""
        expected: list[tuple[bytes, bytes] | None] = []
        fresh: dict[bytes, bytes] = {}
        connection, known = self._connection, self._prepared
        for number, (text, values) in enumerate(statements):
            if not prepare:
                connection.send_query_params(text, values)
            else:
                name = known.get(text) or fresh.get(text)
                if name is None:
                    self._names += 1
                    name = fresh[text] = b"s%d" % self._names
                    connection.send_prepare(name, text)
                    expected.append((text, name))
                connection.send_query_prepared(name, values)
            expected.append(None)
            if number % _FLUSH_EVERY == _FLUSH_EVERY - 1:
                self._flush()
        connection.pipeline_sync()
        return expected

    def _receive(self, expected: list[tuple[bytes, bytes] | None]) -> Answers:
        results: list[pq.abc.PGresult] = []
        refusal = None
        for prepared in expected:
            result = self._next()
            if result.status == _ABORTED:
                continue
            if result.status not in OK:
                refusal = refusal or _refusal(result)
            elif prepared is None:
                results.append(result)
            else:
                self._prepared[prepared[0]] = prepared[1]
        last = self._wait()
        if last is None or last.status != pq.ExecStatus.PIPELINE_SYNC:
            raise psycopg.OperationalError("the side database's session is out of step")
        return Answers(results, refusal)

    def _next(self) -> pq.abc.PGresult:
        """Return a statement's one result; an empty one behind it ends it."""
        result = self._wait()
        if result is None or self._wait() is not None:
            raise psycopg.OperationalError("the side database's session is out of step")
        return result

    def _wait(self) -> pq.abc.PGresult | None:
        connection = self._connection
        self._flush()
        while connection.is_busy():
            readable, _, _ = select.select([connection.socket], [], [], 1.0)
            if readable:
                connection.consume_input()
            else:
                self._tick()
        return connection.get_result()

    def _flush(self) -> None:
        """Send what is queued; answers are taken in meanwhile, or both ends would wait."""
        connection = self._connection
        while connection.flush():
            socket = [connection.socket]
            readable, _, _ = select.select(socket, socket, [], 1.0)
            if readable:
                connection.consume_input()


def _refusal(result: pq.abc.PGresult) -> Refusal:
    state = field(result, pq.DiagnosticField.SQLSTATE)
    error = failure(result)
    if passing(state) or not isinstance(error, psycopg.Error):
        raise error
    words = field(result, pq.DiagnosticField.MESSAGE_PRIMARY)
    constraint = field(result, pq.DiagnosticField.CONSTRAINT_NAME) or field(
        result, pq.DiagnosticField.COLUMN_NAME
    )
    return Refusal(state, " ".join(words.split())[:500], constraint)


def _quoted(text: str) -> str:
    return sql.Literal(text).as_string(None)
