"""Files of rows that a rollback set aside, read into a database of this machine's own.

What lines say of the same row is brought together there, whatever the size of the files, and each
row's outcome is noted beside it.
"""

import json
import sqlite3
import threading
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

import zstandard

from activities.adapters.processes import Stopped, in_stoppable_thread
from slipway.errors import BackupFailed, BadInput
from slipway.judgements.rows_file import (
    LONGEST_LINE,
    NoRow,
    RowVerdict,
    Values,
    Wish,
    merged,
    placed,
    read_line,
)
from slipway.messages.reapply import Chosen, RowChoice, RowOutcome

LARGEST = 64 * 1024**3
"""Bytes that a file of rows may hold unpacked."""
_MOST_WINDOW = 128 * 1024 * 1024
_PIECE = 1024 * 1024
_LOOK = 4096
_MADE = """
CREATE TABLE wish (
    number INTEGER PRIMARY KEY, "table" TEXT NOT NULL, key TEXT NOT NULL, file TEXT NOT NULL,
    line INTEGER NOT NULL, document TEXT NOT NULL, outcome TEXT NOT NULL DEFAULT '',
    sqlstate TEXT NOT NULL DEFAULT '', because TEXT NOT NULL DEFAULT '',
    UNIQUE ("table", key));
CREATE INDEX by_table ON wish ("table", outcome, number);
"""


@dataclass(frozen=True)
class Kept:
    """A wish, and its number."""

    number: int
    wish: Wish
    key: Values
    """What identifies the row; empty where the table has no key."""
    mark: str
    """What identifies the line, for ever: an object is written once."""


@dataclass(frozen=True)
class Shape:
    """A table as it is now."""

    key: list[str]
    """The columns of its primary key; empty where it has none."""
    columns: list[str]


class _Picks:
    """Choices of rows, and which of them no row has answered to so far."""

    def __init__(self, choices: list[RowChoice]) -> None:
        keys = [None if one.key is None else json.dumps(one.key) for one in choices]
        self._wanted = {(one.table, key): one for one, key in zip(choices, keys, strict=True)}
        self.unmet = dict(self._wanted)

    def __bool__(self) -> bool:
        return bool(self._wanted)

    def hold(self, table: str, key: str) -> bool:
        """Whether a row is among them."""
        met = self._wanted.keys() & {(table, None), (table, key)}
        for one in met:
            self.unmet.pop(one, None)
        return bool(met)


