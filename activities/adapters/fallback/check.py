"""The comparison of a copy with production before the two are swapped.

What takes long is done while following (`record`), once after each migration, and kept in the copy.
A rollback reads it, compares what is missing as far as a moment suffices, and looks again at single
rows and small tables once production is closed: that is exact, and takes no longer the larger the
database is. What was not compared is said.
"""

import asyncio
import json
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import psycopg
import zstandard
from psycopg import sql

from activities.adapters.fallback import compare as comparing
from activities.adapters.fallback.catalog import NotCarried
from activities.adapters.fallback.changes import carried_now
from activities.adapters.fallback.compare import Arrive, Comparison
from activities.adapters.fallback.pairs import Half, Pair, carried, pairs
from activities.adapters.postgres.sessions import Connection, row
from slipway.errors import FallbackDiffers
from slipway.judgements.comparison import differing
from slipway.messages.migration import TableCompared
from slipway.messages.record import BackupTaken

_MOMENT = 1.0
"""Seconds that a rollback takes, before production is closed, for what was not compared yet."""
_RATE = 100 * 1024 * 1024
"""Bytes of a table that are compared in a second, at most."""
_CLOSED = 0.2
"""Seconds that production stays closed longer for it, at most; and bytes of a table that is
compared then as a whole."""
_SMALL = 4 * 1024 * 1024

_EPOCH = "SELECT epoch FROM slipway_fallback.position"
_KEPT = """
SELECT c.found::text FROM slipway_fallback.comparison c
JOIN slipway_fallback.position p ON p.epoch = c.epoch"""
_KEEP = """
INSERT INTO slipway_fallback.comparison (epoch, found)
SELECT epoch, %s::jsonb FROM slipway_fallback.position
ON CONFLICT (epoch) DO UPDATE SET found = excluded.found, at = now()"""


async def record(production: Connection, side: Connection, arrive: Arrive) -> Comparison:
    """Compare what was not compared in this epoch yet, one table after the other, while both are
    written to; keep the result in the copy, which may be asked for at any time."""
    epoch = await row(side, _EPOCH)
    found = await kept(side)
    known, _ = await pairs(production, side)
    for pair in known:
        if pair.name not in found.tables:
            _add(found, await comparing.compare(production, side, arrive, [pair]))
            if await row(side, _EPOCH) != epoch:
                break
            await _keep(side, found)
    return found


async def kept(side: Connection) -> Comparison:
    """Return what was compared since the copy's newest epoch began; before a swap that is all that
    was found."""
    there = await row(side, "SELECT to_regclass('slipway_fallback.comparison') IS NOT NULL")
    found = await row(side, _KEPT) if there and there[0] else None
    return Comparison.model_validate_json(found[0]) if found else Comparison()


async def _keep(side: Connection, found: Comparison) -> None:
    await side.execute(_KEEP, [found.model_dump_json()])


def _add(found: Comparison, more: Comparison) -> None:
    found.tables.update(more.tables)
    found.open.update(more.open)
    found.certain.extend(more.certain)


