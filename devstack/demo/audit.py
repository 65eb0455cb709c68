"""What slipway wrote to Deployments, by the audit log of the API server."""

import json
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from devstack.stack import Stack
from devstack.world.environment import Environment

_OP_ID = "slipway.teei/op-id"


@dataclass(frozen=True)
class Write:
    """One change of a Deployment's image."""

    service: str
    image: str
    op_id: str
    """The operation that slipway names on the Deployment: `<deployment>/rollout:<service>`."""
    at: datetime


def size(stack: Stack) -> int:
    """Return the size of the audit log in bytes: what comes after it belongs to the next run."""
    return Path(stack.kube_audit_log).stat().st_size


def writes(stack: Stack, made: Environment, since: int, images: dict[str, str]) -> list[Write]:
    """Return slipway's changes of images after the first `since` bytes, in order.

    `images` are those that stood before. Writes that changed no image (fences) are left out.
    """
    found: list[Write] = []
    standing = dict(images)
    with Path(stack.kube_audit_log).open("rb") as log:
        log.seek(since)
        for raw in log:
            event = _event(raw, made)
            if event is None:
                continue
            write = _write(event)
            if standing.get(write.service) != write.image:
                found.append(write)
            standing[write.service] = write.image
    return found


def _write(event: dict[str, Any]) -> Write:
    stands = event["responseObject"]
    return Write(
        service=event["objectRef"]["name"],
        image=stands["spec"]["template"]["spec"]["containers"][0]["image"],
        op_id=stands["metadata"].get("annotations", {}).get(_OP_ID, ""),
        at=datetime.fromisoformat(event["requestReceivedTimestamp"]),
    )


def _event(raw: bytes, made: Environment) -> dict[str, Any] | None:
    try:
        event: dict[str, Any] = json.loads(raw)
    except ValueError:
        return None  # the line being written just now
    reference = event.get("objectRef", {})
    ours = (
        event.get("stage") == "ResponseComplete"
        and event.get("verb") in ("patch", "update")
        and event.get("user", {}).get("username") == "slipway"
        and reference.get("resource") == "deployments"
        and reference.get("namespace") == made.namespace
        and event.get("responseStatus", {}).get("code") == 200
        and "dryRun" not in event.get("requestURI", "")
        and "spec" in event.get("responseObject", {})
    )
    return event if ours else None
