"""The judge finds what does not belong together: record, audit log, approval, notices."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from devstack.demo import told, traces
from devstack.demo.audit import Write
from devstack.demo.bucket import Entry, Kept

_NOON = datetime(2026, 11, 25, 12, 0, 0, tzinfo=UTC)


def _at(seconds: float) -> datetime:
    return _NOON + timedelta(seconds=seconds)


def _entry(sequence: int, kind: str, step: str, at: float, **data: Any) -> Entry:
    return Entry(sequence, kind, step, {"data": data}, _at(at))


def _write(step: str, at: float, service: str = "buddy") -> Write:
    return Write(service, "new", f"demo-1/{step}:{service}", _at(at))


def _status(outcome: str, *said: str) -> dict[str, Any]:
    timeline = [{"text": one} for one in said]
    return {"outcome": outcome, "digest": "d1", "timeline": timeline}


_OPEN = _entry(0, "open", "open", 0)
_INTENT = _entry(1, "intent", "rollout:buddy", 10)
_UNDONE = _entry(2, "undone", "rollout:buddy", 30, state="done")
_NOT_UNDONE = _entry(2, "undone", "rollout:buddy", 30, state="failed")


def test_a_whole_record_has_no_gap_and_ends_as_the_status_says() -> None:
    end = _entry(2, "end", "deployed", 50, outcome="deployed")
    assert traces.whole([_OPEN, _INTENT, end], _status("deployed")) == []
    assert len(traces.whole([_OPEN, end], _status("deployed"))) == 1
    assert len(traces.whole([_OPEN, _INTENT, end], _status("rolled_back"))) == 1
    assert traces.whole([], _status("deployed")) != []


def test_an_end_that_could_not_be_written_is_owned_up_to() -> None:
    assert traces.whole([_OPEN], _status("deployed")) != []
    said = "The record's end could not be written: record.append: no answer"
    assert traces.whole([_OPEN], _status("deployed", said)) == []


def test_a_change_with_its_intent_agrees() -> None:
    entries = [_OPEN, _INTENT]
    assert traces.deployments(entries, [_write("rollout", 11)], [], _status("deployed")) == []
    both = [*entries, _UNDONE]
    back = _write("undo", 29)
    assert traces.deployments(both, [_write("rollout", 11)], [back], _status("rolled_back")) == []


def test_an_intent_whose_change_never_came_is_put_back_by_its_fence_alone() -> None:
    assert traces.deployments([_OPEN, _INTENT, _UNDONE], [], [], _status("rolled_back")) == []


@pytest.mark.parametrize(
    ("entries", "forward", "undone", "outcome", "words"),
    [
        ([_OPEN], [_write("rollout", 11)], [], "deployed", "before the record said so"),
        ([_OPEN, _INTENT], [_write("rollout", 9)], [], "deployed", "before the record said so"),
        ([_OPEN, _INTENT], [], [], "deployed", "the audit log has none"),
        (
            [_OPEN, _INTENT],
            [_write("rollout", 11), _write("rollout", 12)],
            [],
            "deployed",
            "changed 2 time(s)",
        ),
        ([_OPEN, _INTENT, _UNDONE], [_write("rollout", 11)], [], "rolled_back", "put back 0"),
        (
            [_OPEN, _INTENT],
            [_write("rollout", 11)],
            [_write("undo", 29)],
            "rolled_back",
            "does not say that buddy was put back",
        ),
        (
            [_OPEN, _INTENT, _NOT_UNDONE],
            [_write("rollout", 11)],
            [_write("undo", 29)],
            "rolled_back",
            "does not say that buddy was put back",
        ),
        ([_OPEN, _UNDONE], [], [], "rolled_back", "which it never began"),
    ],
)
def test_what_does_not_belong_together_is_said(
    entries: list[Entry], forward: list[Write], undone: list[Write], outcome: str, words: str
) -> None:
    said = traces.deployments(entries, forward, undone, _status(outcome))
    assert any(words in one for one in said), said


def _approval(at: float, decision: str = "approve", digest: str = "d1") -> Kept:
    given = {"at": _at(at).isoformat(), "decision": decision, "digest": digest}
    return Kept([_OPEN, _INTENT], {"approval.json": {"digest": digest, "approvals": [given]}}, [])


def test_a_change_after_its_approval_is_in_order() -> None:
    assert traces.approved(_approval(9.5), [_write("rollout", 11)], _status("deployed")) == []
    assert traces.approved(Kept([_OPEN], {}, []), [], _status("stopped")) == []


@pytest.mark.parametrize(
    ("kept", "words"),
    [
        (Kept([_OPEN, _INTENT], {}, []), "no approval"),
        (_approval(20), "before it was approved"),
        (_approval(9, decision="reject"), "nobody approved"),
        (_approval(9, digest="d2"), "another digest"),
    ],
)
def test_a_change_without_a_valid_approval_is_said(kept: Kept, words: str) -> None:
    (said,) = traces.approved(kept, [_write("rollout", 11)], _status("deployed"))
    assert words in said


def _notice(kind: str, title: str, **more: Any) -> dict[str, Any]:
    contacts = {"on_call": {"name": "Demo on call", "reach": "on_call@demo"}}
    return {"kind": kind, "title": title, "contacts": contacts, "text": "on_call@demo", **more}


def test_a_parked_step_and_a_rollback_are_told_with_contacts() -> None:
    parked, back = _notice("parked", "Parked: monitor:buddy"), _notice("rolled_back", "Rolling")
    status = _status("rolled_back")
    assert told.missing([parked, back], status, ["monitor:buddy"]) == []
    assert told.missing([back], status, ["monitor:buddy"]) == [
        "nobody was told: parked monitor:buddy"
    ]
    assert told.missing([parked], status, []) == ["nobody was told: rolled_back"]
    for wrong in (_notice("rolled_back", "R", contacts=None), _notice("rolled_back", "R", text="")):
        assert "names no contacts" in told.missing([wrong], status, [])[0]


def test_a_notice_that_was_not_delivered_is_owned_up_to() -> None:
    owned = _status("rolled_back", "A notice was not delivered: notice.send: refused")
    assert told.missing([], owned, ["monitor:buddy"]) == []
