"""A writer that ingests all the time and remembers what the database acknowledged."""

import asyncio
import contextlib
import secrets
import time
from datetime import UTC, datetime
from typing import TYPE_CHECKING, TextIO

import psycopg
from psycopg.types.json import Jsonb

from devstack.world.database import access

if TYPE_CHECKING:
    from devstack.stack import Stack
    from devstack.world.environment import Environment

PER_SECOND = 25.0
_INSERT = "INSERT INTO ingestion_events (key, source, payload) VALUES (%s, 'writer', %s)"
_RECONNECT = 0.02
_CHUNK = 20_000


class Writer:
    """Inserts rows into `ingestion_events` as the application's role; it only ever inserts."""

    def __init__(self, address: str, made: "Environment") -> None:
        self._address = address
        self._path = made.acked_log
        self._name = f"w-{made.name}-{secrets.token_hex(4)}"
        self._count = 0

    async def run(self) -> None:
        """Write for ever; an outage is waited out by trying again at once."""
        with self._path.open("a", buffering=1) as log:
            while True:
                with contextlib.suppress(psycopg.Error):
                    connection = await psycopg.AsyncConnection.connect(
                        self._address, autocommit=True, connect_timeout=3
                    )
                    async with connection:
                        await self._write(connection, log)
                await asyncio.sleep(_RECONNECT)

    async def _write(self, connection: psycopg.AsyncConnection, log: TextIO) -> None:
        """Insert at the wanted pace until the connection breaks."""
        due = time.monotonic()
        while True:
            self._count += 1
            key = f"{self._name}-{self._count}"
            await connection.execute(_INSERT, [key, Jsonb({"n": self._count})])
            log.write(f"{datetime.now(UTC).isoformat()} {key}\n")
            due = max(due + 1 / PER_SECOND, time.monotonic() - 1)
            await asyncio.sleep(max(0.0, due - time.monotonic()))


def acknowledged_keys(made: "Environment") -> list[str]:
    """Return the keys that the database acknowledged, oldest first."""
    with contextlib.suppress(FileNotFoundError), made.acked_log.open() as lines:
        return [line.split(" ", 1)[1].strip() for line in lines if line.endswith("\n")]
    return []


def missing_keys(stack: "Stack", made: "Environment") -> list[str]:
    """Return the acknowledged keys that the production database does not hold now."""
    keys = acknowledged_keys(made)
    missing: list[str] = []
    with psycopg.connect(access.url(stack, access.APP, made.database)) as connection:
        for start in range(0, len(keys), _CHUNK):
            rows = connection.execute(
                "SELECT k FROM unnest(%s::text[]) WITH ORDINALITY AS t(k, n) WHERE NOT EXISTS"
                " (SELECT 1 FROM ingestion_events e WHERE e.key = k) ORDER BY n",
                [keys[start : start + _CHUNK]],
            ).fetchall()
            missing += [key for (key,) in rows]
    return missing
