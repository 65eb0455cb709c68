"""What slipway wrote to Deployments, by the audit log of the API server."""

import json
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from devstack.stack import Stack
from devstack.world.environment import Environment

_OP_ID = "slipway.teei/op-id"
_DONE, _TIMED_OUT = 200, 504


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
    with Path(stack.kube_audit_log).open("rb") as log:
        log.seek(since)
        events = [event for raw in log if (event := _event(raw, made)) is not None]
    return changes(events, images)


def changes(events: Iterable[dict[str, Any]], images: dict[str, str]) -> list[Write]:
    """Return the writes that changed an image, from slipway's requests about Deployments.

    A write whose client died meanwhile is logged as timed out, whether it took effect or not: it
    did when what is answered next carries its operation.
    """
    found: list[Write] = []
    standing = dict(images)
    unanswered: dict[str, Write] = {}
    for event in events:
        service, tried = event["objectRef"]["name"], "dryRun" in event["requestURI"]
        answer = event.get("responseObject", {})
        if event["responseStatus"]["code"] == _TIMED_OUT and not tried:
            unanswered[service] = _asked(event)
        if event["responseStatus"]["code"] != _DONE or "spec" not in answer:
            continue
        seen = [] if tried else [_write(event)]
        lost = unanswered.pop(service, None)
        if lost is not None and lost.image and lost.op_id == _op_id(answer):
            seen.insert(0, lost)
        for write in seen:
            if standing.get(service) != write.image:
                found.append(write)
            standing[service] = write.image
    return found


def _write(event: dict[str, Any]) -> Write:
    stands = event["responseObject"]
    return Write(
        service=event["objectRef"]["name"],
        image=_image(stands["spec"]["template"]),
        op_id=_op_id(stands),
        at=datetime.fromisoformat(event["requestReceivedTimestamp"]),
    )


def _asked(event: dict[str, Any]) -> Write:
    """What a JSON patch asks for."""
    wanted = {one["path"]: one.get("value") for one in event["requestObject"]}
    template = wanted.get("/spec/template")
    return Write(
        service=event["objectRef"]["name"],
        image=_image(template) if template else "",  # a fence
        op_id=wanted.get(f"/metadata/annotations/{_OP_ID.replace('/', '~1')}", ""),
        at=datetime.fromisoformat(event["requestReceivedTimestamp"]),
    )


def _image(template: dict[str, Any]) -> str:
    image: str = template["spec"]["containers"][0]["image"]
    return image


def _op_id(deployment: dict[str, Any]) -> str:
    op_id: str = deployment["metadata"].get("annotations", {}).get(_OP_ID, "")
    return op_id


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
    )
    return event if ours else None
