"""The situations in which somebody asks `why`: how each comes about, what must be said, which
command is pasted and what it must bring about."""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

from slipway.states import Outcome
from slipway.status import StatusDocument
from slipway.verdicts import Kind, Reason, Signal, Verdict
from tests.workflow.case import Case
from tests.workflow.hall import Done
from tests.workflow.holds import Hold

Drive = Callable[[Case], Awaitable[None]]
Effect = Callable[[Case, Done], Awaitable[None]]
SERVICE = "api-gateway"
WINDOW = f"monitor:{SERVICE}"
NUMBERS = {"requests": 1020.0, "failures": 31.0}


@dataclass(frozen=True)
class Situation:
    """One situation."""

    name: str
    drive: Drive
    says: tuple[str, ...]
    """What must stand in the answer: culprit, numbers, owner."""
    paste: str
    """The label of the command that is pasted."""
    effect: Effect
    plan: dict[str, Any] = field(default_factory=dict)
    """What its plan has otherwise."""
    process: bool = False
    """Whether `why`, and a worker that is pasted, run as processes of their own."""
    apart: bool = False
    """Whether it has a queue of its own, on which nobody works at first."""
    terminal: bool = False
    """Whether the command is pasted into a terminal, where it asks."""
    meanwhile: Drive | None = None
    """What happens while the pasted command runs."""


class Stubborn(Hold):
    """An activity that goes on although it is told to end."""

    async def _wait(self) -> None:
        while not self.released.is_set():
            with contextlib.suppress(asyncio.CancelledError):
                await super()._wait()


def judged(kind: Kind, reason: Reason, service: str | None = SERVICE) -> Callable[[], Verdict]:
    """A verdict with numbers."""
    verdict = Verdict(
        kind=kind,
        signal=Signal.TRAFFIC,
        reason=reason,
        service=service,
        because="31 of 1,020 requests failed",
        numbers=NUMBERS,
    )
    return lambda: verdict


# Coming about


def meeting(trouble: dict[str, list[Callable[[], Any]]], then: Drive) -> Drive:
    """The world holds this trouble; the deployment is carried as far as `then` says."""

    async def drive(case: Case) -> None:
        case.world.trouble.update({name: list(planned) for name, planned in trouble.items()})
        await case.begin()
        await then(case)

    return drive


async def has_ended(case: Case) -> None:
    """Wait for the end, without approval."""
    await case.ended()


async def approved_to_the_end(case: Case) -> None:
    """Approve and wait for the end."""
    await case.approve()
    await case.ended()


async def approved_and_parked(case: Case) -> None:
    """Approve and wait until a person is asked."""
    await case.approve()
    await case.reaches(parked)


async def is_parked(case: Case) -> None:
    """Wait until a person is asked."""
    await case.reaches(parked)


async def at_approval(case: Case) -> None:
    """Wait for the moment of approval."""
    await case.reaches_approval()


def parked(status: StatusDocument) -> bool:
    """Whether a person is asked to decide."""
    return any(one.kind == "operator" for one in status.waiting_for)


# What a pasted command brings about


async def goes_on(case: Case, done: Done) -> None:
    """The parked step goes on."""
    assert done.code == 0, done.err
    await case.reaches(lambda one: not parked(one))


async def begins_again(case: Case, done: Done) -> None:
    """A new deployment has the environment."""
    assert done.code == 0, done.err
    case.newest(done.out.split()[1].rstrip(":"))
    await case.reaches(lambda one: bool(one.timeline))


async def is_put_back(case: Case, done: Done) -> None:
    """Everything is as before, and the environment is free."""
    assert done.code == 0, done.err
    result = await case.ended()
    assert result.outcome is Outcome.ROLLED_BACK
    assert all(one.image.startswith("old/") for one in case.world.deployments.values())
    assert (case.world.schema, case.world.holder) == ("old", "")


async def stops(case: Case, done: Done) -> None:
    """The run ends before any change."""
    assert done.code == 0, done.err
    assert (await case.ended()).outcome is Outcome.STOPPED


async def is_shown(case: Case, done: Done) -> None:
    """It is a command that shows something."""
    assert done.code == 0, done.err
    assert done.out
