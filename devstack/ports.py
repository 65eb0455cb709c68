"""Free loopback ports that stay the same while a stack lives."""

from __future__ import annotations

import random
import socket
from collections.abc import Iterable, Mapping

from devstack.errors import StackError

# Below the range from which systems take the ports of outgoing connections: a server that is
# restarted must not find its port used by somebody's client socket.
FIRST, LAST = 20_000, 31_999


def is_free(port: int) -> bool:
    """Whether a server could listen on 127.0.0.1:port now."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


def answers(port: int) -> bool:
    """Whether something listens on 127.0.0.1:port."""
    try:
        socket.create_connection(("127.0.0.1", port), timeout=1).close()
    except OSError:
        return False
    return True


def choose(names: Iterable[str], keep: Mapping[str, int]) -> dict[str, int]:
    """A port for each name: the one in `keep`, where given, else a free one."""
    chosen = {name: keep[name] for name in names if name in keep}
    for name in names:
        if name not in chosen:
            chosen[name] = _free_port(set(chosen.values()))
    return chosen


def _free_port(taken: set[int]) -> int:
    generator = random.SystemRandom()
    for _ in range(1000):
        port = generator.randint(FIRST, LAST)
        if port not in taken and is_free(port):
            return port
    raise StackError(f"No free port between {FIRST} and {LAST} on 127.0.0.1: stop something.")
