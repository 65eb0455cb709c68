"""Changes of production as statements on the old schema.

Only what is needed is written: a value that was not touched is left as it is, and with a whole old
row only what differs from it. So what a migration changed in a row stays out of the old data when
the application writes another column of that row.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from psycopg import sql

from activities.adapters.fallback.catalog import CarriedColumn
from activities.adapters.fallback.mapping import Mapped
from activities.adapters.fallback.protocol import UNCHANGED, Change, Op, Row, Value
from activities.adapters.fallback.side import Statement

_RUNS = (100, 20, 5, 1)
_MOST_VALUES = 4_000


class NoWay(Exception):
    """A change that no statement on the old schema can express; the sentence says why."""

    at = 0
    """Which of the given changes it is."""


@dataclass(frozen=True)
class Work:
    """A statement, what it must do, and which of the given changes it stands for."""

    statement: Statement
    first: int
    last: int
    """Changes `first` to `last`, the end not included."""
    rows: int | None
    """How many rows it must hit; None: any number."""
    sent: Sequence[Sequence[bytes | None]] = ()
    """What each row must read back as; empty: nothing is compared."""
    kind: Op = Op.INSERT


class Writer:
    """Makes statements for one table in one state."""

    def __init__(self, mapped: Mapped) -> None:
        """`mapped`: laid onto an old table that exists."""
        assert mapped.carried is not None
        self._mapped = mapped
        table = sql.Identifier(mapped.carried.schema_name, mapped.carried.table).as_string(None)
        self._table = table
        self._only = table if mapped.carried.partitioned else f"ONLY {table}"
        self._texts: dict[tuple[object, ...], bytes] = {}
        columns = enumerate(mapped.columns)
        self._written = [at for at, one in columns if one is not None and not one.generated]
        computed = [at for at, one in enumerate(mapped.columns) if one and one.generated]
        self._checked = [*(at for at in self._written if at in mapped.checks), *computed]
        self._key, self._gone = self._find_key()
        self._most = max(1, _MOST_VALUES // max(1, len(self._written)))
        self._fixed = [at for at in self._written if self._column(at).identity == "a"]
        self._settable = [at for at in self._written if at not in self._fixed]
        self._odd = [*self._checked, *(at for at in self._fixed if at not in self._checked)]
        self._plain = [at for at in self._settable if at not in self._key]

    def _find_key(self) -> tuple[list[int], bool]:
        """Positions that identify a row when its whole old row is not sent, and whether a part of
        that key is unknown to the old schema."""
        columns, relation = self._mapped.columns, self._mapped.relation
        if relation.identity == "f":
            return [at for at, one in enumerate(columns) if one is not None and one.key], False
        flagged = [at for at, one in enumerate(relation.columns) if one.key]
        return flagged, any(columns[at] is None for at in flagged)

    def _column(self, at: int) -> CarriedColumn:
        column = self._mapped.columns[at]
        assert column is not None
        return column

    def _name(self, at: int) -> str:
        return sql.Identifier(self._column(at).name).as_string(None)

    def _text(self, shape: tuple[object, ...], build: Callable[[], str]) -> bytes:
        found = self._texts.get(shape)
        if found is None:
            found = self._texts[shape] = build().encode()
        return found

    def _returning(self, positions: Iterable[int]) -> str:
        words = []
        for at in positions:
            kind = self._mapped.checks.get(at, "")
            words.append(f"{self._name(at)}::{kind}" if kind else self._name(at))
        return f" RETURNING {', '.join(words)}" if words else ""

    def inserts(self, new: Sequence[Row], first: int) -> Iterable[Work]:
        """Statements that insert rows, several in each; the first is the change `first`."""
        if self._mapped.keyless:
            raise NoWay("a column of the old primary key is gone")
        at = 0
        while at < len(new):
            left = min(len(new) - at, self._most if self._written else 1)
            size = next(one for one in _RUNS if one <= left)
            yield self._insert(new[at : at + size], first + at)
            at += size

    def _insert(self, new: Sequence[Row], first: int) -> Work:
        written = self._written
        values = [known(row[at]) for row in new for at in written]
        text = self._text(("insert", len(new)), lambda: self._insert_text(len(new)))
        sent = [[known(row[at]) for at in self._checked] for row in new] if self._checked else ()
        return Work(Statement(text, values), first, first + len(new), len(new), sent)

    def _insert_text(self, count: int) -> str:
        width = len(self._written)
        if not width:
            return f"INSERT INTO {self._table} DEFAULT VALUES{self._returning(self._checked)}"
        names = ", ".join(map(self._name, self._written))
        always = any(self._column(at).identity == "a" for at in self._written)
        rows = (
            f"({', '.join(f'${row * width + n + 1}' for n in range(width))})"
            for row in range(count)
        )
        return (
            f"INSERT INTO {self._table} ({names}){' OVERRIDING SYSTEM VALUE' if always else ''}"
            f" VALUES {', '.join(rows)}{self._returning(self._checked)}"
        )

    def update(self, change: Change, first: int) -> Work | None:
        """The statement that updates a row; None when it changes nothing that the old schema has.

        Raises NoWay when the row cannot be found, or not be written, by what was sent.
        """
        new = change.new
        assert new is not None
        touched = self._touched(new, change.old, change.whole)
        if not touched:
            return None
        by = self._found_by(change)
        given = [known(new[at]) for at in touched]
        read = self._read(new, touched, change.old is None)
        text = self._text(
            ("update", *touched, None, *read),
            lambda: (
                f"UPDATE {self._only} SET {self._sets(touched)} WHERE {self._where(len(touched))}"
                f"{self._returning(read)}"
            ),
        )
        sent = [[known(new[at]) for at in read]] if read else ()
        return Work(Statement(text, [*given, *by]), first, first + 1, 1, sent, Op.UPDATE)

    def _read(self, new: Row, touched: Sequence[int], keyed: bool) -> list[int]:
        """The positions to read back after an UPDATE: what may have been written otherwise, and
        what is not written but computed or fixed."""
        if not self._odd:
            return []
        found = [at for at in self._odd if at in touched or at not in self._settable]
        kept = self._fixed if not keyed else [at for at in self._fixed if at in self._key]
        return [at for at in found if new[at] is not UNCHANGED and at not in kept]

    def _touched(self, new: Row, old: Row | None, whole: bool) -> Sequence[int]:
        """The positions to set."""
        if old is None:
            wanted = self._plain
            return [at for at in wanted if new[at] is not UNCHANGED] if UNCHANGED in new else wanted
        for at in self._fixed:
            if (whole or at in self._key) and new[at] is not UNCHANGED and new[at] != old[at]:
                name = self._column(at).name
                raise NoWay(f"{name} is GENERATED ALWAYS: the old schema forbids to change it")
        return [
            at
            for at in self._settable
            if new[at] is not UNCHANGED and not (whole and new[at] == old[at])
        ]

    def _sets(self, touched: Sequence[int]) -> str:
        return ", ".join(f"{self._name(at)} = ${n + 1}" for n, at in enumerate(touched))

    def delete(self, change: Change, first: int) -> Work:
        """The statement that deletes a row. Raises NoWay when it cannot be found."""
        by = self._found_by(change)
        text = self._text(("delete",), lambda: f"DELETE FROM {self._only} WHERE {self._where(0)}")
        return Work(Statement(text, by), first, first + 1, 1, kind=Op.DELETE)

    def truncate(self, first: int) -> Work:
        """The statement that empties the table."""
        text = f"TRUNCATE {self._only}".encode()
        return Work(Statement(text), first, first + 1, None, kind=Op.TRUNCATE)

    def empty(self) -> Work:
        """The same, slower: a foreign key that production no longer has forbids TRUNCATE."""
        text = f"DELETE FROM {self._only}".encode()
        return Work(Statement(text), 0, 1, None, kind=Op.TRUNCATE)

    def _found_by(self, change: Change) -> list[bytes | None]:
        """The values that find the change's row."""
        source = change.old if change.old is not None else change.new
        assert source is not None
        if self._gone:
            raise NoWay("production identifies rows by a column that the old schema lacks")
        if self._mapped.keyless:
            raise NoWay("a column of the old primary key is gone")
        if not self._key and not change.whole:
            raise NoWay("production sent nothing that identifies the row")
        return [known(source[at]) for at in self._key or self._written]

    def _where(self, given: int) -> str:
        """The condition that finds a row, its values numbered after `given` others."""
        if self._key:
            return " AND ".join(
                f"{self._name(at)} OPERATOR({_quoted(self._column(at).equals)}.=) ${given + n + 1}"
                for n, at in enumerate(self._key)
            )
        words = []  # no key: any one row that equals the whole old row
        for n, at in enumerate(self._written):
            name, number = self._name(at), given + n + 1
            if at in self._mapped.checks:
                words.append(f"{name} IS NOT DISTINCT FROM ${number}")
            else:  # as it is printed: also for types that have no equality
                words.append(
                    f"CASE WHEN {name} IS NULL THEN ${number}::text IS NULL"
                    f" ELSE format('%s', {name}) = ${number} END"
                )
        one = f"SELECT tableoid, ctid FROM {self._only} WHERE {' AND '.join(words)} LIMIT 1"
        return f"(tableoid, ctid) = ({one})"

    def heal(self, change: Change) -> Work:
        """Insert the row of an UPDATE that found none. Raises NoWay when a value is missing."""
        assert change.new is not None
        old = change.old if change.whole and change.old is not None else change.new
        row = [b if a is UNCHANGED else a for a, b in zip(change.new, old, strict=True)]
        if any(row[at] is UNCHANGED for at in self._written):
            raise NoWay("the row is missing, and a large value of it was not sent")
        return next(iter(self.inserts([row], 0)))


