"""What a server is to the stack, and how one is brought up."""

from __future__ import annotations

import ssl
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import httpx

from devstack.errors import StackError
from devstack.process import Processes, Spec


def _nothing() -> None:
    return None


@dataclass(frozen=True)
class Server:
    """One program of the stack.

    `prepare` writes its files and says how to start it; `missing` returns None once it serves,
    else what is still missing; `set_up` runs after every start and must be idempotent.
    """

    name: str
    port: int
    prepare: Callable[[], Spec]
    missing: Callable[[], str | None]
    set_up: Callable[[], None] = _nothing
    seconds: float = 120.0
    """All servers start at once: on a busy machine each takes its time."""


def bring_up(server: Server, processes: Processes, wait_port: Callable[[int], None]) -> bool:
    """Have the server running and set up; True when it had to be started.

    A live process that does not serve within the deadline is replaced once.
    """
    started = False
    if processes.pid(server.name) is not None:
        try:
            processes.wait_ready(server.name, server.missing, server.seconds / 2)
        except StackError:
            processes.stop(server.name)
    if processes.pid(server.name) is None:
        wait_port(server.port)
        processes.start(server.prepare())
        started = True
        processes.wait_ready(server.name, server.missing, server.seconds)
    server.set_up()
    return started


def http_missing(
    url: str,
    *,
    accept: frozenset[int] = frozenset({200}),
    authority: Path | None = None,
) -> str | None:
    """None when `url` answers with an accepted status, else what it did instead.

    `authority` is the certificate of who signed an https server's own.
    """
    # Plain http needs no certificates, and reading the system's takes 20 ms each time.
    verify = ssl.create_default_context(cafile=str(authority)) if authority else False
    try:
        status = httpx.get(url, timeout=2, trust_env=False, verify=verify).status_code
    except (httpx.HTTPError, OSError) as error:
        return f"{url}: {type(error).__name__}"
    return None if status in accept else f"{url} answers {status}"
