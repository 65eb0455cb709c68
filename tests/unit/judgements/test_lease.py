"""Whose the Lease is: turns, their order, and what somebody else's hand may have left on it."""

from datetime import UTC, datetime
from typing import Any

import pytest

from slipway.errors import Fenced, ForeignChange, Held
from slipway.judgements.lease import (
    ENDED,
    REMEMBERED,
    TURN,
    Claim,
    check,
    epoch_of,
    given_back,
    has,
    holder_of,
    taken,
    unheld,
)

NOW = datetime(2026, 1, 1, tzinfo=UTC)
ONE, ROLLBACK = Claim("one", 0), Claim("one", 1000)


def lease(**annotations: str) -> dict[str, Any]:
    """A Lease as the server returns it, held by nobody in epoch 3."""
    keys = {"turn": TURN, "ended": ENDED}
    notes = {keys.get(key, key): value for key, value in annotations.items()}
    names = {"name": "slipway-x", "namespace": "n", "uid": "u", "resourceVersion": "1"}
    found = {**names, "managedFields": [], "annotations": notes}
    return {"metadata": found, "spec": {"leaseTransitions": 2}}


def ended(found: dict[str, Any] | None, claim: Claim) -> dict[str, Any]:
    """The Lease after a turn's end."""
    assert found is not None
    after = given_back(found, claim, NOW)
    assert after is not None
    return after


def test_taking_keeps_what_others_noted_and_begins_an_epoch() -> None:
    found = taken(lease(theirs="x"), ONE, NOW, fresh=False)
    assert has(found, ONE)
    assert epoch_of(found) == 4
    assert found["metadata"]["annotations"]["theirs"] == "x"
    assert "managedFields" not in found["metadata"]
    assert found["spec"]["acquireTime"] == "2026-01-01T00:00:00.000000Z"


def test_a_later_turn_of_the_holder_takes_over_in_the_same_epoch() -> None:
    found = taken(lease(), ONE, NOW, fresh=False)
    after = taken(found, ROLLBACK, NOW, fresh=False)
    assert epoch_of(after) == epoch_of(found)
    assert has(after, ROLLBACK)
    assert not has(after, ONE)
    with pytest.raises(Fenced, match="later rollback of one"):
        check(after, ONE, "x")


def test_an_ended_turn_is_over_and_a_later_one_is_not() -> None:
    found = ended(taken(lease(), ROLLBACK, NOW, fresh=False), ROLLBACK)
    assert holder_of(found) == ""
    for claim in (ONE, ROLLBACK, Claim("one", 999)):
        with pytest.raises(Fenced, match="slipway rollback one"):
            check(found, claim, "x")
    check(found, Claim("one", 1001), "x")
    check(found, Claim("two", 0), "x")
    assert given_back(found, ROLLBACK, NOW) is None
    assert given_back(found, ONE, NOW) is None


def test_the_end_of_one_who_does_not_hold_it_changes_only_the_memory() -> None:
    held = taken(lease(), Claim("two", 0), NOW, fresh=False)
    after = ended(held, ONE)
    assert after["spec"] == held["spec"]
    with pytest.raises(Fenced):
        check(after, ONE, "x")
    with pytest.raises(Held, match="held by deployment two"):
        check(after, Claim("three", 0), "x")


def test_an_end_that_comes_late_does_not_take_it_from_a_later_turn() -> None:
    after = ended(taken(lease(), ROLLBACK, NOW, fresh=False), ONE)
    assert has(after, ROLLBACK)
    check(after, ROLLBACK, "x")
    over = ended(after, ROLLBACK)
    assert holder_of(over) == ""


def test_what_has_ended_stays_ended_also_when_an_older_slipway_took_it_since() -> None:
    found = lease(ended='{"one":1000}')
    found["spec"]["holderIdentity"] = "one"
    after = ended(found, ONE)
    assert holder_of(after) == ""
    with pytest.raises(Fenced):
        check(after, ROLLBACK, "x")


@pytest.mark.parametrize("highest", [0, 1, 1000])
def test_a_lease_to_be_created_begins_above_every_epoch_known(highest: int) -> None:
    new = unheld("n", "slipway-x", highest)
    assert epoch_of(taken(new, ONE, NOW, fresh=False)) == highest + 1
    over = ended(new, ONE)
    assert over["spec"]["leaseTransitions"] >= 0
    assert epoch_of(taken(over, Claim("two", 0), NOW, fresh=False)) > highest


def test_the_last_ends_are_remembered() -> None:
    found = lease()
    for number in range(REMEMBERED + 1):
        found = ended(found, Claim(f"d{number}", 0))
    check(found, Claim("d0", 0), "x")
    for number in range(1, REMEMBERED + 1):
        with pytest.raises(Fenced):
            check(found, Claim(f"d{number}", 0), "x")
    assert len(found["metadata"]["annotations"][ENDED]) < 4000


@pytest.mark.parametrize("text", ["{", "[]", '{"one": "0"}', '{"one": -1}', '{"one": 1.5}'])
def test_an_unreadable_memory_is_told(text: str) -> None:
    with pytest.raises(ForeignChange, match=r"unreadable annotation slipway\.teei/ended"):
        check(lease(ended=text), ONE, "x")


@pytest.mark.parametrize("text", ["-1", "x", "1.5", "٣", "9" * 16])
def test_an_unreadable_turn_is_told(text: str) -> None:
    found = taken(lease(), ONE, NOW, fresh=False)
    found["metadata"]["annotations"][TURN] = text
    with pytest.raises(ForeignChange, match=r"unreadable annotation slipway\.teei/turn"):
        check(found, ONE, "x")
