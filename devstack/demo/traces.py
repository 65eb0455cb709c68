"""Every change has its entry in the record, every entry its change; none came before approval."""

from collections import Counter
from datetime import datetime
from typing import Any

from devstack.demo import audit, bucket
from devstack.demo.audit import Write
from devstack.demo.bucket import Entry, Kept
from devstack.demo.look import Seen
from devstack.stack import Stack
from devstack.world.environment import Environment

_ROLLOUT = "rollout:"


def judge(
    stack: Stack, made: Environment, before: Seen, now: Seen, status: dict[str, Any]
) -> list[str]:
    """Return where audit log, ledger, bucket and record disagree, a sentence each."""
    identity = status["id"]
    kept = bucket.kept(stack, made, identity)
    writes = audit.writes(stack, made, before.audit, before.images)
    forward = [one for one in writes if one.op_id == f"{identity}/{_ROLLOUT}{one.service}"]
    undone = [one for one in writes if one.op_id == f"{identity}/undo:{one.service}"]
    foreign = [one for one in writes if one not in forward and one not in undone]
    return [
        *[f"{one.service} was changed by {one.op_id!r}, no step of this run" for one in foreign],
        *whole(kept.entries, status),
        *deployments(kept.entries, forward, undone, status),
        *_ledger(kept.entries, before, now, status),
        *approved(kept, forward, status),
        *_objects(kept, made, before, now, status),
    ]


def whole(entries: list[Entry], status: dict[str, Any]) -> list[str]:
    """Return what is wrong with the record by itself: gaps, doubles, another end."""
    wrong = []
    if [one.sequence for one in entries] != list(range(len(entries))):
        wrong.append(f"the record's entries are {[one.sequence for one in entries]}")
    if not entries or entries[0].kind != "open":
        return [*wrong, "the record does not begin with its opening"]
    ends = [one.body["data"].get("outcome") for one in entries if one.kind == "end"]
    if ends[-1:] != [status["outcome"]] and not _said(status, "record's end could not be written"):
        wrong.append(f"the record ends {ends[-1:]}, the status says {status['outcome']}")
    return wrong


def deployments(
    entries: list[Entry], forward: list[Write], undone: list[Write], status: dict[str, Any]
) -> list[str]:
    """Compare the changes of Deployments with the record, both ways."""
    intents = {one.step: one for one in entries if one.kind == "intent"}
    undoings = [one for one in entries if one.kind == "undone"]
    back = {one.step for one in undoings if one.body["data"].get("state") == "done"}
    done, undo = Counter(one.service for one in forward), Counter(one.service for one in undone)
    wrong = []
    for write in forward:
        intent = intents.get(_ROLLOUT + write.service)
        if intent is None or intent.at > write.at:
            wrong.append(f"{write.service} was changed before the record said so")
    for service in sorted({*done, *undo, *_services(intents)}):
        count = done[service]
        wanted = 0 if status["outcome"] == "deployed" else count
        if count > 1 or undo[service] != wanted:
            wrong.append(
                f"{service} was changed {count} time(s) and put back {undo[service]} time(s)"
            )
        if count == 0 and status["outcome"] == "deployed":
            wrong.append(f"the record names a change of {service}; the audit log has none")
        told = _ROLLOUT + service in back or _said(status, "record could not be written")
        if status["outcome"] == "rolled_back" and not told:
            wrong.append(f"the record does not say that {service} was put back")
    stray = sorted({one.step for one in undoings} - set(intents))
    return wrong + [f"the record puts back {step}, which it never began" for step in stray]


def _services(intents: dict[str, Entry]) -> set[str]:
    return {step.removeprefix(_ROLLOUT) for step in intents if step.startswith(_ROLLOUT)}


def _ledger(entries: list[Entry], before: Seen, now: Seen, status: dict[str, Any]) -> list[str]:
    known = {(one.kind, one.step) for one in entries}
    migrated = now.database.ledger != before.database.ledger
    wrong = []
    if (migrated or status.get("kept_database")) and ("intent", "migrate") not in known:
        wrong.append("the database was changed, and the record never said so")
    if migrated != (("done", "migrate") in known and status["outcome"] == "deployed"):
        wrong.append("ledger and record disagree about the migrations")
    return wrong


def approved(kept: Kept, forward: list[Write], status: dict[str, Any]) -> list[str]:
    """Return what was written without an approval of just this, given before."""
    first = min((one.at for one in forward), default=None)
    intents = [one.at for one in kept.entries if one.kind == "intent"]
    if first is None and not intents:
        return []
    approval = kept.artefacts.get("approval.json")
    if approval is None:
        return ["something was changed and the record holds no approval"]
    if approval["digest"] != status["digest"]:
        return ["the approval in the record is of another digest"]
    given = [
        datetime.fromisoformat(one["at"])
        for one in approval["approvals"]
        if one["decision"] == "approve" and one["digest"] == status["digest"]
    ]
    if not given:
        return ["nobody approved what was changed"]
    begun = [one for one in (first, *intents) if one is not None]
    # an entry's time is known to the second only, rounded down
    late = min(given).replace(microsecond=0) > min(begun)
    return ["something was changed before it was approved"] if late else []


def _objects(
    kept: Kept, made: Environment, before: Seen, now: Seen, status: dict[str, Any]
) -> list[str]:
    """Every new object is of this run: its record, a proved dump, that dump's manifest, the roles
    beside it."""
    folder = f"{made.bucket_prefix}records/{made.name}/{status['id']}/"
    dumps = {one["backup"]["key"] for one in kept.manifests}
    roles = {one["roles"]["key"] for one in kept.manifests}
    manifests = {one["backup"]["manifest_key"] for one in kept.manifests}
    fresh = {key for key in now.objects - before.objects if not key.startswith(folder)}
    wrong = [f"{key} belongs to nothing" for key in sorted(fresh - dumps - roles - manifests)]
    wrong += [f"{key} is gone" for key in sorted((dumps | roles | manifests) - now.objects)]
    if status["backup"] and status["backup"]["key"] not in dumps:
        wrong.append(f"no manifest names the backup {status['backup']['key']}")
    return wrong


def _said(status: dict[str, Any], words: str) -> bool:
    """Whether the timeline owns up to something."""
    return any(words in event["text"] for event in status["timeline"])
