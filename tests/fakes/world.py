"""A world in memory, and the log of every effect on it, so that tests can judge from outside."""

import inspect
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

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
    `name:service`); each may raise, or return a verdict to use instead of PROCEED.
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

    async def meet(self, name: str) -> Any:
        """Count a call, then do what the test planned for it, and await it if it takes its time."""
        self.calls[name] += 1
        planned = self.trouble.get(name)
        act = planned.pop(0) if planned else self.always.get(name)
        done = act() if act is not None else None
        return await done if inspect.isawaitable(done) else done

    def now(self) -> datetime:
        """The activities' own clock."""
        return datetime.now(UTC)


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
