"""A relay on loopback between the migration command and PostgreSQL that hears the server's errors.

The migration tool ends with exit code 1 and not one word of why. Its traffic passes through here
unchanged, and the last error that the server reported is kept: with its SQLSTATE, so that a lock
timeout can be told from a failure without running anything a second time.

A rehearsal also has it wait for a look at the locks after each answer, and lets nothing through to
another database than the rehearsal's copy.
"""

import asyncio
import contextlib
import ssl
import struct
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Self

from activities.adapters.postgres.url import Target

_SSL_REQUEST = 80877103
_GSS_REQUEST = 80877104
_PIECE = 65_536
_LONGEST_ERROR = 65_536
_LONGEST_STARTUP = 10_000
_VERSION_3 = 3 << 16


@dataclass(frozen=True)
class ServerError:
    """What the server said. Its detail is left out: it may hold rows of people."""

    sqlstate: str
    message: str
    table: str = ""
    constraint: str = ""

    @property
    def sentence(self) -> str:
        """SQLSTATE, message, and the table and constraint concerned."""
        where = [f"{what} {name}" for what, name in self._places if name]
        tail = f" ({', '.join(where)})" if where else ""
        return f"SQLSTATE {self.sqlstate}: {self.message[:500]}{tail}"

    @property
    def _places(self) -> tuple[tuple[str, str], ...]:
        return ("table", self.table), ("constraint", self.constraint)


