"""The demo's people: they confirm, approve, and answer parked steps, by the command line."""

import threading
import time
from dataclasses import dataclass, field
from typing import Any

from devstack.demo.cli import Cli

CONFIRMERS = {
    "stakeholders-notified": "release-manager@teei.com",
    "incident-team-on-standby": "on-call@teei.com",
}
APPROVER, ROLE = "vp-engineering@teei.com", "vp"
OPERATOR = "on-call@teei.com"


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
        self._thread = threading.Thread(target=self._work, name="people", daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join(timeout=150)

    def _work(self) -> None:
        while not self._stop.wait(0.5):
            status = self._status()
            if status is None:
                continue
            for wait in status["waiting_for"]:
                self._answer(status, wait)

    def _status(self) -> dict[str, Any] | None:
        answer = self.cli.run("status", self.environment, "--json")
        try:
            status: dict[str, Any] = answer.json()
        except ValueError:
            return None
        known = status.get("id") not in ("", self.not_this)
        return status if known and "waiting_for" in status else None

    def _answer(self, status: dict[str, Any], wait: Any) -> None:
        if not isinstance(wait, dict):  # the memo's short form: the query answers soon
            return
        key = f"{status['id']}/{wait['kind']}/{wait['what']}"
        if key in self.answered:
            return
        if wait["kind"] == "acknowledge":
            item = next((one for one in CONFIRMERS if one in wait["what"]), "")
            self._say(key, "acknowledge", status["id"], item, "--person", CONFIRMERS[item])
        elif wait["kind"] == "approval":
            self._say(key, "approve", status["id"], "--role", ROLE, "--person", APPROVER, "--yes")
        elif wait["kind"] == "operator":
            self.parked.append(
                {"at": time.time(), "step": status["current"]["step"], "verdict": status["verdict"]}
            )
            self._say(
                key,
                *("resolve", status["id"], self.decide, "--step", status["current"]["step"]),
                *("--person", OPERATOR, "--reason", "decided by the demo's operator"),
            )

    def _say(self, key: str, *arguments: str) -> None:
        answer = self.cli.run(*arguments)
        self.said.append(f"$ slipway {' '.join(arguments)}  -> {answer.code}")
        if answer.code == 0:
            self.answered.add(key)
        else:
            self.said.append((answer.out + answer.err).strip()[-600:])
