"""PostgreSQL's logical replication messages (pgoutput, protocol 1), parsed.

Everything here comes from another program: lengths are checked by the slices that they cut.
"""

import struct
from dataclasses import dataclass
from enum import Enum
from typing import NamedTuple

_SHORT = struct.Struct("!h").unpack_from
_INT = struct.Struct("!I").unpack_from
_SIGNED = struct.Struct("!i").unpack_from
_BEGIN = struct.Struct("!QqI")
_COMMIT = struct.Struct("!BQQq")
_EMITTED = struct.Struct("!BQ")
_TRUNCATED = struct.Struct("!IB")


class Unchanged(Enum):
    """A large value that an UPDATE did not touch and the server therefore does not send."""

    VALUE = "unchanged"


UNCHANGED = Unchanged.VALUE
Value = bytes | None | Unchanged
"""A column's value as the server prints it, None for NULL."""
Row = list[Value]


class ProtocolError(ValueError):
    """Bytes that are no message of this protocol."""


class RelationColumn(NamedTuple):
    """A column of a relation as it was when a change was written."""

    name: str
    key: bool
    type_oid: int
    typmod: int


@dataclass(frozen=True, eq=False)
class Relation:
    """A table as it was when a change was written. Compared by identity: each one that the server
    sends is another state of its table."""

    oid: int
    schema: str
    table: str
    identity: str
    """`d` default, `i` index, `f` full, `n` nothing."""
    columns: tuple[RelationColumn, ...]

    @property
    def name(self) -> str:
        """`schema.table`."""
        return f"{self.schema}.{self.table}"


class Op(Enum):
    """What a change does."""

    INSERT = "insert"
    UPDATE = "update"
    DELETE = "delete"
    TRUNCATE = "truncate"


class Change(NamedTuple):
    """One changed row, or a truncated table."""

    op: Op
    relation: Relation
    new: Row | None = None
    old: Row | None = None
    """The old row, or with `whole` false only its key and only if that changed."""
    whole: bool = False
    size: int = 0
    """Bytes of the message."""


class Begin(NamedTuple):
    """A transaction's changes follow."""

    commit_lsn: int
    xid: int


class Commit(NamedTuple):
    """A transaction's changes are complete."""

    commit_lsn: int
    end_lsn: int
    at: int
    """Microseconds since 2000-01-01 UTC."""


class Emitted(NamedTuple):
    """A message written by `pg_logical_emit_message`."""

    transactional: bool
    prefix: str
    content: bytes


class Truncated(NamedTuple):
    """Tables that were emptied together."""

    changes: list[Change]


Message = Begin | Commit | Emitted | Truncated | Change | None


class Parser:
    """Parses the messages of one stream; remembers the relations that the server described."""

    def __init__(self) -> None:
        self._relations: dict[int, Relation] = {}

    def parse(self, data: bytes) -> Message:
        """Return what a message says, None where it says nothing that matters here.

        Raises ProtocolError when it is cut off or unknown.
        """
        try:
            return self._parse(data)
        except (struct.error, LookupError, ValueError) as error:
            raise ProtocolError(f"a message {data[:1]!r} of {len(data)} bytes: {error!r}") from None

    def _parse(self, data: bytes) -> Message:
        kind = data[:1]
        if kind == b"U":
            return self._update(data)
        if kind == b"I":
            new, _ = _row(data, 6)
            return Change(Op.INSERT, self._of(data), new, size=len(data))
        if kind == b"D":
            old, _ = _row(data, 6)
            whole = data[5:6] == b"O"
            return Change(Op.DELETE, self._of(data), None, old, whole, len(data))
        return self._rare(kind, data)

    def _rare(self, kind: bytes, data: bytes) -> Message:
        if kind == b"B":
            lsn, _, xid = _BEGIN.unpack_from(data, 1)
            return Begin(lsn, xid)
        if kind == b"C":
            _, lsn, end, at = _COMMIT.unpack_from(data, 1)
            return Commit(lsn, end, at)
        if kind == b"R":
            relation = _relation(data)
            self._relations[relation.oid] = relation
            return None
        if kind == b"T":
            count, _ = _TRUNCATED.unpack_from(data, 1)
            found = [self._relations[_INT(data, 6 + 4 * n)[0]] for n in range(count)]
            return Truncated([Change(Op.TRUNCATE, one, size=len(data)) for one in found])
        if kind == b"M":
            return _emitted(data)
        if kind in (b"O", b"Y"):  # where a change came from; a type's name
            return None
        raise ProtocolError(f"a message of the unknown kind {kind!r}")

    def _of(self, data: bytes) -> Relation:
        return self._relations[_INT(data, 1)[0]]

    def _update(self, data: bytes) -> Change:
        relation = self._of(data)
        old, at, whole = None, 6, False
        if data[5:6] in (b"K", b"O"):
            whole = data[5:6] == b"O"
            old, at = _row(data, 6)
            at += 1
        new, _ = _row(data, at)
        return Change(Op.UPDATE, relation, new, old, whole, len(data))


def _row(data: bytes, at: int) -> tuple[Row, int]:
    (count,) = _SHORT(data, at)
    at += 2
    row: Row = []
    for _ in range(count):
        kind = data[at]
        at += 1
        if kind == 0x74:  # t: text
            (size,) = _INT(data, at)
            at += 4 + size
            value = data[at - size : at]
            if len(value) != size:
                raise ProtocolError("a value is cut off")
            row.append(value)
        elif kind == 0x6E:  # n: NULL
            row.append(None)
        elif kind == 0x75:  # u: unchanged
            row.append(UNCHANGED)
        else:
            raise ProtocolError(f"a value of the unknown kind {kind}")
    return row, at


def _text(data: bytes, at: int) -> tuple[str, int]:
    end = data.index(b"\0", at)
    return data[at:end].decode(errors="surrogateescape"), end + 1


def _relation(data: bytes) -> Relation:
    (oid,) = _INT(data, 1)
    schema, at = _text(data, 5)
    table, at = _text(data, at)
    identity = chr(data[at])
    (count,) = _SHORT(data, at + 1)
    at += 3
    columns = []
    for _ in range(count):
        flags = data[at]
        name, at = _text(data, at + 1)
        (kind,), (typmod,) = _INT(data, at), _SIGNED(data, at + 4)
        at += 8
        columns.append(RelationColumn(name, bool(flags & 1), kind, typmod))
    # the protocol writes pg_catalog as an empty name
    return Relation(oid, schema or "pg_catalog", table, identity, tuple(columns))


def _emitted(data: bytes) -> Emitted:
    flags, _ = _EMITTED.unpack_from(data, 1)
    prefix, at = _text(data, 10)
    (size,) = _INT(data, at)
    return Emitted(bool(flags & 1), prefix, data[at + 4 : at + 4 + size])


def parse_lsn(text: str) -> int:
    """Return a position in the write-ahead log, written `16/B374D848`, as a number."""
    high, _, low = text.partition("/")
    return (int(high, 16) << 32) + int(low, 16)


def say_lsn(lsn: int) -> str:
    """Write a position in the write-ahead log as PostgreSQL does."""
    return f"{lsn >> 32:X}/{lsn & 0xFFFFFFFF:X}"
