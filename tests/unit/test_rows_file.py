"""What the lines of a file of rows ask for."""

import json
from typing import Any

import pytest

from slipway.errors import BadInput
from slipway.judgements.rows_file import NoRow, Wish, merged, parents_first, placed, read_line, same
from slipway.judgements.shelf import row_files
from slipway.messages.reapply import Reapplied, RowOutcome, TableOutcome
from slipway.messages.record import Entry
from starter.guard import Stop
from starter.reapply import read_choice, reapplied_lines


def line(**document: Any) -> Wish:
    return read_line(json.dumps({"table": "public.t", **document}).encode())


def change(operation: str, new: Any = None, old: Any = None, **more: Any) -> Wish:
    return line(kind="refused", operation=operation, new_row=new, old_row=old, **more)


def test_lines_say_what_must_become_of_a_row() -> None:
    inserted = change("insert", {"id": "1", "a": None}, unknown_row={"new": "x"})
    assert inserted.values == {"id": "1", "a": None, "new": "x"}
    assert not inserted.partial
    updated = change("update", {"id": "1"}, {"id": "2"})
    assert (updated.partial, updated.old_key) == (True, {"id": "2"})
    assert change("delete", old={"id": "1"}).gone
    assert change("truncate").hopeless
    assert line(kind="changed", row={"id": "1"}).only_update
    assert line(kind="added-columns", row={"id": "1"}).added
    assert "3 rows" in line(kind="orphan", count=3, constraint="fk", keys=[]).hopeless


def test_of_several_lines_about_a_row_the_last_counts() -> None:
    first = change("insert", {"id": "1", "a": "x", "big": "B"})
    second = change("update", {"id": "1", "a": "y"})  # the large value was not sent again
    both = merged(first, second)
    assert (both.values, both.partial) == ({"id": "1", "a": "y", "big": "B"}, False)
    assert merged(both, change("delete", old={"id": "1"})).gone
    again = merged(change("delete", old={"id": "1", "a": "y"}), change("insert", {"id": "1"}))
    assert again.values == {"id": "1"}
    added = merged(first, line(kind="added-columns", row={"id": "1", "new": "n"}))
    assert added.values["new"] == "n"
    assert not added.only_update  # it is still to be made


@pytest.mark.parametrize(
    "text",
    [
        b"",
        b"null",
        b"{}",
        b'{"kind": "missing"}',
        b'{"kind": "missing", "table": "t.t"}',
        b'{"kind": "missing", "table": "t.t", "row": []}',
        b'{"kind": "missing", "table": "t.t", "row": {"a": 1}}',
        b'{"kind": "refused", "table": "t.t", "operation": null}',
        b'{"kind": ["missing"], "table": "t.t", "row": {"a": "1"}}',
        b"\xff\xfe",
    ],
)
def test_other_lines_are_none(text: bytes) -> None:
    with pytest.raises(NoRow):
        read_line(text)


def test_a_row_is_told_by_the_names_that_the_schema_has_now() -> None:
    told = change(
        "update",
        {"id": "1", "a": "x"},
        {"id": "1"},
        old_table="public.t",
        new_table="new.moved",
        names={"a": "fresh", "id": "number"},
    )
    new = placed(told, {"new.moved": ["number", "fresh", "b"]})
    assert (new.table, new.values) == ("new.moved", {"number": "1", "fresh": "x"})
    assert new.old_key == {"number": "1"}
    old = placed(told, {"public.t": ["id", "a", "b"]})
    assert (old.table, old.values) == ("public.t", {"id": "1", "a": "x"})
    swapped = change("insert", {"a": "1", "b": "2"}, names={"a": "b", "b": "a"})
    assert "cannot be told" in placed(swapped, {"public.t": ["a", "b"]}).hopeless
    assert placed(told, {}).table == "public.t"


def test_the_same_number_is_the_same_and_nothing_else() -> None:
    assert same("1.500", "1.5")
    assert same("2.0", "2")
    assert same(None, None)
    for one, other in [("007", "7"), ("10", "1"), ("a", "a "), (None, ""), ("1e2", "100")]:
        assert not same(one, other), (one, other)


def test_tables_that_others_refer_to_come_first_also_in_a_circle() -> None:
    refers = [("a", "b"), ("b", "c"), ("c", "c"), ("d", "elsewhere")]
    order = parents_first({"a", "b", "c", "d"}, refers)
    assert order.index("c") < order.index("b") < order.index("a")
    assert sorted(parents_first({"a", "b"}, [("a", "b"), ("b", "a")])) == ["a", "b"]


def _entries(**status: Any) -> list[Entry]:
    told = {"status": status} if status else {}
    return [
        Entry(sequence=0, kind="open", step="open"),
        Entry(sequence=1, kind="end", step="end", data=told),
        Entry(sequence=2, kind="artefact", step="reapply", data={"reapply": {}}),
    ]


def test_files_are_those_whose_digest_the_record_names() -> None:
    assert row_files(_entries()) == []
    assert row_files(_entries(conflict_file="", lost_file="")) == []
    (one,) = row_files(_entries(lost_file="a/lost", lost_sha256="0" * 64, conflict_file=""))
    assert (one.key, one.sha256) == ("a/lost", "0" * 64)
    with pytest.raises(BadInput, match="without its digest"):
        row_files(_entries(lost_file="a/lost", conflict_file=""))


def test_people_are_told_what_became_of_each_table_and_how_to_go_on() -> None:
    bad = RowOutcome(
        file="r/lost.jsonl.zst",
        line=3,
        kind="missing",
        table="public.t",
        key='["7"]',
        outcome="refused",
        sqlstate="23503",
        because="violates foreign key",
    )
    seen = Reapplied(
        applied=False,
        files=["r/lost.jsonl.zst"],
        tables=[
            TableOutcome(table="public.t", written=2, there=1, refused=2),
            TableOutcome(table="public.u", written=1),
        ],
        unwritten=[bad],
        seconds=2,
    )
    assert reapplied_lines(seen, "prod-1") == [
        "Tried in 2s, nothing was written. From lost.jsonl.zst:",
        "  ✘ public.t: 2 fit, 1 there already, 2 refused",
        "  ✔ public.u: 1 fit",
        "Not written:",
        '  public.t ["7"], line 3 of lost.jsonl.zst: violates foreign key (SQLSTATE 23503)',
        "  … and 1 more",
        'To write: slipway backups reapply prod-1 --apply --reason "…"',
    ]
    assert not seen.whole
    assert reapplied_lines(Reapplied(applied=True), "prod-1") == [
        "Nothing was set aside: the record names no file of rows."
    ]


@pytest.mark.parametrize(
    ("typed", "table", "key"),
    [
        ("public.users", "public.users", None),
        ("public.users 17", "public.users", ["17"]),
        ("public.users a b", "public.users", ["a b"]),
        (' public.names ["17", "en"] ', "public.names", ["17", "en"]),
    ],
)
def test_rows_are_chosen_as_they_are_printed(typed: str, table: str, key: list[str] | None) -> None:
    choice = read_choice(typed)
    assert (choice.table, choice.key) == (table, key)
    assert read_choice(str(choice)) == choice


@pytest.mark.parametrize("typed", ["users", "", ".", "public.users [17", "public.users [17]"])
def test_other_choices_are_refused(typed: str) -> None:
    with pytest.raises(Stop):
        read_choice(typed)
