"""A small HTTP/1.1 server on asyncio: enough for JSON, pages and metrics on loopback."""

import asyncio
import contextlib
import json
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any
from urllib.parse import parse_qsl, urlsplit

_MAX_HEADERS = 16 * 1024
_MAX_BODY = 1024 * 1024
_IDLE = 120.0


@dataclass(frozen=True)
class Request:
    """One request. Header names are lower case."""

    method: str
    path: str
    query: dict[str, str]
    headers: dict[str, str]
    body: bytes

    def json(self) -> dict[str, Any]:
        """Return the body as a JSON object. Raises HttpError 400 for anything else."""
        try:
            value = json.loads(self.body or b"{}")
        except (ValueError, RecursionError):
            raise HttpError(400, "the body is not JSON") from None
        if not isinstance(value, dict):
            raise HttpError(400, "the body is not a JSON object")
        return value


@dataclass(frozen=True)
class Response:
    """One answer: bytes of a media type."""

    status: int = 200
    body: bytes = b""
    content_type: str = "application/json"
    headers: dict[str, str] = field(default_factory=dict)

    @classmethod
    def of(cls, value: Any, status: int = 200) -> "Response":
        """Return plain data as a JSON answer."""
        return cls(status, json.dumps(value, default=str).encode())


class HttpError(Exception):
    """Ends a request with a status and a reason."""

    def __init__(self, status: int, reason: str) -> None:
        super().__init__(reason)
        self.status = status


Handler = Callable[[Request], Awaitable[Response]]


class Server:
    """Listens on one loopback port and hands each request to one handler."""

    def __init__(self, port: int, handler: Handler) -> None:
        self._port = port
        self._handler = handler
        self._server: asyncio.Server | None = None
        self._open: set[asyncio.StreamWriter] = set()

    async def start(self) -> None:
        """Begin to listen. Raises OSError when the port is taken."""
        self._server = await asyncio.start_server(
            self._serve, "127.0.0.1", self._port, limit=_MAX_HEADERS
        )

    async def stop(self) -> None:
        """Stop listening and end open connections."""
        if self._server is not None:
            self._server.close()
        for writer in list(self._open):
            writer.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._open.add(writer)
        try:
            while await self._one(reader, writer):
                pass
        except (OSError, asyncio.IncompleteReadError, asyncio.LimitOverrunError, TimeoutError):
            pass  # the caller went away, was silent for long, or sent no HTTP
        finally:
            self._open.discard(writer)
            writer.close()
            with contextlib.suppress(OSError):
                await writer.wait_closed()

    async def _one(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        """Answer one request; return whether the connection stays open."""
        async with asyncio.timeout(_IDLE):
            head = await reader.readuntil(b"\r\n\r\n")
        try:
            request = await _parse(head, reader)
        except HttpError as error:
            await _send(writer, Response.of({"error": str(error)}, error.status), keep=False)
            return False
        response = await self._answer(request)
        keep = request.headers.get("connection", "").lower() != "close"
        await _send(writer, response, keep=keep)
        return keep

    async def _answer(self, request: Request) -> Response:
        try:
            return await self._handler(request)
        except HttpError as error:
            return Response.of({"error": str(error)}, error.status)
        except Exception as error:  # the world must outlive one bad answer
            return Response.of({"error": f"{type(error).__name__}: {error}"}, 500)


async def _parse(head: bytes, reader: asyncio.StreamReader) -> Request:
    lines = head.decode("latin-1").split("\r\n")
    parts = lines[0].split(" ")
    if len(parts) != 3 or not parts[2].startswith("HTTP/1."):
        raise HttpError(400, "no HTTP request")
    headers = {
        name.strip().lower(): value.strip()
        for name, colon, value in (line.partition(":") for line in lines[1:])
        if colon
    }
    length = headers.get("content-length", "0")
    if not length.isdigit() or int(length) > _MAX_BODY or "transfer-encoding" in headers:
        raise HttpError(413, f"the body needs a length of at most {_MAX_BODY} bytes")
    async with asyncio.timeout(_IDLE):
        body = await reader.readexactly(int(length))
    target = urlsplit(parts[1])
    return Request(parts[0], target.path, dict(parse_qsl(target.query)), headers, body)


async def _send(writer: asyncio.StreamWriter, response: Response, *, keep: bool) -> None:
    phrase = HTTPStatus(response.status).phrase
    head = [
        f"HTTP/1.1 {response.status} {phrase}",
        f"Content-Type: {response.content_type}",
        f"Content-Length: {len(response.body)}",
        f"Connection: {'keep-alive' if keep else 'close'}",
        *(f"{name}: {value}" for name, value in response.headers.items()),
    ]
    writer.write("\r\n".join(head).encode("latin-1") + b"\r\n\r\n" + response.body)
    await writer.drain()
