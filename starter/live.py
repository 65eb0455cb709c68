"""Following a deployment to its end: a live view in a terminal, appended lines anywhere else."""

import asyncio
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Protocol

from slipway.explain import explain
from slipway.states import EXIT_CODES, Outcome
from slipway.status import StatusDocument
from starter.failures import is_away, root_of
from starter.lookup import Found, read_status, refreshed
from starter.render import (
    brief,
    clean,
    event_line,
    frame,
    head,
    now_line,
    trouble_lines,
    wait_lines,
)
from starter.stand import Stand, stand_of, waits_for_person

if TYPE_CHECKING:
    from rich.text import Text

_STYLES = (
    (r"✔|\bPROCEED\b|\bdeployed\b", "green"),
    (r"(?m)✘|\bROLLBACK\b|\broll_back\b|^Trouble: .*", "red"),
    (r"(?m)^Waits for.*|\bHOLD\b|\bINCONCLUSIVE\b|↩", "yellow"),
    (r"(?m)\(.* left\)|slipway .*$", "bold"),
)
_EVERY = 1.0
"""Seconds between two looks."""
_AWAY = 120.0
"""Seconds that a server may be silent before watching it ends; its deployments do not."""
_NO_ANSWER = f"Temporal does not answer; trying again for {_AWAY:.0f} s. This was seen last."


class View(Protocol):
    """Shows how a deployment stands, again and again."""

    def show(self, stand: Stand) -> None:
        """Show the newest stand."""


@dataclass
class Lines:
    """Appends what is new: for pipes, logs and CI."""

    write: Callable[[str], None]
    _events: int = 0
    _now: str = ""
    _waits: tuple[str, ...] = ()
    _note: str = ""
    _trouble: tuple[str, ...] = ()
    _headed: bool = False

    def show(self, stand: Stand) -> None:
        """Write the lines that were not written before."""
        status, now = stand.status, datetime.now(UTC)
        if not self._headed:
            self.write(clean(head(status)))
            self._headed = True
        if stand.note != self._note:
            self._note = stand.note
            if stand.note:
                self.write(clean(stand.note))
        self._show_trouble(status, now)
        for event in status.timeline[self._events :]:
            self.write(brief(event_line(event)))
        self._events = max(self._events, len(status.timeline))
        stage = status.current.progress.partition(":")[0]  # its numbers change with every look
        current = f"{status.phase.value} {status.current.step} {status.current.reason} {stage}"
        if current != self._now and status.outcome is Outcome.RUNNING:
            self._now = current
            self.write(brief(f"{_clock(now)} {status.phase.value:<10} {now_line(status, now)}"))
        self._show_waits(status, now)

    def _show_trouble(self, status: StatusDocument, now: datetime) -> None:
        """Each kind once: its numbers change with every look."""
        kinds = tuple(one.kind.value for one in status.trouble)
        if kinds != self._trouble:
            self._trouble = kinds
            for line in trouble_lines(status):
                self.write(brief(f"{_clock(now)} {line}"))

    def _show_waits(self, status: StatusDocument, now: datetime) -> None:
        waits = tuple(wait.what for wait in status.waiting_for)
        if waits == self._waits:
            return
        for wait in status.waiting_for:
            if wait.what not in self._waits:
                for line in wait_lines(wait, now):
                    self.write(clean(f"{_clock(now)} {line}"))
        self._waits = waits


@dataclass
class Screen:
    """Redraws one view, several times a second, so that countdowns run."""

    stand: Stand | None = field(default=None)

    def show(self, stand: Stand) -> None:
        """Take the newest stand; the next redraw shows it."""
        self.stand = stand

    def __rich__(self) -> "Text":
        """Return what the terminal shows now."""
        from rich.text import Text

        if self.stand is None:
            return Text("Looking …")
        lines = frame(self.stand.status, datetime.now(UTC))
        note = [clean(self.stand.note), ""] if self.stand.note else []
        text = Text("\n".join([*note, *lines]), overflow="ellipsis", no_wrap=True)
        for pattern, style in _STYLES:
            text.highlight_regex(pattern, style)
        return text


async def follow(found: Found, *, stop_at_people: bool = False) -> int:
    """Show a deployment until it has ended and return its outcome's exit code.

    With `stop_at_people` it ends at the first wait for a person, with exit code 7.
    """
    with _view() as view:
        stand = await _persistently(found, view, stop_at_people)
    return conclude(stand)


def conclude(stand: Stand) -> int:
    """Print how it ended, or whom it waits for, and return the exit code."""
    print()
    print("\n".join(explain(stand.status, stand.note)))
    return EXIT_CODES[stand.status.outcome]


@dataclass
class _Remembering:
    """A view that remembers what it showed last, and when."""

    view: View
    last: Stand | None = None
    at: float = 0.0

    def show(self, stand: Stand) -> None:
        """Show the newest stand."""
        self.last, self.at = stand, time.monotonic()
        self.view.show(stand)


async def _persistently(found: Found, view: View, stop_at_people: bool) -> Stand:
    """Watch again while the server is away for a moment: the deployment goes on without it."""
    shown = _Remembering(view)
    while True:
        try:
            return await _watch(found, shown, stop_at_people)
        except Exception as error:
            away = is_away(error) and time.monotonic() - shown.at < _AWAY
            if shown.last is None or not away:
                raise
            view.show(replace(shown.last, note=_NO_ANSWER))
        await asyncio.sleep(_EVERY)


async def _watch(found: Found, view: View, stop_at_people: bool) -> Stand:
    if found.ended:
        stand = await stand_of(found)
        view.show(stand)
        return stand
    ending = asyncio.ensure_future(found.handle.result())
    try:
        while True:
            stand = await _look(found)
            if ending.done():
                break
            view.show(stand)
            if stop_at_people and waits_for_person(stand.status):
                return stand
            await asyncio.wait({ending}, timeout=_EVERY)
    finally:
        ending.cancel()
    return await _ended(found, ending, view)


async def _look(found: Found) -> Stand:
    return await stand_of(await refreshed(found))


async def _ended(found: Found, ending: "asyncio.Future[Any]", view: View) -> Stand:
    """The result; or, when Temporal ended the workflow itself, what is left to know."""
    from temporalio.client import WorkflowFailureError
    from temporalio.exceptions import ApplicationError

    try:
        result = await ending
        stand = Stand(read_status(result.status, f"The result of {found.handle.id}"), "result")
    except WorkflowFailureError as error:
        if isinstance(root_of(error), ApplicationError):
            raise
        stand = await stand_of(await refreshed(found))
    view.show(stand)
    return stand


@contextmanager
def _view() -> Iterator[View]:
    if not sys.stdout.isatty():
        yield Lines(lambda line: print(line, flush=True))
        return
    from rich.live import Live

    screen = Screen()
    with Live(screen, refresh_per_second=4, transient=False):
        yield screen


def _clock(now: datetime) -> str:
    return now.strftime("%H:%M:%SZ")
