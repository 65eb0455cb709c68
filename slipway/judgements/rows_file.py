"""Lines of the files in which a rollback sets rows aside, read as what must become of which row.

The files are written by slipway and their digests stand in the record; nothing in them is trusted
for all that: names count only where the database has them, values travel as parameters.
"""

import json
import re
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from slipway.messages.reapply import Outcome

LONGEST_LINE = 64 * 1024 * 1024
"""Bytes of one row; more is no row of ours."""
_CHANGES = ("refused", "altered", "invented")
_ROWS = ("missing", "changed", "added-table", "added-columns")
_BROKEN = ("orphan", "duplicate")
_NUMBER = re.compile(r"-?(0|[1-9]\d*)(\.\d+)?")
Values = dict[str, str | None]


@dataclass(frozen=True)
class RowVerdict:
    """What became of one row."""

    outcome: Outcome
    because: str = ""
    sqlstate: str = ""


class NoRow(ValueError):
    """A line that is none of ours; the sentence says why."""


@dataclass(frozen=True)
class Wish:
    """What must become of one row."""

    kind: str
    table: str
    """`schema.table`."""
    values: Values = field(default_factory=dict)
    """By column, as the server prints them."""
    gone: bool = False
    """Production had deleted it."""
    only_update: bool = False
    """It must stand there already."""
    partial: bool = False
    """Not all its columns are known: it can be changed but not made anew."""
    added: bool = False
    """The values are of columns that the old schema lacked: a default there is nobody's value."""
    old_key: Values = field(default_factory=dict)
    """What identified it before the change."""
    tables: tuple[str, ...] = ()
    """What else the table may be called: in the schema that was swapped out, in the old one."""
    names: dict[str, str] = field(default_factory=dict)
    """What that schema calls old columns, where it calls them otherwise."""
    hopeless: str = ""
    """Why nobody but a person can do anything about it."""


def read_line(line: bytes) -> Wish:
    """Read one line. Raises NoRow."""
    try:
        document = json.loads(line)
    except (ValueError, RecursionError):
        raise NoRow("it is no JSON document") from None
    if not isinstance(document, dict):
        raise NoRow("it is no JSON object")
    kind, table = document.get("kind"), document.get("table")
    if not isinstance(kind, str) or not isinstance(table, str) or not 2 < len(table) < 200:
        raise NoRow("it names no kind and table")
    if kind in _CHANGES:
        return _change(kind, table, document)
    if kind in _ROWS:
        return _row(kind, table, document)
    if kind in _BROKEN:
        count, constraint = str(document.get("count")), str(document.get("constraint"))
        because = f"{count} rows stand there already and break {constraint}: correct them by hand"
        return Wish(kind, table, hopeless=because[:300])
    raise NoRow(f"its kind {kind[:40]!r} is unknown")


def _change(kind: str, table: str, document: dict[str, Any]) -> Wish:
    wish = _changed(kind, table, document)
    tables = tuple(
        one
        for one in (document.get("new_table"), document.get("old_table"))
        if isinstance(one, str)
    )
    names = _values(document.get("names"))
    known = {name: other for name, other in names.items() if other is not None}
    return replace(wish, tables=tables, names=known)


def _changed(kind: str, table: str, document: dict[str, Any]) -> Wish:
    operation = document.get("operation")
    old, new = _values(document.get("old_row")), _values(document.get("new_row"))
    if operation == "truncate":
        return Wish(kind, table, hopeless="production had emptied the table: do it by hand")
    if operation == "delete":
        return Wish(kind, table, old, gone=True)
    if operation not in ("insert", "update"):
        raise NoRow(f"its operation {str(operation)[:40]!r} is unknown")
    values = {**new, **_values(document.get("unknown_row"))}
    return Wish(kind, table, values, partial=operation == "update", old_key=old)


def _row(kind: str, table: str, document: dict[str, Any]) -> Wish:
    values = _values(document.get("row"))
    if not values:
        raise NoRow("it holds no row")
    update = kind in ("changed", "added-columns")
    return Wish(kind, table, values, only_update=update, added=kind == "added-columns")


def _values(row: object) -> Values:
    if row is None:
        return {}
    if not isinstance(row, dict):
        raise NoRow("its row is no JSON object")
    if not all(value is None or isinstance(value, str) for value in row.values()):
        raise NoRow("a value of it is no text")
    return {str(name): value for name, value in row.items()}


def placed(wish: Wish, tables: Mapping[str, Collection[str]]) -> Wish:
    """Return a wish by the names that a database has now. `tables`: columns by table.

    A row that was refused is told by its old names; the schema may be the old one still, or that
    of a later release, which renames things again.
    """
    table = next((one for one in (wish.table, *wish.tables) if one in tables), wish.table)
    columns = tables.get(table, ())
    both = [f"{one} and {other}" for one, other in wish.names.items() if {one, other} <= {*columns}]
    if both and not wish.hopeless:
        because = f"a migration renames {', '.join(both)}: which one is meant cannot be told"
        return replace(wish, table=table, hopeless=because)
    called = {one: other for one, other in wish.names.items() if other in columns}
    return replace(
        wish,
        table=table,
        values={called.get(name, name): value for name, value in wish.values.items()},
        old_key={called.get(name, name): value for name, value in wish.old_key.items()},
    )


def merged(before: Wish, after: Wish) -> Wish:
    """Return what must become of a row of which two lines speak, the later one last."""
    if before.hopeless or after.gone or before.gone:
        return after
    if after.added:  # the last values of added columns, beside what did not fit
        return replace(before, values={**before.values, **after.values})
    whole = not (before.partial and after.partial)
    values = {**before.values, **after.values}  # a large value that was not touched is not sent
    return replace(after, values=values, partial=not whole, old_key=before.old_key or after.old_key)


def same(stands: str | None, wanted: str | None) -> bool:
    """Whether a value stands in the database as it is wanted: alike, or the same number."""
    if stands == wanted:
        return True
    if stands is None or wanted is None:
        return False
    if not (_NUMBER.fullmatch(stands) and _NUMBER.fullmatch(wanted)):
        return False
    return _trimmed(stands) == _trimmed(wanted)


def _trimmed(number: str) -> str:
    return number.rstrip("0").rstrip(".") if "." in number else number


def parents_first(tables: Collection[str], refers: Iterable[tuple[str, str]]) -> list[str]:
    """Order tables so that those that others refer to come first. `refers`: child and parent; in a
    circle the order is that of the names."""
    left = sorted(tables)
    wanted: Mapping[str, set[str]] = {one: set() for one in left}
    for child, parent in refers:
        if child in wanted and parent in wanted and child != parent:
            wanted[child].add(parent)
    done: list[str] = []
    while left:
        ready = [one for one in left if wanted[one] <= set(done)] or left[:1]
        done += ready
        left = [one for one in left if one not in done]
    return done
