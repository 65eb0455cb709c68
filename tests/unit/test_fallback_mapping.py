"""Columns are placed by what their table can have been like, never by today's names alone."""

from dataclasses import dataclass, field

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from activities.adapters.fallback.catalog import Carried, CarriedColumn
from activities.adapters.fallback.mapping import (
    Columns,
    Epoch,
    Mapper,
    Reading,
    TableMap,
    Unmappable,
    first_epoch,
    learn,
    next_epoch,
    place,
)
from activities.adapters.fallback.protocol import Relation, RelationColumn


def numbered(text: str, first: int = 1) -> Columns:
    return [(first + at, name) for at, name in enumerate(text)]


@pytest.mark.parametrize(
    ("names", "lists", "expected"),
    [
        ("abc", [numbered("abc")], [1, 2, 3]),
        ("acb", [numbered("abc")], None),  # another order is another state
        ("ab", [numbered("abc")], None),
        ("abcd", [numbered("abc")], None),
        ("ab", [numbered("ab"), numbered("ba")], [1, 2]),  # before a swap of two names
        ("ba", [numbered("ab"), numbered("ba")], [1, 2]),  # and after it
        ("ac", [numbered("abc"), [(1, "a"), (3, "c")]], [1, 3]),
        ("ab", [numbered("ab"), [(1, "a"), (3, "b")]], None),  # which of the two b?
        ("abx", [numbered("ab"), numbered("abx")], [1, 2, 3]),
        ("", [[]], []),
    ],
)
def test_columns_are_placed_where_there_is_one_way(
    names: str, lists: list[Columns], expected: list[int] | None
) -> None:
    assert place(list(names), lists) == expected


@dataclass
class History:
    """A table that DDL changes; every state of it is kept."""

    columns: Columns = field(default_factory=lambda: numbered("abc"))
    last: int = 3
    states: list[Columns] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.states = [list(self.columns)]

    def change(self, kind: str, at: int, name: str) -> None:
        at %= max(1, len(self.columns))
        taken = {one for _, one in self.columns}
        if kind == "add" and name not in taken:
            self.last += 1
            self.columns = [*self.columns, (self.last, name)]
        elif kind == "drop" and len(self.columns) > 1:
            self.columns = [*self.columns[:at], *self.columns[at + 1 :]]
        elif kind == "rename" and self.columns and name not in taken:
            self.columns = list(self.columns)
            self.columns[at] = (self.columns[at][0], name)
        elif kind == "swap" and len(self.columns) > 1:
            (one, a), (other, b) = self.columns[0], self.columns[-1]
            self.columns = [(one, b), *self.columns[1:-1], (other, a)]
        self.states.append(list(self.columns))


steps = st.lists(
    st.tuples(
        st.sampled_from(["add", "drop", "rename", "swap"]),
        st.integers(0, 9),
        st.sampled_from("abcdefgh"),
    ),
    max_size=6,
)


def relation(columns: Columns) -> Relation:
    told = tuple(RelationColumn(name, False, 25, -1) for _, name in columns)
    return Relation(7, "public", "t", "d", told)


def read_later(changes: list[tuple[str, int, str]], moment: int) -> tuple[Epoch, Columns, Columns]:
    """The epoch as read after all changes; the table's state then and at the moment."""
    history = History()
    for change in changes:
        history.change(*change)
    dropped = sorted(set(range(1, history.last + 1)) - {one for one, _ in history.columns})
    epoch = Epoch(tables={7: TableMap(lists=[numbered("abc")], versions=["1"])})
    epoch = next_epoch(epoch, {7: Reading(history.columns, ["9"], dropped)}, None)
    return epoch, history.states[min(moment, len(history.states) - 1)], history.columns


def placed(mapper: Mapper, columns: Columns) -> dict[str, int]:
    pairs = zip(columns, mapper.of(relation(columns)).columns, strict=True)
    return {name: old.attnum for (_, name), old in pairs if old}


@given(steps, st.integers(0, 6))
def test_columns_under_names_that_were_read_are_placed_right_or_not_at_all(
    changes: list[tuple[str, int, str]], moment: int
) -> None:
    epoch, then, now = read_later(changes, moment)
    assume(all(one in (*numbered("abc"), *now) for one in then))
    try:
        found = placed(Mapper([carried()], epoch), then)
    except Unmappable:
        return
    assert found == {name: attnum for attnum, name in then if attnum <= 3}


@given(steps, st.integers(0, 6))
def test_columns_under_any_names_are_learned_right_or_not_at_all(
    changes: list[tuple[str, int, str]], moment: int
) -> None:
    epoch, then, _ = read_later(changes, moment)
    try:
        state = learn(epoch, relation(then)).tables[7].lists[-2]
    except Unmappable:
        return
    assert state == then


def carried() -> Carried:
    columns = [
        CarriedColumn(attnum=at, name=name, type="text", type_oid=25, typmod=-1)
        for at, name in numbered("abc")
    ]
    return Carried(oid=7, schema_name="public", table="t", columns=columns, versions=["1"])


def test_migration_alone_leaves_one_state() -> None:
    epoch = first_epoch([carried()])
    after = next_epoch(epoch, {7: Reading([(1, "a"), (4, "b"), (3, "c")], ["1", "50"], [2])}, 50)
    assert len(after.tables[7].lists) == 1
    assert after.number == 1
    other = next_epoch(epoch, {7: Reading(numbered("abx"), ["1", "51"], [])}, 50)
    assert len(other.tables[7].lists) == 2


def test_what_an_interim_state_was_like_is_remembered() -> None:
    epoch = first_epoch([carried()])
    # added d, swapped c and d, dropped b: all of it before the first reading
    reading = Reading([(1, "a"), (3, "d"), (4, "c")], ["1", "60"], [2])
    epoch = next_epoch(epoch, {7: reading}, 50)
    mapper = Mapper([carried()], epoch)
    with pytest.raises(Unmappable):
        mapper.of(relation(numbered("abcd")))
    mapper.enter(learn(epoch, relation(numbered("abcd"))))
    again = relation(numbered("abcd"))
    assert [one.attnum if one else None for one in mapper.of(again).columns] == [1, 2, 3, None]
    later = relation([(1, "a"), (2, "b"), (3, "d"), (4, "c")])
    assert [one.name if one else None for one in mapper.of(later).columns] == ["a", "b", "c", None]
