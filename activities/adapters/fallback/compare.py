"""Compares a side database that follows with production, row by row, while both are written to.

Both are read at nearly the same moment, in buckets of rows by their key, hashed on the server. Only
where a bucket differs its rows are fetched, as hashes and one bucket after the other, so that a
large table costs two reads of each side and little memory. What differs then was either under way,
and is read again behind a marker until it is equal; or it is explained (`fallback_reasons`); or it
is neither, and must be known before a swap. Once production is closed nothing is under way.
"""

import itertools
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

from psycopg import sql

from activities.adapters.fallback.conflicts import key_text
from activities.adapters.fallback.pairs import Half, Pair
from activities.adapters.fallback.reasons import Reasons, key_values, reasons
from activities.adapters.postgres.sessions import Connection
from activities.uninterrupted import uninterrupted
from slipway.base import Message
from slipway.messages.migration import TableCompared

_BUCKETS = 4096
MOST_KEYS = 1_000
"""Keys of one table that are read again; with more the table is compared again as a whole."""
_ROUNDS = 5
"""Looks at what differed, until it is equal, explained, or known to stay."""
_WHOLE = 3
"""Comparisons of a whole table in which too much was under way."""

Arrive = Callable[[], Awaitable[object]]
"""Waits until the side database has what production has committed so far."""
_Rows = dict[str, tuple[int, bool]]
"""By key: the hash of the row (of rows without a key: their hash, how many), and whether a
migration itself has written it."""


class Comparison(Message):
    """What was found. It is kept in the side database."""

    tables: dict[str, TableCompared] = {}
    """By the old name, `schema.table`."""
    open: dict[str, list[str]] = {}
    """By the same: keys, as records have them, of rows that are neither equal nor explained yet.
    There may be more of them than are named; `TableCompared.unexplained` counts them."""
    certain: list[str] = []
    """Tables with such rows that did not change between two looks: they are not under way."""
    changes: list[str] = []
    """Sentences: what a migration did that cannot be followed."""


async def compare(
    production: Connection, side: Connection, arrive: Arrive, wanted: Sequence[Pair]
) -> Comparison:
    """Compare tables on two sessions in autocommit mode; raises what `arrive` raises."""
    found = Comparison()
    left = list(wanted)
    for _ in range(_WHOLE):
        await arrive()
        async with same_moment(production, side):
            for pair in left:
                await whole(production, side, pair, found)
        await settle(production, side, arrive, left, found)
        left = [one for one in left if found.tables[one.name].unexplained > MOST_KEYS]
        if not left:
            break
    found.certain.extend(one.name for one in left)
    return found


@asynccontextmanager
async def same_moment(production: Connection, side: Connection) -> AsyncIterator[None]:
    """Read both as they are now while the block lasts."""
    async with AsyncExitStack() as stack:
        for session in (production, side):
            await stack.enter_async_context(session.transaction())
            await session.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY")
        for session in (production, side):  # both snapshots now, not with the first tables
            await session.execute("SELECT 1")
        yield


async def settle(
    production: Connection,
    side: Connection,
    arrive: Arrive,
    known: Sequence[Pair],
    found: Comparison,
    rounds: int = _ROUNDS,
) -> None:
    """Read again what differed, behind a marker, until it is equal or explained."""
    last: dict[tuple[str, str], object] = {}
    for _ in range(rounds):
        again = [one for one in known if 0 < found.tables[one.name].unexplained <= MOST_KEYS]
        if not again:
            break
        names = {one.name for one in again}
        found.certain[:] = [one for one in found.certain if one not in names]
        seen = {}
        for pair in again:
            why = await reasons(side, pair)
            keys = found.open[pair.name]
            seen[pair.name] = await _read(production, pair, pair.production, keys, why.own)
        await arrive()
        for pair in again:
            keys, before = found.open.pop(pair.name), seen[pair.name]
            there = await _read(side, pair, pair.side, keys, [])
            table = found.tables[pair.name]
            found.tables[pair.name] = table.model_copy(update={"unexplained": 0, "keys": []})
            judge(pair, before, there, await reasons(side, pair), found)
            left = found.open.get(pair.name, [])
            stays = {(pair.name, key): (before.get(key), there.get(key)) for key in left}
            if any(last.get(one) == both for one, both in stays.items()):
                found.certain.append(pair.name)
            last.update(stays)


async def whole(production: Connection, side: Connection, pair: Pair, found: Comparison) -> None:
    """Compare all of a table, in transactions that were begun; nothing is read again."""
    ours, theirs = await _buckets(production, pair.production), await _buckets(side, pair.side)
    odd = sorted(one for one in ours.keys() | theirs.keys() if ours.get(one) != theirs.get(one))
    count = sum(number for number, _ in theirs.values())
    found.open.pop(pair.name, None)
    found.tables[pair.name] = TableCompared(
        table=pair.name, rows=count, without=list(pair.left_out)
    )
    if not odd:
        return
    why = await reasons(side, pair)
    async with AsyncExitStack() as stack:
        streams = [
            await stack.enter_async_context(_streamed(*one))
            for one in (
                (production, pair, pair.production, odd, why.own),
                (side, pair, pair.side, odd, []),
            )
        ]
        for bucket in odd:
            before, there = [await one.take(bucket) for one in streams]
            judge(pair, before, there, why, found)