class Spool:
    """Wishes by table. Made by `spooling`."""

    def __init__(
        self, connection: sqlite3.Connection, shapes: Mapping[str, Shape], chosen: Chosen
    ) -> None:
        """`shapes`: every table of the database. `chosen`: rows to leave out are not read in."""
        self._connection = connection
        self._only, self._without = _Picks(chosen.only), _Picks(chosen.without)
        self._keys = {name: one.key for name, one in shapes.items()}
        self._columns = {name: one.columns for name, one in shapes.items()}

    async def read(self, name: str, packed: Path) -> None:
        """Read one file of rows. Raises BadInput when it is none, or larger than it can be,
        BackupFailed where there is no room for it."""
        await in_stoppable_thread(lambda stop: self._read(name, packed, stop))

    def _read(self, name: str, packed: Path, stop: threading.Event) -> None:
        try:
            for number, line in enumerate(_lines(packed), start=1):
                if number % _LOOK == 0 and stop.is_set():
                    raise Stopped
                self._add(name, number, placed(read_line(line), self._columns))
        except (NoRow, zstandard.ZstdError) as error:
            raise BadInput(f"{name} is no file of rows: {error}.", _REMEDY) from None
        except sqlite3.OperationalError as error:
            raise BackupFailed(
                f"{name} cannot be unpacked where the worker runs: {error}.",
                "Free disk space there, or point TMPDIR elsewhere.",
            ) from None

    def _add(self, file: str, line: int, wish: Wish) -> None:
        names = self._keys.get(wish.table) or []
        identified = names and not wish.hopeless and all(one in wish.values for one in names)
        key = {one: wish.values[one] for one in names} if identified else {}
        text = json.dumps(list(key.values())) if key else f"#{file}#{line}"
        if not self._is_chosen(wish.table, text):
            return
        before = self._connection.execute(
            'SELECT number, document FROM wish WHERE "table" = ? AND key = ?', [wish.table, text]
        ).fetchone()
        if before is not None:
            wish = merged(_wish(before[1]), wish)
            self._connection.execute("DELETE FROM wish WHERE number = ?", [before[0]])
        self._connection.execute(
            'INSERT INTO wish ("table", key, file, line, document) VALUES (?, ?, ?, ?, ?)',
            [wish.table, text, file, line, json.dumps(asdict(wish))],
        )

    def _is_chosen(self, table: str, key: str) -> bool:
        only, without = self._only.hold(table, key), self._without.hold(table, key)
        return (only or not self._only) and not without

    def unmet(self) -> list[RowChoice]:
        """Choices that no row of the files answers to."""
        return [*self._only.unmet.values(), *self._without.unmet.values()]

    def tables(self) -> list[str]:
        """The tables of which the files speak."""
        found = self._connection.execute('SELECT DISTINCT "table" FROM wish ORDER BY 1')
        return [name for (name,) in found]

    def batch(self, table: str, outcome: str, after: int, most: int) -> list[Kept]:
        """Return the next rows of a table that came out so; "" is not yet."""
        found = self._connection.execute(
            'SELECT number, document, key FROM wish WHERE "table" = ? AND outcome = ?'
            " AND number > ? ORDER BY number LIMIT ?",
            [table, outcome, after, most],
        ).fetchall()
        return [self._kept(number, _wish(text), key) for number, text, key in found]

    def _kept(self, number: int, wish: Wish, key: str) -> Kept:
        names = [] if key.startswith("#") else self._keys[wish.table]
        return Kept(number, wish, {one: wish.values[one] for one in names}, key)

    def note(self, number: int, verdict: RowVerdict) -> None:
        """Note what became of a row."""
        self._connection.execute(
            "UPDATE wish SET outcome = ?, sqlstate = ?, because = ? WHERE number = ?",
            [verdict.outcome, verdict.sqlstate, verdict.because[:500], number],
        )

    def counts(self) -> dict[str, dict[str, int]]:
        """Return how many rows of each table came out how."""
        found: dict[str, dict[str, int]] = {}
        for table, outcome, count in self._connection.execute(
            'SELECT "table", outcome, count(*) FROM wish GROUP BY 1, 2 ORDER BY 1, 2'
        ):
            found.setdefault(table, {})[outcome] = count
        return found

    def outcomes(self, wanted: Collection[str] = ()) -> Iterator[RowOutcome]:
        """Yield the outcome of every row in order, or of those that came out so."""
        for file, line, document, key, table, outcome, state, because in self._connection.execute(
            'SELECT file, line, document, key, "table", outcome, sqlstate, because'
            " FROM wish ORDER BY number"
        ):
            if not wanted or outcome in wanted:
                yield RowOutcome(
                    file=file,
                    line=line,
                    kind=str(json.loads(document)["kind"]),
                    table=table,
                    key="" if key.startswith("#") else key,
                    outcome=outcome,
                    sqlstate=state,
                    because=because,
                )


def _wish(text: str) -> Wish:
    return Wish(**json.loads(text))


_REMEDY = "Its digest is what the record says: it was written by another version of slipway."


@contextmanager
def spooling(folder: Path, shapes: Mapping[str, Shape], chosen: Chosen) -> Iterator[Spool]:
    """Make an empty spool in a folder."""
    connection = sqlite3.connect(
        folder / "rows.sqlite", isolation_level=None, check_same_thread=False
    )
    try:
        connection.executescript(f"PRAGMA journal_mode = OFF; PRAGMA synchronous = OFF; {_MADE}")
        yield Spool(connection, shapes, chosen)
    finally:
        connection.close()


def _lines(packed: Path) -> Iterator[bytes]:
    """Unpack a file line by line. Raises NoRow when it is cut off or beyond what we write."""
    left, rest = LARGEST, b""
    unpacker = zstandard.ZstdDecompressor(max_window_size=_MOST_WINDOW)
    with packed.open("rb") as raw, unpacker.stream_reader(raw, read_size=_PIECE) as reader:
        while piece := reader.read(_PIECE):
            left -= len(piece)
            *whole, rest = (rest + piece).split(b"\n")
            yield from whole
            if left < 0 or len(rest) > LONGEST_LINE:
                raise NoRow(f"it is larger than {LARGEST >> 30} GiB, or one row of it is too large")
    if rest:
        raise NoRow("its last line is cut off")
