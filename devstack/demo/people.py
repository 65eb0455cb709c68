"""The demo's people: they confirm, approve, and answer parked steps, by the command line."""

import asyncio
import threading
import time
from dataclasses import dataclass, field
from typing import Any

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


@dataclass
class People:
    """Watches one environment's newest deployment and answers what it asks, once each."""

    cli: Cli
    environment: str
    not_this: str = ""
    """ID of an earlier deployment, which is not theirs to answer."""
    decide: str = "rollback"
    """What the operator chooses about a parked step."""
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
            for wait in status["waiting_for"]:
                await asyncio.to_thread(self._answer, status, wait)

    async def _status(self, client: Client) -> dict[str, Any] | None:
        """Looking often by the command line would cost a core; answers go through it."""
        handle = client.get_workflow_handle(f"deploy-{self.environment}")
        try:
            status: dict[str, Any] | None = await handle.query("status")
        except (RPCError, WorkflowQueryFailedError):
            return None  # not started yet, or between two workflow tasks
        return status

    def _answer(self, status: dict[str, Any], wait: dict[str, Any]) -> None:
        key = f"{status['id']}/{wait['kind']}/{wait['what']}"
        if key in self.answered:
            return
        if wait["kind"] == "acknowledge":
            item = next((one for one in CONFIRMERS if one in wait["what"]), "")
            self._say(key, "acknowledge", status["id"], item, "--person", CONFIRMERS[item])
        elif wait["kind"] == "approval":
            self._say(key, "approve", status["id"], "--role", ROLE, "--person", APPROVER, "--yes")
        elif wait["kind"] == "operator":
            self._decide(key, status)

    def _decide(self, key: str, status: dict[str, Any]) -> None:
        step = status["current"]["step"]
        self.parked.append({"at": time.time(), "step": step, "verdict": status["verdict"]})
        self._say(
            key,
            *("resolve", status["id"], self.decide, "--step", step),
            *("--person", OPERATOR, "--reason", "decided by the demo's operator"),
        )

    def _say(self, key: str, *arguments: str) -> None:
        answer = self.cli.run(*arguments)
        self.said.append(f"$ slipway {' '.join(arguments)}  -> {answer.code}")
        if answer.code == 0:
            self.answered.add(key)
        else:
            self.said.append((answer.out + answer.err).strip()[-600:])
