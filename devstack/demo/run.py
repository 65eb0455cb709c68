"""One deployment on one environment, from its start to the look from outside."""

import time
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from devstack.demo import audit, outside, told, troubles
from devstack.demo.cli import Cli
from devstack.demo.interrupting import Interrupting
from devstack.demo.interruptions import Interruption
from devstack.demo.look import Seen, look
from devstack.demo.outage import Calm, Disturbance, RowMeanwhile, ServerAway
from devstack.demo.people import People
from devstack.demo.troubles import Trouble
from devstack.layout import CHECKOUT
from devstack.stack import Stack
from devstack.world import release as releases
from devstack.world.environment import Environment

PLAN = CHECKOUT / "plans" / "teei-production.yaml"
UNREACHABLE = 8
"""How the demo ends when a server of the stack cannot be had, as the command line does."""
_WIDTH = 78


@dataclass(frozen=True)
class Wish:
    """What to deploy: which fault in which service, which set of pending migrations."""

    faults: dict[str, str] = field(default_factory=dict)
    pending: str = "one"
    gate: str | None = None
    """The gate whose evidence fails it, or `stale`."""
    staging_fault: tuple[str, str] | None = None
    """A service and the fault it shows in staging."""
    trouble: Trouble = troubles.NONE
    """What goes wrong around the release."""
    interruptions: tuple[Interruption, ...] = ()
    """What is done to workers and servers meanwhile."""
    version: str = "1.1.0"
    plan: Path = PLAN
    services: tuple[str, ...] | None = None
    overlay: Path | None = None
    """An overlay already written; else the environment's own."""


@dataclass(frozen=True)
class Ending:
    """How it ended, and what an outsider finds wrong with that."""

    code: int
    status: dict[str, Any]
    wrong: list[str]
    parked: list[dict[str, Any]]
    said: list[str]
    disturbed: list[str]
    """What was done to the run, with its times."""
    before: Seen
    started: float
    """When the run was started, in seconds since 1970."""
    began: float
    """When what may go wrong began: see expectations.yaml."""
    ended: float

    @property
    def outcome(self) -> str:
        """The reported outcome."""
        return str(self.status.get("outcome", "unknown"))

    @property
    def reason(self) -> str:
        """The reason of the deciding verdict, or Ok."""
        verdict = self.status.get("verdict")
        return "Ok" if self.outcome == "deployed" or not verdict else str(verdict["reason"])


def carry_out(
    stack: Stack,
    made: Environment,
    wish: Wish,
    queue: str,
    *,
    to: int | None = None,
    decide: str | None = None,
) -> Ending:
    """Deploy, answer as the demo's people, and look at the world afterwards.

    `to` is a file descriptor for slipway's own output, `decide` what the operator chooses about
    every parked step that offers it, to retry the others (else the wish says it).
    """
    manner = wish.trouble.manner
    manner = replace(manner, decisions=(decide,), otherwise="retry") if decide else manner
    documents = _documents(stack, made, wish)
    cli = Cli(stack, queue)
    before = look(stack, made)
    last = _newest(cli, made.name)
    started = time.time()
    diary = Diary()
    with _disturbance(stack, made, wish, queue, diary) as disturbance:
        with People(cli, made.name, not_this=last, manner=manner, see=disturbance.see) as people:
            code = cli.follow("start", *documents, "--wait", to=to).wait()
        ended = time.time()
    status = _final_status(cli, made.name, last)
    crashes = sum(one.whom == "postgres" for one in wish.interruptions)
    wrong = outside.judge(stack, made, before, status, crashes=crashes)
    wrong += told.judge(cli, made, status, people.parked, deaf=wish.trouble.deaf)
    began = disturbance.began or _rolled_out(stack, made, wish, before) or started
    return Ending(
        code, status, wrong, people.parked, people.said, diary.lines, before, started, began, ended
    )


def _documents(stack: Stack, made: Environment, wish: Wish) -> tuple[str, ...]:
    """Write the release and the overlay; return the arguments that name them and the plan."""
    given = {} if wish.services is None else {"services": wish.services}
    release = releases.make_release(
        stack,
        made,
        version=wish.version,
        pending=wish.pending,
        faults=wish.faults,
        gate=wish.gate,
        staging_fault=wish.staging_fault,
        **given,
    )
    changes = troubles.overlaid(wish.trouble, datetime.now(UTC))
    overlay = wish.overlay or releases.write_overlay(stack, made, changes=changes, **given)
    plan = troubles.plan_for(wish.trouble, wish.plan, made.path)
    return (str(plan), str(release), "--overlay", str(overlay))


class Diary:
    """What was done to a run: printed as it happens, and kept."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    def tell(self, what: str) -> None:
        """Note it with its time."""
        self.lines.append(f"{datetime.now(UTC):%H:%M:%SZ} {what}")
        print(f"{self.lines[-1]} ".rjust(_WIDTH, "─"), flush=True)


def _disturbance(
    stack: Stack, made: Environment, wish: Wish, queue: str, diary: Diary
) -> Disturbance:
    if wish.interruptions:
        return Interrupting(stack, queue, wish.interruptions, diary.tell)
    if wish.trouble.outage is not None:
        return ServerAway(stack, wish.trouble.outage, diary.tell)
    if wish.trouble.late_row:
        return RowMeanwhile(stack, made.database, diary.tell)
    return Calm()


def _rolled_out(stack: Stack, made: Environment, wish: Wish, before: Seen) -> float | None:
    """When the first faulty version was rolled out, by the audit log."""
    writes = audit.writes(stack, made, before.audit, before.images)
    return next((one.at.timestamp() for one in writes if one.service in wish.faults), None)


def _newest(cli: Cli, environment: str) -> str:
    answer = cli.run("status", environment, "--json")
    try:
        return str(answer.json().get("id", ""))
    except ValueError:
        return ""


def _final_status(cli: Cli, environment: str, last: str) -> dict[str, Any]:
    answer = cli.run("status", environment, "--json")
    try:
        status: dict[str, Any] = answer.json()
    except ValueError as error:
        return {"outcome": "unknown", "why": str(error)}
    return status if status.get("id") != last else {"outcome": "never started"}
