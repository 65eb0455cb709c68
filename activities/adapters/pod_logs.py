"""Logs of containers, from the Kubernetes API: the newest lines, and whether older are missing."""

import asyncio
from dataclasses import dataclass
from typing import Any

from activities.adapters.kube_api import KubeApi, Target
from slipway.errors import Unreachable
from slipway.judgements.logs import LogLine, parse_lines

MOST_LINES = 40_000
"""Lines of a container that are read at once, of more than that the newest ones."""
MOST_BYTES = 8 * 1024 * 1024
"""A window reads its log in every slice: it is enough for what is written from one to the next."""
_LINE_BYTES = 4096
_PART = 8192
"""Bytes of a line that a runtime writes as one line at least, when it splits it: CRI-O 8 KiB,
containerd 16 KiB. The kubelet counts those parts and gives the line in one."""
_TRIES = 6


@dataclass(frozen=True)
class PodLog:
    """What was read of a container's log."""

    lines: list[LogLine]
    whole: bool
    """Whether that is all that was asked for: older lines may be missing where not."""


async def newest(api: KubeApi, target: Target, tail: int, **query: Any) -> PodLog:
    """Return the newest `tail` lines. Raises Unreachable when even few of them are too long.

    The kubelet begins where so many lines begin and writes until it comes to the limit of bytes:
    it is the newest lines that are missing then. So fewer are asked for, by what a line took.
    """
    whole = True
    for attempt in range(1, _TRIES + 1):
        content = await api.content(
            target, tailLines=tail, timestamps="true", limitBytes=MOST_BYTES, **query
        )
        got = content.count(b"\n")
        if len(content) < MOST_BYTES:
            whole = whole and got + len(content) // _PART < tail
            return PodLog(await asyncio.to_thread(_lines, content), whole)
        # newer lines may be longer: each time a smaller part of what has just fitted
        whole, tail = False, max(1, 3 * got // (4 * attempt))
    raise Unreachable(
        f"The newest log lines of pod {target.name} are too long to be read: {tail} of them take "
        f"more than {MOST_BYTES // 2**20} MiB.",
        "Let the service write shorter lines.",
    )


async def first(api: KubeApi, target: Target, **query: Any) -> LogLine | None:
    """Return the oldest line, None when there is none. Of a very long one the beginning."""
    content = await api.content(target, timestamps="true", limitBytes=_LINE_BYTES, **query)
    return next(iter(_lines(content)), None)


def _lines(content: bytes) -> list[LogLine]:
    return parse_lines(content.decode("utf-8", "replace"))
