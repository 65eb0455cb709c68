"""Runs on real servers whose workers die or freeze at every boundary of every activity.

The activities are read off the worker's registry, so that a new one joins by itself; one that no
scenario comes to makes the test fail.
"""

import asyncio
import json
import os
import subprocess
import sys
import threading
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from temporalio.client import Client, WorkflowQueryFailedError
from temporalio.service import RPCError

from devstack.demo import workers
from devstack.demo.run import Ending, carry_out
from devstack.demo.troubles import NONE, TROUBLES
from devstack.layout import CHECKOUT
from devstack.stack import Stack
from devstack.world.environment import Environment
from slipway import names
from tests.e2e.small import small_wish
from tests.faults.worker import ORDERS, POINTS
from worker import registry
from worker.settings import Role, Settings

SIGNALS = ("KILL", "STOP")
WHERE = ("before", "after")
ELSEWHERE: dict[str, tuple[str, ...]] = {
    "rolled_back": (
        "database.roll_back:1",
        "check.probes:1",
        "rollout.apply:3",
        "rollout.wait:3",
        "fallback.follow:1",
    ),
    "corrupted": ("database.compare:1",),
    "aborted": ("rollout.fence:1", "migrations.fence:1", "lease.acquire:2"),
    "reported": ("record.read:1", "record.verify:1"),
    "kept": (
        "backup.tidy:1",
        "fallback.end:1",
        "backup.list:1",
        "backup.verify:1",
        "backup.restore_to:1",
        "backup.reapply:1",
    ),
}
"""What a good release does not come to, by scenario, and at which occurrence it strikes."""
FAULTS = {"rolled_back": "errors3", "corrupted": "corrupts"}
DECISIONS = {"aborted": "resume", "corrupted": "rollback"}
"""What the operator chooses about every parked step; else to retry it."""
GOOD_PARTS = {"KILL": 1, "STOP": 2}
"""So many runs share the boundaries of a good release: each strike costs a heartbeat timeout, each
run an environment."""


@dataclass(frozen=True)
class Case:
    """One run: its scenario, how its workers are struck, and at which boundaries."""

    name: str
    """Also the environment's name."""
    scenario: str
    signal: str
    points: tuple[str, ...]
    """`activity.before:n` or `activity.after:n`: at the n-th time."""


def activity_names() -> list[str]:
    """Return every activity that a worker serves."""
    settings = Settings(role=Role.ALL, task_queue="none", artifacts=Path("."))
    methods: list[Any] = [*registry.unprivileged(settings), *registry.privileged(settings)]
    return sorted(one.__temporal_activity_definition.name for one in methods)


def cases() -> list[Case]:
    """Return every run of the matrix."""
    special = {one.partition(":")[0] for group in ELSEWHERE.values() for one in group}
    special -= {"rollout.apply", "rollout.wait", "lease.acquire"}  # a good release does these too
    ordinary = [f"{name}:1" for name in activity_names() if name not in special]
    found = []
    for number in SIGNALS:
        parts = GOOD_PARTS[number]
        for part in range(parts):
            found.append(_case("deployed", number, ordinary[part::parts], part))
        for scenario, group in ELSEWHERE.items():
            found.append(_case(scenario, number, list(group), 0))
    return found


def cost(case: Case) -> int:
    """Compare how long runs take: frozen work is missed later than killed work is done again, and
    those that begin first should end last."""
    return len(case.points) * (2 if case.signal == "STOP" else 1)


def _case(scenario: str, number: str, activities: list[str], part: int) -> Case:
    points = []
    for one in activities:
        name, _, occurrence = one.partition(":")
        points += [f"{name}.{where}:{occurrence}" for where in WHERE]
    short = f"{number[0]}{scenario}{part}".lower().replace("_", "")
    return Case(f"m{short}"[:16], scenario, number, tuple(points))


@dataclass
class Struck:
    """A pair of workers that are struck, and the folder that tells where they were."""

    stack: Stack
    queue: str
    case: Case
    folder: Path

    def __enter__(self) -> "Struck":
        marks = self._marks
        marks.mkdir(parents=True)
        (marks / POINTS).write_text("\n".join(self.case.points))
        plain = {name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ}
        orders = {
            "signal": self.case.signal,
            "environments": {
                role: {**plain, **workers.spec(self.stack, self.queue, role).env}
                for role in workers.ROLES
            },
        }
        (marks / ORDERS).write_text(json.dumps(orders))
        with (self.folder / "workers.log").open("wb") as log:
            self._keeper = subprocess.Popen(
                [sys.executable, "-m", "tests.faults.worker", str(marks)],
                cwd=CHECKOUT,
                stdout=log,
                stderr=subprocess.STDOUT,
            )
        try:
            workers.wait_polled(self.stack, self.queue)
        except BaseException:
            self._end()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self._end()

    def _end(self) -> None:
        self._keeper.terminate()
        self._keeper.wait(timeout=120)

    @property
    def _marks(self) -> Path:
        return self.folder / "marks"

    @property
    def missed(self) -> list[str]:
        """Boundaries where nothing struck."""
        return [one for one in self.case.points if not (self._marks / one).exists()]


def carry(stack: Stack, made: Environment, struck: Struck, folder: Path) -> Ending:
    """Deploy by the scenario; people answer as the demo's do, and retry what is parked."""
    scenario = struck.case.scenario
    faults = {"analytics": FAULTS[scenario]} if scenario in FAULTS else {}
    trouble = TROUBLES["approval:rejected"] if scenario == "kept" else NONE
    wish = small_wish(stack, made, folder, faults=faults, trouble=trouble)
    with (folder / "slipway.log").open("wb") as log, _meanwhile(stack, made, struck):
        return carry_out(
            stack,
            made,
            wish,
            struck.queue,
            to=log.fileno(),
            decide=DECISIONS.get(scenario, "retry"),
        )


class _meanwhile:  # noqa: N801 - reads as a statement: with _meanwhile(…)
    """In the scenario `aborted` somebody aborts once the first service is deployed."""

    def __init__(self, stack: Stack, made: Environment, struck: Struck) -> None:
        self._stack = stack
        self._made = made
        self._wanted = struck.case.scenario == "aborted"
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._abort, daemon=True)

    def __enter__(self) -> None:
        if self._wanted:
            self._thread.start()

    def __exit__(self, *_: object) -> None:
        self._over.set()
        if self._wanted:
            self._thread.join(timeout=60)

    def _abort(self) -> None:
        asyncio.run(self._abort_when_first_is_deployed())

    async def _abort_when_first_is_deployed(self) -> None:
        client = await self._connected()
        handle = client.get_workflow_handle(names.deployment_workflow_id(self._made.name))
        while not self._over.is_set():
            with suppress(RPCError, WorkflowQueryFailedError):  # not there yet, or no worker
                status: dict[str, Any] = await handle.query("status")
                if status["services"][0]["state"] == "deployed":
                    by = {"person": "on-call@teei.com", "reason": "the matrix"}
                    await handle.signal("abort", {"request": "matrix", **by})
                    return
            await asyncio.sleep(0.2)

    async def _connected(self) -> Client:
        while True:
            with suppress(RuntimeError):  # a busy server did not answer in time
                return await Client.connect(self._stack.temporal_address)
