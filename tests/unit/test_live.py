"""Watching goes on while the server is away for a moment."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, cast

import pytest
from temporalio.service import RPCError, RPCStatusCode

from slipway.states import Outcome
from slipway.status import status_of
from starter import live
from starter.lookup import Found
from starter.stand import Stand
from tests.unit.examples import rolled_back_run

FOUND = cast("Found", None)
"""Only passed on."""


@dataclass
class Kept:
    """A view that keeps what it is shown."""

    notes: list[str] = field(default_factory=list)

    def show(self, stand: Stand) -> None:
        """Keep the note."""
        self.notes.append(stand.note)


def a_stand() -> Stand:
    return Stand(status_of(rolled_back_run(outcome=Outcome.DEPLOYED)), "query")


def away() -> RPCError:
    return RPCError("transport error", RPCStatusCode.UNAVAILABLE, b"")


def watching(*acts: Callable[[live.View], Stand]) -> Any:
    left = list(acts)

    async def watch(_: Found, view: live.View, __: bool) -> Stand:
        return left.pop(0)(view)

    return watch


def seen_then_gone(view: live.View) -> Stand:
    view.show(a_stand())
    raise away()


def gone(_: live.View) -> Stand:
    raise away()


def ended(view: live.View) -> Stand:
    view.show(a_stand())
    return a_stand()


def persisted(view: live.View) -> Stand:
    return asyncio.run(live._persistently(FOUND, view, stop_at_people=False))


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(live, "_EVERY", 0.0)


def test_a_server_that_comes_back_is_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(live, "_watch", watching(seen_then_gone, gone, ended))
    view = Kept()

    assert persisted(view) == a_stand()
    assert view.notes == ["", live._NO_ANSWER, live._NO_ANSWER, ""]


def test_a_server_that_was_never_there_is_told_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(live, "_watch", watching(gone))
    with pytest.raises(RPCError):
        persisted(Kept())


def test_a_server_that_stays_away_ends_the_watching(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(live, "_watch", watching(seen_then_gone))
    monkeypatch.setattr(live, "_AWAY", -1.0)
    with pytest.raises(RPCError):
        persisted(Kept())


def test_another_failure_ends_the_watching(monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(view: live.View) -> Stand:
        view.show(a_stand())
        raise RPCError("no", RPCStatusCode.PERMISSION_DENIED, b"")

    monkeypatch.setattr(live, "_watch", watching(refused))
    with pytest.raises(RPCError):
        persisted(Kept())
