"""A plan of two services, made from the TEEI plan, whose waits are short enough for tests."""

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import yaml

from devstack.demo import troubles
from devstack.demo.people import WILLING
from devstack.demo.run import PLAN, Ending, Wish, carry_out
from devstack.stack import Stack
from devstack.world import release as releases
from devstack.world.environment import Environment
from slipway.verdicts import Reason

SERVICES = ("api-gateway", "analytics")
PATIENCE = 600.0
"""Seconds that a command which waits for a run may take: a busy machine is no failure."""
BUSY = {Reason.NOTHING_TO_READ, Reason.TOO_LITTLE_TRAFFIC, Reason.STEP_OUT_OF_ATTEMPTS}
"""Why a good release may wait for a person where scrapes and answers come late."""
TIME_SCALE = 15.0
"""The backup's hour is four minutes, the operator's half hour two: backups, rehearsals and people
take as long as ever, and longer on a busy machine. Waits are shortened by the plan instead."""
_TIMINGS = {
    "settle": "15s",
    "monitor": "2m",
    "final_monitor": "4m",
    "probe": "7.5s",
    "slice": "1m",
    "rollout_deadline": "30m",
}
"""Three scrapes and more fall into each window also when it is divided by TIME_SCALE. Three pods
may need a minute to be ready, one after the other."""


def small_plan(folder: Path) -> Path:
    """Write the plan; flows that need other services are left out."""
    plan: dict[str, Any] = yaml.safe_load(PLAN.read_text())
    plan["services"] = [one for one in plan["services"] if one["name"] in SERVICES]
    plan["smoke"] = [flow for flow in plan["smoke"] if _services_of(flow) <= set(SERVICES)]
    plan.setdefault("migrations", {})["watch"] = "30s"
    assert plan["smoke"], "no smoke flow is left for the small plan"
    return _written(folder / "small-plan.yaml", plan, _TIMINGS)


def full_plan(folder: Path) -> Path:
    """Write the whole plan; its services get the time to be ready that a busy machine needs."""
    plan: dict[str, Any] = yaml.safe_load(PLAN.read_text())
    deadline = {"rollout_deadline": _TIMINGS["rollout_deadline"]}
    return _written(folder / "full-plan.yaml", plan, deadline)


def _written(path: Path, plan: dict[str, Any], timings: dict[str, str]) -> Path:
    plan["timings"] = {**plan.get("timings", {}), **timings}
    path.write_text(json.dumps(plan, indent=1))  # JSON quotes everything: the loader wants that
    return path


def small_wish(stack: Stack, made: Environment, folder: Path, **changes: Any) -> Wish:
    """Return what to deploy on an environment of TIME_SCALE."""
    overlaid = troubles.overlaid(changes.get("trouble", troubles.NONE), datetime.now(UTC))
    overlay = releases.write_overlay(stack, made, services=SERVICES, changes=overlaid)
    return Wish(plan=small_plan(folder), services=SERVICES, overlay=overlay, **changes)


def _services_of(flow: dict[str, Any]) -> set[str]:
    named = {step.get("service") for step in flow["steps"]} | {flow.get("service")}
    return {one for one in named if one}


def deploy(stack: Stack, made: Environment, queue: str, folder: Path, **changes: object) -> Ending:
    """Deploy the small plan; slipway's own output goes to a file beside it. What a busy machine
    parks is tried again."""
    wish = small_wish(stack, made, folder, **changes)
    decide = "retry" if wish.trouble.manner == WILLING else None
    with (folder / "slipway.log").open("wb") as log:
        return carry_out(stack, made, wish, queue, to=log.fileno(), decide=decide)


def wrongly_parked(ending: Ending) -> list[str]:
    """Return what a person was asked about that is not the machine's fault."""
    return [
        one["because"]
        for one in ending.parked
        if one["verdict"] and one["verdict"]["reason"] not in BUSY
    ]


def told(ending: Ending, folder: Path) -> str:
    """Return everything worth reading when a test fails."""
    log = (folder / "slipway.log").read_text()[-4000:]
    return "\n".join([*ending.wrong, *ending.said, log])
