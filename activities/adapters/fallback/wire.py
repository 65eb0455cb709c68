"""Raw libpq sessions: what psycopg's own connections cannot do (streaming, pipelines of text)."""

from typing import Any

import psycopg
from psycopg import pq
from psycopg.conninfo import make_conninfo

from activities.adapters.postgres.text_form import TEXT_FORM
from activities.adapters.postgres.url import Target
from slipway.errors import FallbackLost

_SETTINGS = {
    "statement_timeout": "0",  # the first, lest it ends the others
    "client_encoding": "UTF8",
    **TEXT_FORM,
    "lock_timeout": "0",
    "idle_in_transaction_session_timeout": "0",
    "idle_session_timeout": "0",
    "client_connection_check_interval": "1s",
    "default_transaction_read_only": "off",
    "default_transaction_isolation": "read committed",
    "standard_conforming_strings": "on",
    "array_nulls": "on",
    "xmloption": "content",
}
"""A database may carry defaults of its own: not for us."""

REMEDY = "Roll back by the backup instead; the next backup begins another warm fallback."
OK = (pq.ExecStatus.COMMAND_OK, pq.ExecStatus.TUPLES_OK)
_DEAD_END = ("42501",)
_PASSING = ("08", "25", "40", "53", "55", "57", "58", "XX")
"""Classes of errors that are not about the row: another attempt may succeed."""


def open_session(target: Target, purpose: str, **more: str) -> pq.abc.PGconn:
    """Connect. Raises psycopg.OperationalError, without the address."""
    conninfo = make_conninfo(**_arguments(target, purpose), **more)
    connection = pq.PGconn.connect(conninfo.encode())
    if connection.status != pq.ConnStatus.OK:
        words = connection.get_error_message()
        connection.finish()
        raise psycopg.OperationalError(" ".join(words.split()))
    try:
        ask(connection, _said(settings(connection)))
    except BaseException:
        connection.finish()
        raise
    return connection


def connect(target: Target, purpose: str) -> psycopg.Connection:
    """The same as an ordinary connection of psycopg, in autocommit mode."""
    connection = psycopg.connect(**_arguments(target, purpose), autocommit=True)
    connection.execute(_said(settings(connection.pgconn)).encode())
    return connection


def session_name(purpose: str) -> str:
    """Return what the server calls a session of this purpose, in pg_stat_activity."""
    return f"slipway {purpose}"[:63]


def _said(given: dict[str, str]) -> str:
    """All in one flight: a rollback waits for it."""
    return "; ".join(f"SET {name} = '{value}'" for name, value in given.items())


def _arguments(target: Target, purpose: str) -> dict[str, Any]:
    return {
        **target.arguments(),
        "application_name": session_name(purpose),
        "keepalives_idle": 10,
        "keepalives_interval": 5,
        "keepalives_count": 3,
        "tcp_user_timeout": 30_000,
    }


def settings(connection: pq.abc.PGconn) -> dict[str, str]:
    """Return what a session must be set to."""
    found = dict(_SETTINGS)
    if connection.server_version >= 170_000:
        found["transaction_timeout"] = "0"
    if connection.parameter_status(b"server_encoding") == b"SQL_ASCII":
        found["client_encoding"] = "SQL_ASCII"  # bytes that need not be text in any encoding
    return found


def ask(connection: pq.abc.PGconn, query: str) -> list[list[str | None]]:
    """Run one query by the simple protocol and return its rows. Raises psycopg.Error."""
    result = connection.exec_(query.encode())
    if result.status not in OK:
        raise failure(result)
    return [
        [_decoded(result.get_value(row, column)) for column in range(result.nfields)]
        for row in range(result.ntuples)
    ]


def _decoded(value: bytes | None) -> str | None:
    return None if value is None else value.decode(errors="replace")


def field(result: pq.abc.PGresult, code: pq.DiagnosticField) -> str:
    """Return one field of an error, empty when it is not given."""
    return (result.error_field(code) or b"").decode(errors="replace")


def failure(result: pq.abc.PGresult) -> Exception:
    """Return the error of a failed result. Its detail is left out: it may hold rows of people."""
    state = field(result, pq.DiagnosticField.SQLSTATE)
    words = field(result, pq.DiagnosticField.MESSAGE_PRIMARY) or result.get_error_message()
    text = f"SQLSTATE {state}: {' '.join(words.split())}"[:400]
    if state in _DEAD_END:
        return FallbackLost(
            f"The warm fallback lacks a right ({text}).",
            "Grant it what the deployment guide lists; the next backup begins another one.",
        )
    if not state or passing(state):
        return psycopg.OperationalError(text)
    return psycopg.errors.lookup(state)(text) if _known(state) else psycopg.DatabaseError(text)


def _known(state: str) -> bool:
    try:
        psycopg.errors.lookup(state)
    except KeyError:
        return False
    return True


def passing(state: str) -> bool:
    """Whether an error has nothing to do with the row that met it."""
    return not state or state[:2] in _PASSING