class Relay:
    """Async context manager: listens while open, on 127.0.0.1 and a free port."""

    host = "127.0.0.1"

    def __init__(
        self,
        target: Target,
        *,
        only: bool = False,
        answered: Callable[[], Awaitable[None]] | None = None,
    ) -> None:
        """`target`: the server that every connection is passed on to. `only`: connections to
        another of its databases are refused. `answered`: awaited each time the server is ready
        for the next statement, before the command learns of it."""
        self._target = target
        self._only = only
        self._answered = answered
        self._server: asyncio.Server | None = None
        self._connections: set[asyncio.Task[None]] = set()
        self.error: ServerError | None = None
        """The last error the server reported."""

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._accept, self.host, 0)
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._server is not None:
            self._server.close()
        for task in self._connections:
            task.cancel()
        await asyncio.gather(*self._connections, return_exceptions=True)

    @property
    def port(self) -> int:
        """Where it listens."""
        assert self._server is not None
        return int(self._server.sockets[0].getsockname()[1])

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._connections.add(task)
        try:
            first = await _without_encryption(reader, writer)
            if self._only:
                first += await _rest_of_startup(first, reader)
                if not _is_for(first, self._target.database):
                    writer.write(_refusal(self._target.database))
                    await writer.drain()
                    return
            with contextlib.suppress(OSError, ssl.SSLError, asyncio.IncompleteReadError):
                await self._pass_on(first, reader, writer)
        except (OSError, asyncio.IncompleteReadError):
            pass  # the command went away
        except asyncio.CancelledError:
            pass  # we are closing; raising here would only be logged by the server
        finally:
            self._connections.discard(task)
            writer.close()

    async def _pass_on(
        self, first: bytes, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        server_reader, server_writer = await _connect(self._target)
        try:
            server_writer.write(first)
            pumps = [
                asyncio.create_task(_pump(reader, server_writer)),
                asyncio.create_task(
                    _pump(server_reader, writer, _Ear(self._heard), self._answered)
                ),
            ]
            try:
                await asyncio.wait(pumps, return_when=asyncio.FIRST_COMPLETED)
            finally:
                for pump in pumps:
                    pump.cancel()
                await asyncio.gather(*pumps, return_exceptions=True)
        finally:
            server_writer.close()

    def _heard(self, error: ServerError) -> None:
        self.error = error


class _Ear:
    """Follows the server's messages and reports each error."""

    def __init__(self, report: Callable[[ServerError], None]) -> None:
        self._report = report
        self._buffer = bytearray()
        self._skip = 0
        self.ready = False
        """Whether the server has said since that it is ready for the next statement."""

    def hear(self, piece: bytes) -> None:
        """Take the next bytes."""
        self._buffer += piece
        while self._next():
            pass

    def _next(self) -> bool:
        if self._skip:
            gone = min(self._skip, len(self._buffer))
            del self._buffer[:gone]
            self._skip -= gone
        if self._skip or len(self._buffer) < 5:
            return False
        kind, length = struct.unpack("!ci", self._buffer[:5])
        self.ready = self.ready or kind == b"Z"
        if kind != b"E" or length > _LONGEST_ERROR:
            self._skip = 1 + max(length, 4)
            return True
        if len(self._buffer) < 1 + length:
            return False
        self._tell(bytes(self._buffer[5 : 1 + length]))
        del self._buffer[: 1 + length]
        return True

    def _tell(self, body: bytes) -> None:
        fields = {part[:1]: part[1:].decode(errors="replace") for part in body.split(b"\0") if part}
        error = ServerError(
            fields.get(b"C", ""),
            " ".join(fields.get(b"M", "").split()),
            fields.get(b"t", ""),
            fields.get(b"n", ""),
        )
        self._report(error)


async def _pump(
    reader: asyncio.StreamReader,
    writer: asyncio.StreamWriter,
    ear: _Ear | None = None,
    answered: Callable[[], Awaitable[None]] | None = None,
) -> None:
    while piece := await reader.read(_PIECE):
        if ear is not None:
            ear.hear(piece)
            if ear.ready and answered is not None:
                ear.ready = False
                await answered()
        writer.write(piece)
        await writer.drain()


async def _without_encryption(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bytes:
    """Read the first message; a wish for encryption on this loopback stretch is declined."""
    while True:
        first = await reader.readexactly(8)
        if struct.unpack("!ii", first)[1] not in (_SSL_REQUEST, _GSS_REQUEST):
            return first
        writer.write(b"N")
        await writer.drain()


async def _rest_of_startup(first: bytes, reader: asyncio.StreamReader) -> bytes:
    length = int(struct.unpack("!ii", first)[0])
    if not 8 <= length <= _LONGEST_STARTUP:
        raise OSError("no client of PostgreSQL")
    return await reader.readexactly(length - 8)


def _is_for(startup: bytes, database: str) -> bool:
    """Whether a first message asks for this database, or only for a statement to be cancelled."""
    if struct.unpack("!i", startup[4:8])[0] >> 16 != _VERSION_3 >> 16:
        return True  # a cancellation carries a secret that only a session's own client has
    parts = startup[8:].split(b"\0")
    given = dict(zip(parts[::2], parts[1::2], strict=False))
    wanted = given.get(b"database") or given.get(b"user", b"")
    return wanted == database.encode() and b"replication" not in given


def _refusal(database: str) -> bytes:
    fields = {"S": "FATAL", "V": "FATAL", "C": "42501", "M": f"only {database} may be reached here"}
    body = b"".join(f"{key}{value}".encode() + b"\0" for key, value in fields.items()) + b"\0"
    return b"E" + struct.pack("!i", 4 + len(body)) + body


async def _connect(target: Target) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    if target.host.startswith("/"):
        return await asyncio.open_unix_connection(f"{target.host}/.s.PGSQL.{target.port}")
    reader, writer = await asyncio.open_connection(target.host, target.port)
    mode = dict(target.tls).get("sslmode", "prefer")
    if mode == "disable":
        return reader, writer
    writer.write(struct.pack("!ii", 8, _SSL_REQUEST))
    if await reader.readexactly(1) == b"S":
        await writer.start_tls(_context(target, mode), server_hostname=target.host)
    elif mode not in ("allow", "prefer"):
        writer.close()
        raise ConnectionError("the server offers no encryption")
    return reader, writer


def _context(target: Target, mode: str) -> ssl.SSLContext:
    options = dict(target.tls)
    context = ssl.create_default_context(cafile=options.get("sslrootcert"))
    if mode != "verify-full":
        context.check_hostname = False
    if mode not in ("verify-full", "verify-ca") and "sslrootcert" not in options:
        context.verify_mode = ssl.CERT_NONE
    if "sslcert" in options:
        context.load_cert_chain(options["sslcert"], options.get("sslkey"))
    return context
