"""Whether people were told: notices as the receiver kept them, and what the report owns up to."""

from typing import Any

import httpx

from devstack.demo.cli import Cli
from devstack.world.environment import Environment

_ENDS = {
    "deployed": "deployed",
    "rolled_back": "rolled_back",
    "rollback_incomplete": "rolled_back",
    "stopped": "stopped",
    "rejected": "stopped",
    "expired": "stopped",
}
"""The kind of notice that tells of an outcome."""
_WITH_CONTACTS = ("parked", "rolled_back")


def judge(
    cli: Cli, made: Environment, status: dict[str, Any], parked: list[dict[str, Any]], *, deaf: bool
) -> list[str]:
    """Return who was not told what, a sentence each. `deaf`: nobody listens for notices."""
    if status.get("outcome") not in _ENDS:
        return []  # not even ended: the judge of the outcome says so
    received = _received(cli, made, status["id"])
    if deaf:
        return _owned_up(cli, status, received)
    wrong = missing(received, status, [one["step"] for one in parked])
    if status["outcome"] == "deployed" and not _team_ticked(status):
        wrong.append("the team was told, but the checklist does not say so")
    return wrong


def missing(received: list[dict[str, Any]], status: dict[str, Any], parked: list[str]) -> list[str]:
    """Return what nobody was told of, unless the timeline says that a notice was not delivered."""
    wanted = [("parked", step) for step in dict.fromkeys(parked)]
    wanted.append((_ENDS[status["outcome"]], ""))
    wrong = []
    for kind, step in wanted:
        found = [one for one in received if one["kind"] == kind and step in one["title"]]
        if not found:
            wrong.append(f"nobody was told: {kind} {step}".strip())
        elif kind in _WITH_CONTACTS and not all(_contacts(one) for one in found):
            wrong.append(f"the notice {found[0]['title']!r} names no contacts")
    owned = any("notice was not delivered" in one["text"] for one in status["timeline"])
    return [] if owned else wrong


def _contacts(notice: dict[str, Any]) -> bool:
    """Whether data and text both say whom to reach."""
    contacts = (notice.get("contacts") or {}).values()
    return bool(contacts) and all(one["reach"] in notice["text"] for one in contacts)


def _owned_up(cli: Cli, status: dict[str, Any], received: list[dict[str, Any]]) -> list[str]:
    wrong = ["notices arrived where nobody listens"] if received else []
    if _team_ticked(status):
        wrong.append("the checklist says that the team was notified")
    if "[ ] Team notified" not in cli.run("report", status["id"]).out:
        wrong.append("the report does not show `Team notified` as open")
    return wrong


def _team_ticked(status: dict[str, Any]) -> bool:
    return any(one["item"] == "team" and one["state"] == "done" for one in status["checklist"])


def _received(cli: Cli, made: Environment, deployment: str) -> list[dict[str, Any]]:
    url = f"{cli.stack.webhook_url}/notices/{made.name}"
    answer = httpx.get(url, timeout=60, trust_env=False).raise_for_status()
    bodies: list[dict[str, Any]] = [one["body"] for one in answer.json()]
    return [one for one in bodies if one.get("deployment") == deployment]
