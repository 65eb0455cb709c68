"""Connections to a database that is fenced, renamed and swapped while services use it."""

import asyncio
import time
from collections import deque
from collections.abc import Sequence
from typing import Any, LiteralString

import psycopg
from psycopg.rows import DictRow, dict_row

_FRESH = 0.5
"""Seconds that an idle connection is trusted without asking."""


class Pool:
    """At most `size` connections; each is checked before use, broken ones are thrown away."""

    def __init__(self, address: str, size: int = 4) -> None:
        self._address = address
        self._slots = asyncio.Semaphore(size)
        self._idle: deque[tuple[float, psycopg.AsyncConnection[DictRow]]] = deque()

    async def run(self, query: LiteralString, values: Sequence[Any] = ()) -> list[dict[str, Any]]:
        """Run one statement in its own transaction; return its rows.

        Raises psycopg.Error, OperationalError while the database cannot be reached.
        """
        async with self._slots:
            connection = await self._take()
            try:
                cursor = await connection.execute(query, values)
                rows = await cursor.fetchall() if cursor.description else []
            except BaseException:
                await connection.close()
                raise
            self._idle.append((time.monotonic(), connection))
            return rows

    async def close(self) -> None:
        """Close the idle connections."""
        while self._idle:
            await self._idle.pop()[1].close()

    async def _take(self) -> psycopg.AsyncConnection[DictRow]:
        while self._idle:
            used_at, connection = self._idle.pop()
            if time.monotonic() - used_at < _FRESH and not connection.closed:
                return connection
            try:
                await connection.execute("")
            except psycopg.Error:
                await connection.close()
                continue
            return connection
        return await psycopg.AsyncConnection.connect(
            self._address, autocommit=True, row_factory=dict_row, connect_timeout=3
        )
