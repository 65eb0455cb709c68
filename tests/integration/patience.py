"""Limits of the product that protect people in production, and are no subject of most tests: on a
machine whose two cores several test processes share, sound work may take longer than they allow."""

from collections.abc import Callable

from activities.adapters import pgbouncer
from activities.adapters.fallback import check as fallback_check
from activities.adapters.fallback import signs as fallback_signs
from activities.adapters.fallback import tail as fallback_tail
from activities.adapters.postgres import sessions as postgres_sessions

LIMITS: tuple[tuple[object, str, float], ...] = (
    (fallback_tail, "_CLOSED", 60.0),  # for the last changes to arrive
    (fallback_check, "_MOMENT", 60.0),  # for comparing what was not compared while following
    (fallback_signs, "_SILENT", 4.0),  # until a follower who says nothing counts as frozen
    (pgbouncer, "PAUSE", 5.0),  # for the last transaction to end; waited for whole where none does
    (pgbouncer, "_ANSWER", 30.0),
    (pgbouncer, "_CONNECT", 20),
    (postgres_sessions, "_CONNECT_TIMEOUT", 30),
)
"""Module, name, and what it is in these tests. A test of such a limit sets its own."""


def be_patient(set_: Callable[[object, str, float], None] = setattr) -> None:
    """Give sound work the time that it needs here."""
    for module, name, value in LIMITS:
        set_(module, name, value)