class Check:
    """One rollback's comparison."""

    def __init__(self, backup: BackupTaken, *, accepted: bool = False) -> None:
        """`accepted`: a person knows that rows differ, and wants the swap."""
        self._backup = backup
        self._accepted = accepted
        self._found = Comparison()
        self._known: list[Pair] = []

    @property
    def tables(self) -> list[TableCompared]:
        """What was found so far."""
        return [self._found.tables[name] for name in sorted(self._found.tables)]

    async def before(
        self, production: Connection, side: Connection, arrive: Arrive, say: Callable[[str], None]
    ) -> None:
        """While production is open: compare what was not compared while following.

        Raises FallbackDiffers for rows that differ for certain.
        """
        say("comparing the copy with production")
        began = time.monotonic()
        self._known, left = await pairs(production, side)
        self._found = await kept(side)
        self._found.changes[:] = await self._changes(production, side)
        await self._settle(production, side, arrive, _MOMENT)
        tables = self._found.tables
        for name, why in left.items():
            tables[name] = TableCompared(table=name, left=why)
        for pair in list(self._known):
            if pair.name not in tables:
                seconds = _MOMENT - (time.monotonic() - began)
                await self._within(seconds, production, side, arrive, pair)
        self._judge(self._found.certain)

    async def _settle(
        self, production: Connection, side: Connection, arrive: Arrive, seconds: float
    ) -> None:
        """Read again what was under way while following; where that takes too long, it is left to
        the last look."""
        trial = self._found.model_copy(deep=True)
        seen = [one for one in self._known if one.name in trial.tables]
        try:
            async with asyncio.timeout(seconds):
                await comparing.settle(production, side, arrive, seen, trial)
        except TimeoutError:
            self._found.certain.clear()
        else:
            self._found = trial

    async def _within(
        self, seconds: float, production: Connection, side: Connection, arrive: Arrive, pair: Pair
    ) -> None:
        hopeless = pair.size > _RATE * seconds  # not begun, lest it takes the rest of the moment

        async def compare() -> None:
            async with asyncio.timeout(0.0 if hopeless else seconds):
                _add(self._found, await comparing.compare(production, side, arrive, [pair]))

        try:
            await self._try(pair, compare())
        except TimeoutError:
            why = f"no time: it was not compared while following, and has {pair.size >> 20} MB"
            self._leave(pair, why)

    async def _try(self, pair: Pair, work: Awaitable[None]) -> None:
        """What the server cannot compare is said; it must not hold up a rollback."""
        try:
            await work
        except psycopg.OperationalError:
            raise
        except psycopg.Error as error:
            self._leave(pair, f"the server refused: {' '.join(str(error).split())[:200]}")
            self._known = [one for one in self._known if one is not pair]

    def _leave(self, pair: Pair, why: str) -> None:
        self._found.tables[pair.name] = TableCompared(table=pair.name, left=why)

    async def _changes(self, production: Connection, side: Connection) -> list[str]:
        fallback = self._backup.fallback
        told = fallback.not_carried if fallback else []
        parts = [one.partition(": ") for one in told]
        left = [NotCarried(table=table, why=why) for table, _, why in parts]
        return await carried_now(production, await carried(side), left)

    async def closed(self, production: Connection, side: Connection) -> None:
        """While production is closed and drained: look again at rows that were under way, and at
        small tables; keep what was found in the copy.

        Raises FallbackDiffers for rows that differ.
        """
        until = time.monotonic() + _CLOSED
        for pair in list(self._known):
            await self._try(pair, self._last_look(production, side, pair, until))
        self._judge(list(self._found.tables))
        await _keep(side, self._found)  # the swap may be the last that this attempt does

    async def _last_look(
        self, production: Connection, side: Connection, pair: Pair, until: float
    ) -> None:
        small = pair.size <= _SMALL
        if small and await self._whole(production, side, pair, until - time.monotonic()):
            return
        if small or (pair.key and pair.same_key):
            await comparing.settle(production, side, _at_once, [pair], self._found, rounds=1)
        elif self._found.tables[pair.name].unexplained:
            self._leave(pair, "rows of it were being written, and it is too large for a last look")

    async def _whole(
        self, production: Connection, side: Connection, pair: Pair, seconds: float
    ) -> bool:
        """Compare all of a table; return whether the time was enough."""
        trial = self._found.model_copy(deep=True)
        try:
            async with (
                asyncio.timeout(max(0.0, seconds)),
                comparing.same_moment(production, side),
            ):
                await comparing.whole(production, side, pair, trial)
        except TimeoutError:
            return False
        table = trial.tables[pair.name]
        trial.tables[pair.name] = table.model_copy(update={"closed": True})
        self._found = trial
        return True

    def _judge(self, names: list[str]) -> None:
        """Raise when a row of one of these tables differs without a reason."""
        wrong = [one for one in self.tables if one.unexplained]
        if any(one.table in names for one in wrong) and not self._accepted:
            raise FallbackDiffers(
                f"The copy differs from production, and nothing says why: {differing(wrong)}.",
                "Look at the rows, then decide whether it is swapped in all the same.",
            )

    async def write(self, production: Connection, side: Connection, file: Path) -> int:
        """Write the rows that differ to a file, as each of the two has them now; return how
        many documents it holds."""
        count = 0
        with file.open("wb") as raw, zstandard.ZstdCompressor().stream_writer(raw) as packed:
            for pair in self._known:
                keys = self._found.open.get(pair.name, [])
                for which, session, half in (
                    ("production", production, pair.production),
                    ("copy", side, pair.side),
                ):
                    for document in await _documents(session, pair, half, keys) if keys else []:
                        line = {"in": which, "table": pair.name, "row": document}
                        packed.write(json.dumps(line, ensure_ascii=False).encode() + b"\n")
                        count += 1
        return count


async def _at_once() -> None:
    """Nothing is under way."""


async def _documents(session: Connection, pair: Pair, half: Half, keys: list[str]) -> list[Any]:
    where, values = comparing.found_by(pair, half, keys)
    query = sql.SQL("SELECT to_jsonb(slipway_t) FROM {} AS slipway_t WHERE {}")
    cursor = await session.execute(query.format(half.table, where), values)
    return [one for (one,) in await cursor.fetchall()]
