"""The stream's messages are parsed; what is cut off or unknown is refused, whatever it holds."""

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from activities.adapters.fallback.protocol import (
    UNCHANGED,
    Change,
    Commit,
    Emitted,
    Op,
    Parser,
    ProtocolError,
    Truncated,
    parse_lsn,
    say_lsn,
)

RELATION = (
    b"R" + struct.pack("!I", 7) + b"public\0t\0d" + struct.pack("!h", 2)
    + b"\1id\0" + struct.pack("!Ii", 23, -1)
    + b"\0a\0" + struct.pack("!Ii", 25, -1)
)  # fmt: skip


def row(*values: bytes | None) -> bytes:
    parts = [b"n" if one is None else b"t" + struct.pack("!I", len(one)) + one for one in values]
    return struct.pack("!h", len(values)) + b"".join(parts)


def parser() -> Parser:
    made = Parser()
    assert made.parse(RELATION) is None
    return made


def test_rows_are_parsed() -> None:
    one = parser().parse(b"I" + struct.pack("!I", 7) + b"N" + row(b"1", None))
    assert isinstance(one, Change)
    assert (one.op, one.new, one.relation.name) == (Op.INSERT, [b"1", None], "public.t")
    assert [column.key for column in one.relation.columns] == [True, False]


def test_key_whole_row_and_unchanged_values_are_told_apart() -> None:
    unchanged = struct.pack("!h", 2) + b"t" + struct.pack("!I", 1) + b"2" + b"u"
    head = b"U" + struct.pack("!I", 7)
    keyed = parser().parse(head + b"K" + row(b"1", None) + b"N" + unchanged)
    assert isinstance(keyed, Change)
    assert (keyed.old, keyed.whole, keyed.new) == ([b"1", None], False, [b"2", UNCHANGED])
    whole = parser().parse(head + b"O" + row(b"1", b"x") + b"N" + row(b"1", b"y"))
    assert isinstance(whole, Change)
    assert (whole.old, whole.whole) == ([b"1", b"x"], True)
    gone = parser().parse(b"D" + struct.pack("!I", 7) + b"K" + row(b"1", None))
    assert isinstance(gone, Change)
    assert (gone.op, gone.old, gone.whole) == (Op.DELETE, [b"1", None], False)


def test_other_messages_are_parsed() -> None:
    one = parser()
    truncated = one.parse(b"T" + struct.pack("!IBI", 1, 0, 7))
    assert isinstance(truncated, Truncated)
    assert [change.op for change in truncated.changes] == [Op.TRUNCATE]
    emitted = one.parse(b"M" + struct.pack("!BQ", 1, 5) + b"slipway.drain\0" + b"\0\0\0\2ok")
    assert emitted == Emitted(True, "slipway.drain", b"ok")
    commit = one.parse(b"C" + struct.pack("!BQQq", 0, 5, 6, 7))
    assert commit == Commit(5, 6, 7)
    assert one.parse(b"Y" + struct.pack("!I", 9) + b"public\0mood\0") is None


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"Z",
        b"I",
        b"I" + struct.pack("!I", 8) + b"N" + row(b"1"),  # a relation never described
        b"I" + struct.pack("!I", 7) + b"N" + struct.pack("!h", 1) + b"t\0\0\0\5abc",
        b"I" + struct.pack("!I", 7) + b"N" + struct.pack("!h", 1) + b"b\0\0\0\1a",
        b"R" + struct.pack("!I", 7) + b"public",
        b"M" + struct.pack("!BQ", 1, 5) + b"never ends",
    ],
)
def test_what_is_no_message_is_refused(data: bytes) -> None:
    with pytest.raises(ProtocolError):
        parser().parse(data)


@given(st.sampled_from(b"BCRIUDTMOY"), st.binary(max_size=60))
def test_anything_is_parsed_or_refused(kind: int, rest: bytes) -> None:
    try:
        parser().parse(bytes([kind]) + rest)
    except ProtocolError:
        return


@given(st.integers(0, (1 << 64) - 1))
def test_positions_are_written_as_the_server_writes_them(lsn: int) -> None:
    assert parse_lsn(say_lsn(lsn)) == lsn
