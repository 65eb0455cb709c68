"""The course of a run in time: its phases, each service's stretch, and the moments that a rollback
is measured by. Read from the timeline, whose sentences `workflows/` writes."""

import re
from collections.abc import Iterator
from datetime import datetime
from typing import Literal

from slipway.base import Message
from slipway.run import Event
from slipway.states import Phase
from slipway.status import StatusDocument
from slipway.verdicts import Reason

_PHASE = re.compile(r"^Phase (\w+) began\.$")
_DEPLOYED = re.compile(r"^([a-z0-9-]+) is deployed: ")
_UNDONE = re.compile(r"^(?:Put back|Not put back) ([a-z0-9:-]+): ")
_JUDGED = re.compile(r"^(?:ROLLBACK|HOLD|INCONCLUSIVE) in ([a-z0-9:-]+): (.*)", re.DOTALL)
_ROLLOUT = "rollout:"
_AFTER = "After putting everything back: "
_DOCUMENT = re.compile(r"^(?:incident|post-mortem)[a-z0-9-]*\.(?:json|md): (\S+)$")
_OF_DATA = {Reason.MIGRATION_FAILED, Reason.DATA_CORRUPTION}
_OF_PEOPLE = {Reason.ROLLBACK_REQUESTED, Reason.CANCELLED, Reason.DEADLINE_PASSED}


class Stretch(Message):
    """From when until when something was done."""

    what: str
    """A phase, or an undo step such as `rollout:analytics`."""
    kind: Literal["phase", "rollout", "undo"]
    began: datetime
    ended: datetime

    @property
    def seconds(self) -> float:
        """How long it took."""
        return max(0.0, (self.ended - self.began).total_seconds())


class Course(Message):
    """A run over time."""

    began: datetime
    ended: datetime
    """Of a run that goes on: its last event."""
    stretches: list[Stretch]
    """In order of their beginning."""

    def of(self, kind: str, what: str = "") -> list[Stretch]:
        """Return the stretches of a kind, of one thing where it is named."""
        return [one for one in self.stretches if one.kind == kind and what in ("", one.what)]


class Moments(Message):
    """When a rollback's cause came, was noticed, decided about and gone. None: not known."""

    culprit_at: datetime | None = None
    """When what was at fault began to be rolled out, or to migrate."""
    noticed_at: datetime | None = None
    """When it was judged for the first time."""
    decided_at: datetime
    """When the rollback began."""
    restored_at: datetime | None = None
    """When the last step was put back."""
    ended_at: datetime
    """When the rollback had been verified, or ended incomplete."""

    @property
    def to_detect(self) -> float | None:
        """Seconds from the culprit's beginning until it was noticed."""
        return _between(self.culprit_at, self.noticed_at)

    @property
    def to_decide(self) -> float | None:
        """Seconds from noticing until the decision."""
        return _between(self.noticed_at, self.decided_at)

    @property
    def to_restore(self) -> float | None:
        """Seconds from the decision until everything was put back."""
        return _between(self.decided_at, self.restored_at)

    @property
    def affected(self) -> float:
        """Seconds from the culprit's beginning, else from the decision, until the end."""
        return _between(self.culprit_at or self.decided_at, self.ended_at) or 0.0


def course_of(status: StatusDocument) -> Course:
    """Return the course of a run as far as it has come."""
    events = _own(status)
    ended = events[-1].at if events else status.started_at
    stretches = [*_phases(events, ended), *_rollouts(status, events, ended), *_undos(status)]
    return Course(
        began=status.started_at,
        ended=max(ended, status.started_at),
        stretches=sorted(stretches, key=lambda one: one.began),
    )


def moments_of(status: StatusDocument) -> Moments | None:
    """Return the moments of a rollback, or None where none began."""
    events = _own(status)
    undoing = [one for one in events if one.phase is Phase.ROLL_BACK]
    if not undoing:
        return None
    decided = undoing[0].at
    before = [one for one in events if one.at <= decided and one.phase is not Phase.ROLL_BACK]
    undone = [one.at for one in undoing if _UNDONE.match(one.text)]
    return Moments(
        culprit_at=_culprit_at(status),
        noticed_at=_noticed_at(status, before, decided),
        decided_at=decided,
        restored_at=undone[-1] if undone else None,
        ended_at=undoing[-1].at,
    )


