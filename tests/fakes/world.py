"""A world in memory, and the log of every effect on it, so that tests can judge from outside."""

import inspect
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from temporalio import activity

from slipway.messages.record import Artefact, Entry, Fallback
from slipway.verdicts import Kind, Reason, Signal, Verdict


@dataclass
class FakeDeployment:
    """A Deployment: its image, fence and the operation that wrote it last."""

    image: str
    fence: int = 0
    op_id: str = ""
    generation: int = 1
    writes: list[str] = field(default_factory=list)

    @property
    def template(self) -> dict[str, Any]:
        """The pod template as it stands."""
        return {"spec": {"containers": [{"name": "app", "image": self.image}]}}


@dataclass
class FakeWorld:
    """Everything outside the workflow, and what shall go wrong in it.

    `trouble[name]` is a list of callables, one an attempt of the activity `name` (or
    `name:service`, `record.attach:artefact`, `record.append:kind`); each may raise, or return a
    verdict to use instead of PROCEED.
    """

    deployments: dict[str, FakeDeployment] = field(default_factory=dict)
    schema: str = "old"
    ledger: list[str] = field(default_factory=list)
    database_fence: int = 0
    database_op: str = ""
    started: set[tuple[str, ...]] = field(default_factory=set)
    """Deployment and hashes of every migration command that may have had an effect."""
    entries: dict[str, list[Entry]] = field(default_factory=dict)
    artefacts: dict[str, str] = field(default_factory=dict)
    kept: dict[str, Artefact] = field(default_factory=dict)
    holder: str = ""
    turn: int = 0
    ended: dict[str, int] = field(default_factory=dict)
    epoch: int = 0
    notices: list[Any] = field(default_factory=list)
    effects: list[str] = field(default_factory=list)
    calls: dict[str, int] = field(default_factory=lambda: defaultdict(int))
    trouble: dict[str, list[Callable[[], Any]]] = field(default_factory=dict)
    always: dict[str, Callable[[], Any]] = field(default_factory=dict)
    backups: int = 0
    rehearsed: list[str] = field(default_factory=list)
    dropped: list[str] = field(default_factory=list)
    fallback: Fallback | None = None
    """What backups tell of a side database that is to follow; None: it cannot."""
    followed: list[str] = field(default_factory=list)
    accepted: list[bool] = field(default_factory=list)
    """Of each request to put the database back: whether rows may differ."""
    tidied: list[str] = field(default_factory=list)
    """Deployments whose leftovers were dropped."""
    slices: list[Any] = field(default_factory=list)
    _met: dict[object, tuple[int, Callable[[], Any] | None]] = field(default_factory=dict)
    """What an activity met, and in which attempt, by activity and name."""
    _done: dict[object, int] = field(default_factory=dict)
    """In which attempt an activity did something that is done once, by activity and name."""

    async def meet(self, name: str) -> Any:
        """Count a call, then do what the test planned for it, and await it if it takes its time.

        An attempt that the server gave up (a busy machine is late with a heartbeat) is followed by
        another that meets the same: it is no new call. After an error the next thing is met.
        """
        call = _call(name)
        if not self.again(name):
            self.calls[name] += 1
            planned = self.trouble.get(name)
            self._met[call] = _attempt(), planned.pop(0) if planned else self.always.get(name)
        _, act = self._met[call]
        try:
            done = act() if act is not None else None
            return await done if inspect.isawaitable(done) else done
        except Exception:
            self._met.pop(call, None)
            raise

    def again(self, name: str) -> bool:
        """Whether another attempt of the activity in hand has met `name`."""
        attempt, _ = self._met.get(_call(name), (_attempt(), None))
        return attempt != _attempt()

    def once(self, name: str) -> bool:
        """Whether no other attempt of the activity in hand has done `name`, which is done now.

        An attempt that was given up may come here, too, and after the one that followed it.
        """
        return self._done.setdefault(_call(name), _attempt()) == _attempt()

    def now(self) -> datetime:
        """The activities' own clock."""
        return datetime.now(UTC)


def _attempt() -> int:
    return activity.info().attempt if activity.in_activity() else 1


def _call(name: str) -> object:
    """What all attempts of an activity have in common."""
    if not activity.in_activity():
        return name
    info = activity.info()
    return (info.workflow_run_id, info.activity_id, name)


def fails(error: Exception) -> Callable[[], Any]:
    """Return a trouble that raises."""

    def raise_it() -> Any:
        raise error

    return raise_it


def says(
    kind: Kind, reason: Reason, service: str | None = None, because: str = "planned by the test"
) -> Callable[[], Verdict]:
    """Return a trouble that gives a verdict."""
    verdict = Verdict(
        kind=kind, signal=Signal.TRAFFIC, reason=reason, service=service, because=because
    )
    return lambda: verdict
