"""Answers probes: is the worker's event loop alive, and does it serve its queues."""

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator
from http import HTTPStatus

log = logging.getLogger("worker")

_LIMIT = 4096
_PATIENCE = 5.0


class Health:
    """What is answered: `/healthz` whenever the loop turns, `/readyz` while queues are served."""

    def __init__(self) -> None:
        self.serving = False

    async def answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Answer one request by its path, and close."""
        try:
            async with asyncio.timeout(_PATIENCE):
                head = await reader.readuntil(b"\r\n\r\n")
                writer.write(_response(self.status(head)))
                await writer.drain()
        except (OSError, TimeoutError, asyncio.IncompleteReadError, asyncio.LimitOverrunError):
            log.debug("A probe went away, or was none.")
        finally:
            writer.close()
            with contextlib.suppress(OSError):
                await writer.wait_closed()

    def status(self, head: bytes) -> HTTPStatus:
        """Return the status for a request's head."""
        words = head.split(b"\r\n", 1)[0].split()
        match words[1:2]:
            case [b"/healthz"]:
                return HTTPStatus.OK
            case [b"/readyz"]:
                return HTTPStatus.OK if self.serving else HTTPStatus.SERVICE_UNAVAILABLE
        return HTTPStatus.NOT_FOUND


@contextlib.asynccontextmanager
async def probes(address: str) -> AsyncIterator[Health]:
    """Answer probes at `host:port` until the block ends; nowhere when it is empty."""
    health = Health()
    if not address:
        yield health
        return
    host, _, port = address.rpartition(":")
    server = await asyncio.start_server(health.answer, host.strip("[]"), int(port), limit=_LIMIT)
    try:
        yield health
    finally:
        server.close()


def _response(status: HTTPStatus) -> bytes:
    body = f"{status.phrase}\n".encode()
    lines = [
        f"HTTP/1.1 {status.value} {status.phrase}",
        "content-type: text/plain",
        f"content-length: {len(body)}",
        "connection: close",
    ]
    return "\r\n".join([*lines, "", ""]).encode() + body
