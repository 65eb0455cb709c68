"""Parts of the backup that need no server: sequences seen twice."""

from activities.adapters.postgres.catalog import Sequence, earlier


def _sequence(name: str, last: int, step: int = 1, cycles: bool = False) -> Sequence:
    return Sequence("public", name, last, step, cycles)


def test_sequence_counts_as_far_as_it_had_come_at_the_earlier_look() -> None:
    before = [_sequence("a", 5), _sequence("down", -5, -1), _sequence("reset", 90)]
    after = [_sequence("a", 9), _sequence("down", -9, -1), _sequence("reset", 1)]
    assert [one.last for one in earlier(before, after)] == [5, -5, 1]


def test_sequence_that_cycles_or_is_gone_is_left_out() -> None:
    before = [_sequence("round", 3, cycles=True), _sequence("gone", 3)]
    assert earlier(before, [_sequence("round", 1, cycles=True)]) == []
