"""Limits of the product that protect people in production, and are no subject of most tests: on a
machine whose two cores several test processes share, sound work may take longer than they allow."""

from collections.abc import Callable

import httpx

from activities import looks
from activities.adapters import http, json_server, kube_api, loki, pgbouncer, prometheus
from activities.adapters.fallback import check as fallback_check
from activities.adapters.fallback import setup as fallback_setup
from activities.adapters.fallback import signs as fallback_signs
from activities.adapters.fallback import tail as fallback_tail
from activities.adapters.postgres import control as postgres_control
from activities.adapters.postgres import ready as postgres_ready
from activities.adapters.postgres import sessions as postgres_sessions
from activities.adapters.postgres import url as postgres_url
from slipway.judgements import capturing

LIMITS: tuple[tuple[object, str, object], ...] = (
    (fallback_tail, "_CLOSED", 60.0),  # for the last changes to arrive
    (fallback_check, "_MOMENT", 60.0),  # for comparing what was not compared while following
    (fallback_signs, "_SILENT", 4.0),  # until a follower who says nothing counts as frozen
    (pgbouncer, "PAUSE", 5.0),  # for the last transaction to end; waited for whole where none does
    (pgbouncer, "_ANSWER", 30.0),
    (pgbouncer, "_CONNECT", 20),
    (fallback_setup, "_PATIENCE", 240.0),  # other tests' transactions hold up a slot
    (postgres_url, "_CONNECT_TIMEOUT", 60),
    (postgres_sessions, "_TOOL_CONNECT_TIMEOUT", 60),
    (postgres_sessions, "_VERSION_DEADLINE", 60.0),
    (postgres_control, "_PATIENCE", 120.0),
    (looks, "LONGEST", 120.0),
    (postgres_ready, "_TIMEOUT", 60.0),
    (kube_api, "_TIMEOUTS", (30, 20)),
    (http, "_TIMEOUT", httpx.Timeout(30.0)),
    (http, "_OVERALL", 60.0),
    (json_server, "TIMEOUT", httpx.Timeout(60.0)),
    (prometheus, "_OVERALL", 60.0),
    (loki, "_OVERALL", 60.0),
    (loki, "_ONE", 60.0),
    (capturing, "MOMENT", 60.0),
)
"""Module, name, and what it is in these tests. A test of such a limit sets its own."""


def be_patient(set_: Callable[[object, str, object], None] = setattr) -> None:
    """Give sound work the time that it needs here."""
    for module, name, value in LIMITS:
        set_(module, name, value)
