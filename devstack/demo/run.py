"""One deployment on one environment, from its start to the look from outside."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from devstack.demo import outside
from devstack.demo.cli import Cli
from devstack.demo.people import People
from devstack.layout import CHECKOUT
from devstack.stack import Stack
from devstack.world import release as releases
from devstack.world.environment import Environment

PLAN = CHECKOUT / "plans" / "teei-production.yaml"
LOOKS = {
    "deployed": outside.deployed,
    "rolled_back": outside.rolled_back,
    "stopped": outside.stopped,
    "rejected": outside.stopped,
    "expired": outside.stopped,
}


@dataclass(frozen=True)
class Wish:
    """What to deploy: which fault in which service, which set of pending migrations."""

    faults: dict[str, str] = field(default_factory=dict)
    pending: str = "one"
    gate: str | None = None
    """The gate whose evidence fails it, or `stale`."""
    staging_fault: tuple[str, str] | None = None
    """A service and the fault it shows in staging."""
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
    before: outside.Seen

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
    decide: str = "rollback",
) -> Ending:
    """Deploy, answer as the demo's people, and look at the world afterwards. `decide` is what the
    operator chooses about a parked step."""
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
    overlay = wish.overlay or releases.write_overlay(stack, made, **given)
    cli = Cli(stack, queue)
    before = outside.look(stack, made)
    last = _newest(cli, made.name)
    with People(cli, made.name, not_this=last, decide=decide) as people:
        run = cli.follow(
            "start", str(wish.plan), str(release), "--overlay", str(overlay), "--wait", to=to
        )
        code = run.wait()
    status = _final_status(cli, made.name, last)
    look = LOOKS.get(str(status.get("outcome")))
    wrong = look(stack, made, before, status) if look else [f"the run did not end: {status}"]
    return Ending(code, status, wrong, people.parked, people.said, before)


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