async def _buckets(session: Connection, half: Half) -> dict[int, tuple[int, str]]:
    query = sql.SQL(
        "SELECT ({identity} & {mask})::int, count(*), sum({content}::numeric)::text FROM {table}"
        " GROUP BY 1"
    ).format(identity=half.identity, mask=_MASK, content=half.content, table=half.table)
    cursor = await session.execute(query)
    return {bucket: (count, total) for bucket, count, total in await cursor.fetchall()}


_MASK = sql.Literal(_BUCKETS - 1)


class _Stream:
    """Rows of one half, in order of their buckets."""

    def __init__(self, found: "AsyncIterator[tuple[Any, ...]]", keyed: bool) -> None:
        self._found = found
        self._keyed = keyed
        self._next: tuple[Any, ...] | None = None

    async def take(self, bucket: int) -> _Rows:
        """Return the rows of a bucket; earlier ones were taken before."""
        taken: list[tuple[Any, ...]] = []
        while True:
            one = self._next or await anext(self._found, None)
            self._next = one
            if one is None or one[0] != bucket:
                return _keyed(taken, self._keyed)
            taken.append(one[1:])
            self._next = None


@asynccontextmanager
async def _streamed(
    session: Connection, pair: Pair, half: Half, buckets: list[int], own: list[str]
) -> AsyncIterator[_Stream]:
    query = sql.SQL(
        "SELECT ({identity} & {mask})::int, {key}, {content}, xmin::text = ANY(%s) FROM {table}"
        " WHERE ({identity} & {mask}) = ANY(%s) ORDER BY 1"
    ).format(
        identity=half.identity,
        mask=_MASK,
        key=half.printed_key,
        content=half.content,
        table=half.table,
    )
    cursor = session.cursor(name="slipway_compare")
    cursor.itersize = 10_000
    try:
        await cursor.execute(query, [own, buckets])
        yield _Stream(aiter(cursor), bool(pair.key))
    finally:  # a comparison may be stopped twice: by the follower's look, and by its end
        await uninterrupted(cursor.close())


async def _read(
    session: Connection, pair: Pair, half: Half, keys: list[str], own: list[str]
) -> _Rows:
    where, values = found_by(pair, half, keys)
    query = sql.SQL("SELECT {}, {}, xmin::text = ANY(%s) FROM {} WHERE {}").format(
        half.printed_key, half.content, half.table, where
    )
    cursor = await session.execute(query, [own, *values])
    return _keyed(await cursor.fetchall(), bool(pair.key))


def found_by(pair: Pair, half: Half, keys: list[str]) -> tuple[sql.Composable, list[Any]]:
    """Return the condition that finds rows by their keys, and its values: by the key's index
    where that has the same types in both."""
    if not pair.key:
        return sql.SQL("{} = ANY(%s::bigint[])").format(half.content), [keys]
    if not pair.same_key:
        return sql.SQL("to_jsonb({}) = ANY(%s::jsonb[])").format(half.printed_key), [keys]
    one = sql.SQL(" AND ").join(sql.SQL("{} = %s").format(name) for name in half.key)
    where = sql.SQL(" OR ").join([sql.SQL("({})").format(one)] * len(keys))
    return where, list(itertools.chain.from_iterable(key_values(key) for key in keys))


def _keyed(found: Sequence[Sequence[Any]], keyed: bool) -> _Rows:
    if keyed:
        return {key_text(key): (content, own) for key, content, own in found}
    rows: _Rows = {}
    for _, content, own in found:
        count, known = rows.get(str(content), (0, False))
        rows[str(content)] = (count + 1, known or own)
    return rows


def judge(pair: Pair, before: _Rows, there: _Rows, why: Reasons, found: Comparison) -> None:
    """Add what differs between production (`before`) and the side database (`there`)."""
    table, keys = found.tables[pair.name], found.open.get(pair.name, [])
    recorded, migrated, unexplained = table.recorded, table.migrated, table.unexplained
    for key in before.keys() | there.keys():
        one, other = before.get(key, _NONE), there.get(key, _NONE)
        if one[0] == other[0]:
            continue
        if one[1] or why.skipped(key):
            migrated += 1
        elif why.recorded(key):
            recorded += 1
        else:
            unexplained += 1
            if len(keys) < MOST_KEYS:
                keys.append(key)
    if keys:
        found.open[pair.name] = keys
    found.tables[pair.name] = table.model_copy(
        update={
            "recorded": recorded,
            "migrated": migrated,
            "unexplained": unexplained,
            "keys": [pair.say(one) for one in keys[:_FIRST_KEYS]],
        }
    )


_NONE = (None, False)
_FIRST_KEYS = 5
