"""A line of the checklist counts only while every artefact it stands on is intact."""

from slipway.checklist import mark_of, tally, verified
from slipway.messages.record import ArtefactState
from slipway.states import ItemState
from slipway.status import StatusDocument, status_of
from tests.unit.examples import after, approved_run, artefact, backup


def _state(key: str, intact: bool = True, because: str = "intact") -> ArtefactState:
    return ArtefactState(key=key, intact=intact, because=because)


ALL = [_state(backup().key), _state(artefact("approval.json").key)]


def _line(status: StatusDocument, item: str) -> tuple[ItemState, str]:
    line = next(one for one in status.checklist if one.item == item)
    return line.state, line.note


def test_intact_artefacts_keep_their_lines_and_get_an_age() -> None:
    seen = verified(status_of(approved_run()), ALL, after(3660))
    assert _line(seen, "backup") == (ItemState.DONE, "")
    assert next(one.age for one in seen.checklist if one.item == "backup") == 3600
    assert tally(seen.checklist) == "2 of 10 done"


def test_a_lost_artefact_unticks_exactly_its_line() -> None:
    states = [_state(backup().key, intact=False, because="gone"), ALL[1]]
    seen = verified(status_of(approved_run()), states, after(60))
    assert _line(seen, "backup") == (ItemState.MISSING, f"{backup().key}: gone")
    assert _line(seen, "approval") == (ItemState.DONE, "")
    assert [mark_of(one) for one in seen.checklist].count("!") == 1


def test_an_artefact_nobody_verified_does_not_count() -> None:
    seen = verified(status_of(approved_run()), ALL[:1], after(60))
    assert _line(seen, "approval")[0] is ItemState.MISSING


def test_a_line_without_artefacts_does_not_count() -> None:
    run = approved_run()
    run.tick("team", at=after(60), by="slipway", artefacts=[])
    seen = verified(status_of(run), ALL, after(60))
    assert _line(seen, "team") == (ItemState.MISSING, "no artefact proves this line")


def test_open_lines_stay_open_whatever_was_found() -> None:
    seen = verified(status_of(approved_run()), [], after(60))
    assert _line(seen, "smoke") == (ItemState.OPEN, "")