def works(changes: Sequence[tuple[Writer, Change]]) -> list[Work]:
    """Make the statements of changes in order; inserts into one table that follow each other
    share statements. Raises NoWay with the number of a change that cannot be expressed."""
    made: list[Work] = []
    at = 0
    while at < len(changes):
        writer, change = changes[at]
        end = at + 1
        try:
            if change.op is Op.INSERT:
                while end < len(changes) and _joins(changes[end], writer):
                    end += 1
                made += writer.inserts([one.new or [] for _, one in changes[at:end]], at)
            elif (work := _work(writer, change, at)) is not None:
                made.append(work)
        except NoWay as error:
            error.at = at
            raise
        at = end
    return made


def _joins(change: tuple[Writer, Change], writer: Writer) -> bool:
    return change[0] is writer and change[1].op is Op.INSERT


def _work(writer: Writer, change: Change, at: int) -> Work | None:
    if change.op is Op.UPDATE:
        return writer.update(change, at)
    return writer.delete(change, at) if change.op is Op.DELETE else writer.truncate(at)


def known(value: Value) -> bytes | None:
    """Return a value that must have been sent."""
    if value is UNCHANGED:
        raise NoWay("a large value of the row was not sent")
    return value


def _quoted(name: str) -> str:
    return sql.Identifier(name).as_string(None)