def found_after(status: StatusDocument) -> str:
    """Return what the checks after putting everything back found, without its full stop."""
    found = [one.text for one in _own(status) if one.text.startswith(_AFTER)]
    return found[-1].removeprefix(_AFTER).rstrip(".") if found else ""


def documents_of(status: StatusDocument) -> list[str]:
    """Return the keys of the incident record and of the post-mortem's draft."""
    return [match[1] for one in _own(status) if (match := _DOCUMENT.match(one.text))]


def _own(status: StatusDocument) -> list[Event]:
    """What slipway says itself: a line with a name is what a person decided."""
    return [one for one in status.timeline if not one.by]


def _between(began: datetime | None, ended: datetime | None) -> float | None:
    if began is None or ended is None:
        return None
    return max(0.0, (ended - began).total_seconds())


def _phases(events: list[Event], ended: datetime) -> Iterator[Stretch]:
    begins = [(match[1], one.at) for one in events if (match := _PHASE.match(one.text))]
    following = [*begins[1:], ("", ended)]
    for (name, began), (_, end) in zip(begins, following, strict=False):
        own = [one.at for one in events if one.phase.value == name]
        # a rollback may be asked for hours after the hand-over
        last = max(own, default=end) if name == Phase.HAND_OVER.value else end
        yield Stretch(what=name, kind="phase", began=began, ended=max(last, began))


def _rollouts(status: StatusDocument, events: list[Event], ended: datetime) -> Iterator[Stretch]:
    """Services are replaced one after the other: each begins where the one before has ended."""
    began: datetime | None = None
    done: set[str] = set()
    left = ended
    for one in events:
        phase, deployed = _PHASE.match(one.text), _DEPLOYED.match(one.text)
        if phase and phase[1] == Phase.ROLL_OUT.value:
            began = one.at
        elif phase and began is not None:
            left = one.at
            break
        elif deployed and began is not None:
            name, step = deployed[1], _ROLLOUT + deployed[1]
            yield Stretch(what=step, kind="rollout", began=began, ended=one.at)
            done.add(name)
            began = one.at
    for undo in status.undo:  # the one that was not finished
        name = undo.step.removeprefix(_ROLLOUT)
        if began is not None and undo.step.startswith(_ROLLOUT) and name not in done:
            yield Stretch(what=undo.step, kind="rollout", began=began, ended=max(left, began))


def _undos(status: StatusDocument) -> Iterator[Stretch]:
    """Services go back side by side, from the beginning of the round on; the data after them. A
    person's decision to try again begins a new round."""
    began = last = status.started_at
    for one in status.timeline:
        if one.phase is not Phase.ROLL_BACK:
            continue
        undone = None if one.by else _UNDONE.match(one.text)
        if undone:
            since = began if undone[1].startswith(_ROLLOUT) else last
            yield Stretch(what=undone[1], kind="undo", began=since, ended=max(one.at, since))
            last = max(last, one.at)
        elif one.by or _PHASE.match(one.text):
            began = last = one.at


def _culprit_at(status: StatusDocument) -> datetime | None:
    """When the service at fault, or the migration, began. A verdict about a service that this run
    had not touched implicates the migration, as the watch does."""
    verdict, course = status.verdict, course_of(status)
    if verdict is None:
        return None
    began = course.of("rollout", _ROLLOUT + verdict.service) if verdict.service else []
    migrated = any(not one.step.startswith(_ROLLOUT) for one in status.undo)
    if not began and migrated and (verdict.service or verdict.reason in _OF_DATA):
        began = course.of("phase", Phase.MIGRATE.value)
    return began[0].began if began else None


def _noticed_at(status: StatusDocument, before: list[Event], decided: datetime) -> datetime | None:
    """The first judgement in the window that led to the rollback; an abort's acknowledgement; else
    the judgement was the decision itself. When a person noticed is not known."""
    verdict = status.verdict
    if verdict is None or verdict.reason in _OF_PEOPLE:
        return None
    if verdict.reason is Reason.ABORTED:
        stopped = [one.at for one in before if one.text.startswith("Abort acknowledged")]
        return stopped[-1] if stopped else None
    judged = [(match, one.at) for one in before if (match := _JUDGED.match(one.text))]
    leading = [match[1] for match, _ in judged if match[2][:200] in verdict.because]
    return next((at for match, at in judged if match[1] in leading[-1:]), decided)
