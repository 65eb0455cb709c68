"""Whose the Lease of an environment is, decided from what stands on it.

The Lease names the open deployment and counts the epochs that fences are made of. A deployment may
want its environment more than once, by turns: the deployment itself (turn 0), then each `Rollback`
of it (turn: when that began). Turns are ordered, so that an attempt to take the Lease which was
frozen before it read it can be told from one that is due, however late it wakes:

- a turn that was given back is over, and with it every turn before it. The Lease remembers that for
  the last deployments; a rollback's turn is later, so it may take the environment of a deployment
  that has ended, and a rollback that has ended is itself over.
- while a turn holds the Lease, an earlier one of the same deployment is over too, also where that
  deployment's workflow was terminated and gave nothing back.

A release obeys the same order: one that comes late does not take the Lease from a later turn. It
leaves its mark where another deployment holds the Lease, or where there is none yet, since the
attempt to take it may still be frozen.
"""

import json
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from pydantic import NonNegativeInt, TypeAdapter, ValidationError

from slipway.errors import Fenced, ForeignChange, Held
from slipway.judgements.workload import Raw, annotation, metadata, name_of

TURN = "slipway.teei/turn"
"""Annotation: the turn that holds the Lease. Without it: turn 0."""
ENDED = "slipway.teei/ended"
"""Annotation: the last deployments that gave the Lease back, each with its latest ended turn."""
REMEMBERED = 50
"""Deployments that have ended are remembered until so many others have: an attempt that was frozen
for longer would be let in, and then hold up the next deployment until a person frees the Lease."""

_TURNS = TypeAdapter(dict[str, NonNegativeInt])


@dataclass(frozen=True)
class Claim:
    """Who wants the environment: a deployment, at one of its turns."""

    deployment: str
    turn: int


def holder_of(lease: Raw) -> str:
    """Return who holds a Lease, or the empty text."""
    return str((lease.get("spec") or {}).get("holderIdentity") or "")


def epoch_of(lease: Raw) -> int:
    """Return a Lease's epoch: its first holder's is 1."""
    return int((lease.get("spec") or {}).get("leaseTransitions") or 0) + 1


def has(lease: Raw, claim: Claim) -> bool:
    """Whether this very turn holds the Lease."""
    return holder_of(lease) == claim.deployment and _turn_of(lease) == claim.turn


def check(lease: Raw, claim: Claim, environment: str) -> None:
    """Raise Fenced when the turn is over, Held when another deployment has the Lease."""
    holder, who = holder_of(lease), claim.deployment
    if claim.turn <= _ended(lease).get(who, -1):
        raise Fenced(
            f"{_called(claim)} has ended and given {environment} back; it cannot take it again.",
            f"Nothing was written. To put {who} back: slipway rollback {who}. "
            "To deploy: start a new deployment.",
        )
    if holder == who and claim.turn < _turn_of(lease):
        raise Fenced(
            f"A later rollback of {who} has taken {environment} over.",
            f"Nothing was written. See: slipway status {who}",
        )
    if holder and holder != who:
        raise Held(
            f"Environment {environment} is held by deployment {holder}.",
            f"Wait for it, or end it with `slipway rollback {holder}`.",
        )


def taken(lease: Raw, claim: Claim, now: datetime, *, fresh: bool) -> Raw:
    """Return the Lease as held by this turn: in a new epoch, but in the same one for a later turn
    of its holder, unless `fresh`."""
    same = holder_of(lease) == claim.deployment and not fresh
    transitions = epoch_of(lease) - (1 if same else 0)
    return _with(lease, _spec(claim.deployment, transitions, now), {TURN: str(claim.turn)})


def given_back(lease: Raw, claim: Claim, now: datetime) -> Raw | None:
    """Return the Lease after this turn's end, None when nothing is left to write."""
    ended = _ended(lease)
    over = ended.pop(claim.deployment, -1)
    held = holder_of(lease) == claim.deployment and _turn_of(lease) <= claim.turn
    if over >= claim.turn and not held:
        return None
    ended[claim.deployment] = max(over, claim.turn)
    last = dict(list(ended.items())[-REMEMBERED:])
    transitions = max(0, epoch_of(lease) - 1)  # the server takes none below 0
    spec = {**(lease.get("spec") or {}), "leaseTransitions": transitions}
    if held:
        spec = _spec(None, transitions, now)
    return _with(lease, spec, {ENDED: json.dumps(last, separators=(",", ":"))})


def unheld(namespace: str, name: str, highest: int) -> Raw:
    """Return a Lease that is still to be created, whose next epoch lies above `highest`."""
    return {
        "apiVersion": "coordination.k8s.io/v1",
        "kind": "Lease",
        "metadata": {"name": name, "namespace": namespace},
        "spec": {"leaseTransitions": highest - 1},
    }


def _called(claim: Claim) -> str:
    what = "Deployment" if claim.turn == 0 else "This rollback of"
    return f"{what} {claim.deployment}"


def _turn_of(lease: Raw) -> int:
    text = annotation(lease, TURN)
    if not text:
        return 0
    if not (text.isascii() and text.isdigit()) or len(text) > 15:
        raise _unreadable(lease, TURN, text)
    return int(text)


def _ended(lease: Raw) -> dict[str, int]:
    """Latest ended turn by deployment, in the order in which they ended."""
    text = annotation(lease, ENDED)
    if not text:
        return {}
    try:
        return _TURNS.validate_json(text, strict=True)
    except ValidationError:
        raise _unreadable(lease, ENDED, text) from None


def _unreadable(lease: Raw, key: str, text: str) -> ForeignChange:
    return ForeignChange(
        f"Lease {name_of(lease)} carries an unreadable annotation {key}: {text[:40]!r}.",
        "Remove the annotation after making sure that no deployment runs.",
    )


def _with(lease: Raw, spec: Raw, notes: dict[str, str]) -> Raw:
    found = metadata(lease)
    keys = ("name", "namespace", "resourceVersion", "uid", "labels")
    kept = {key: found[key] for key in keys if key in found}
    annotations = {**(found.get("annotations") or {}), **notes}
    return {**lease, "metadata": {**kept, "annotations": annotations}, "spec": spec}


def _spec(holder: str | None, transitions: int, now: datetime) -> dict[str, Any]:
    at = now.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
    spec: dict[str, Any] = {"leaseTransitions": transitions, "renewTime": at}
    if holder is not None:
        spec |= {"holderIdentity": holder, "acquireTime": at}
    return spec
