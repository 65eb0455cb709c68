"""The demo's people: they confirm, approve, and answer parked steps, by the command line."""

import asyncio
import subprocess
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Literal

from temporalio.client import Client, WorkflowQueryFailedError
from temporalio.service import RPCError

from devstack.demo.cli import Cli

CONFIRMERS = {
    "stakeholders-notified": "release-manager@teei.com",
    "incident-team-on-standby": "on-call@teei.com",
}
APPROVER, ROLE = "vp-engineering@teei.com", "vp"
OPERATOR = "on-call@teei.com"
LOOK_SECONDS = 0.3


@dataclass(frozen=True)
class Manner:
    """How the demo's people answer."""

    approval: Literal["approve", "reject", "silence"] = "approve"
    decisions: tuple[str, ...] = ("rollback",)
    """What the operator chooses about a parked step: the first time, the second time, … (then the
    last again)."""
    otherwise: str = ""
    """What is chosen where a step does not offer that; else its last choice, the default."""


WILLING = Manner()


@dataclass
class People:
    """Watches one environment's newest deployment and answers what it asks, once each."""

    cli: Cli
    environment: str
    not_this: str = ""
    """ID of an earlier deployment, which is not theirs to answer."""
    manner: Manner = WILLING
    see: Callable[[dict[str, Any]], None] = lambda _: None
    """Is shown every status as well."""
    answered: set[str] = field(default_factory=set)
    parked: list[dict[str, Any]] = field(default_factory=list)
    """Every step that was parked, as seen."""
    said: list[str] = field(default_factory=list)
    _stop: threading.Event = field(default_factory=threading.Event)

    def __enter__(self) -> "People":
        self._thread = threading.Thread(
            target=lambda: asyncio.run(self._work()), name="people", daemon=True
        )
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join(timeout=150)

    async def _work(self) -> None:
        stack = self.cli.stack
        client = await Client.connect(stack.temporal_address, namespace=stack.temporal_namespace)
        while not self._stop.is_set():
            await asyncio.sleep(LOOK_SECONDS)
            status = await self._status(client)
            if status is None or status["id"] == self.not_this:
                continue
            self.see(status)
            for wait in status["waiting_for"]:
                await asyncio.to_thread(self._answer, status, wait)

    async def _status(self, client: Client) -> dict[str, Any] | None:
        """Looking often by the command line would cost a core; answers go through it."""
        handle = client.get_workflow_handle(f"deploy-{self.environment}")
        try:
            status: dict[str, Any] | None = await handle.query("status")
        except (RPCError, WorkflowQueryFailedError):
            return None  # not started yet, between two workflow tasks, or a server is away
        return status

    def _answer(self, status: dict[str, Any], wait: dict[str, Any]) -> None:
        key = f"{status['id']}/{wait['kind']}/{wait['what']}"
        if wait["kind"] == "operator":
            key += f"/{wait['until']}"  # the same step may ask again, in the same words
        if key in self.answered:
            return
        match wait["kind"]:
            case "acknowledge" | "approval" if self.manner.approval == "silence":
                return
            case "acknowledge":
                item = next((one for one in CONFIRMERS if one in wait["what"]), "")
                self._say(key, "acknowledge", status["id"], item, "--person", CONFIRMERS[item])
            case "approval":
                self._approve(key, status["id"])
            case "operator":
                self._decide(key, status, wait)
            case "window":
                why = ("--person", OPERATOR, "--reason", "the window is not before the day after")
                self._say(key, "abort", status["id"], *why)

    def _approve(self, key: str, identity: str) -> None:
        who = ("--role", ROLE, "--person", APPROVER)
        if self.manner.approval == "reject":
            self._say(key, "reject", identity, *who, "--reason", "not this release")
        else:
            self._say(key, "approve", identity, *who, "--yes")

    def _decide(self, key: str, status: dict[str, Any], wait: dict[str, Any]) -> None:
        step, wanted = status["current"]["step"], self.manner.decisions
        asked = len({one["key"] for one in self.parked if one["step"] == step} - {key})
        choice = wanted[min(asked, len(wanted) - 1)]
        offered = wait["choices"]
        choice = next(
            (one for one in (choice, self.manner.otherwise) if one in offered), offered[-1]
        )
        if all(one["key"] != key for one in self.parked):
            verdict = wait["verdict"] or status["verdict"]
            seen = {"key": key, "at": time.time(), "step": step, "verdict": verdict}
            self.parked.append({**seen, "because": wait["what"], "choice": choice})
        self._say(
            key,
            *("resolve", status["id"], choice, "--step", step),
            *("--person", OPERATOR, "--reason", "decided by the demo's operator"),
        )

    def _say(self, key: str, *arguments: str) -> None:
        try:
            answer = self.cli.run(*arguments)
        except subprocess.TimeoutExpired:  # a server is away: later again
            return
        self.said.append(f"$ slipway {' '.join(arguments)}  -> {answer.code}")
        if answer.code == 0:
            self.answered.add(key)
        else:
            self.said.append((answer.out + answer.err).strip()[-600:])
