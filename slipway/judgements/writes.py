"""Whether a template may be written, decided from what stands: compare-and-set with a fence.

After a rollback the template equals the captured one again, so comparing templates alone would let
a forward attempt that was only frozen deploy the bad image a second time. Hence the fence: every
write carries a number, larger for undo than for do, and is refused where an equal or higher one
stands that another operation wrote.
"""

from dataclasses import dataclass
from typing import Any

from slipway.errors import Fenced, ForeignChange
from slipway.judgements.workload import (
    CAUSE,
    FENCE,
    OP_ID,
    WRITTEN,
    Raw,
    annotation,
    digest_of_template,
    metadata,
    name_of,
    owners,
    same_version,
    template_of,
    without_restart,
)


@dataclass(frozen=True)
class Wish:
    """What an operation wants to stand. `undo` writes over what this run wrote, and only over
    that."""

    op_id: str
    fence: int
    cause: str
    uid: str
    captured: Raw
    desired: Raw
    """As the server defaults it."""
    undo: bool
    wrote: Raw | None = None
    """For undo: what this run wrote, as the server defaults it."""

    @property
    def run(self) -> str:
        """The deployment's ID, which op-ids begin with."""
        return self.op_id.partition("/")[0]


@dataclass(frozen=True)
class Write:
    """A decided write: JSON patch operations, and whether they change the template."""

    operations: list[dict[str, Any]]
    changes_template: bool


def standing_fence(deployment: Raw) -> int:
    """Return the fence that stands; 0 when none does. An unreadable one counts as foreign."""
    text = annotation(deployment, FENCE)
    if not text:
        return 0
    if not text.isdigit() or len(text) > 15:
        raise ForeignChange(
            f"{name_of(deployment)} carries an unreadable fence {text[:40]!r}.",
            f"Remove the annotation {FENCE} after making sure that no deployment runs.",
        )
    return int(text)


def decide(deployment: Raw, wish: Wish) -> Write | None:
    """Return what to write, or None when everything stands already.

    Raises Fenced when a later decision stands, ForeignChange when somebody else's change does.
    """
    same_object(deployment, wish.uid)
    check_fence(deployment, wish.fence, wish.op_id)
    standing, name = template_of(deployment), name_of(deployment)
    mine = annotation(deployment, OP_ID) == wish.op_id
    stands = _stands(standing, wish)
    if mine and standing_fence(deployment) == wish.fence:
        if stands:
            return None
        raise _foreign(name, "after this very operation had written it")
    if stands:
        return Write(_operations(deployment, wish, None), changes_template=False)
    expected = _written_by_run(deployment, wish) if wish.undo else standing == wish.captured
    if not expected:
        raise _foreign(name, "since it was captured" if not wish.undo else "after slipway wrote it")
    if not wish.undo:
        _still_free(deployment)
    return Write(_operations(deployment, wish, wish.desired), changes_template=True)


def of_unknown_hand(deployment: Raw, wish: Wish) -> bool:
    """Whether an undo finds what it does not want and its run has not marked: only then it has to
    ask what its run wrote. The server may refuse that by now, and must not keep an undo back."""
    return wish.undo and not (_stands(template_of(deployment), wish) or _marked(deployment, wish))


def fence_only(deployment: Raw, fence: int, op_id: str) -> Write | None:
    """Return the write that raises the fence and nothing else; None when it is high enough."""
    if standing_fence(deployment) >= fence:
        return None
    values = {FENCE: str(fence), OP_ID: op_id}
    return Write([*guards(deployment), *_annotate(deployment, values)], changes_template=False)


def same_object(deployment: Raw, uid: str) -> None:
    """Refuse an object that is being deleted, or was and is another one of the same name."""
    name = name_of(deployment)
    if metadata(deployment).get("uid") != uid:
        raise ForeignChange(
            f"{name} was deleted and created anew since it was captured.",
            "Find out who did it; then start a new deployment.",
        )
    if metadata(deployment).get("deletionTimestamp"):
        kept = ", ".join(metadata(deployment).get("finalizers") or []) or "its pods"
        raise ForeignChange(
            f"{name} is being deleted and only kept by {kept}.",
            "Find out who deleted it; slipway never creates a Deployment.",
        )


def _still_free(deployment: Raw) -> None:
    """Refuse what was paused or taken over since it was captured. Not asked of an undo: a bad
    release goes out wherever it can."""
    name, others = name_of(deployment), owners(deployment)
    if (deployment.get("spec") or {}).get("paused"):
        raise ForeignChange(
            f"{name} was paused since it was captured.",
            f"Ask who did it; then `kubectl rollout resume deployment/{name}`.",
        )
    if others:
        raise ForeignChange(
            f"{name} is managed by {', '.join(others)} since it was captured, which may undo what "
            "slipway writes.",
            "Suspend it for this object, or deploy through it.",
        )


def check_fence(deployment: Raw, fence: int, op_id: str) -> None:
    """Refuse to write where a later decision stands."""
    standing = standing_fence(deployment)
    written_by = annotation(deployment, OP_ID)
    if standing > fence or (standing == fence and written_by != op_id):
        raise Fenced(
            f"{name_of(deployment)} carries fence {standing} by {written_by or 'nobody known'}; "
            f"this write has {fence}.",
            "Nothing was written: a later decision stands. See `slipway status`.",
        )


def guards(deployment: Raw) -> list[dict[str, Any]]:
    """Return the operations that make a patch fail unless the object is exactly the one read."""
    found = metadata(deployment)
    return [
        {"op": "test", "path": "/metadata/uid", "value": found.get("uid")},
        {"op": "test", "path": "/metadata/resourceVersion", "value": found.get("resourceVersion")},
    ]


def dry_run(deployment: Raw, template: Raw) -> list[dict[str, Any]]:
    """Return the operations of a dry run that has the server fill in its defaults."""
    return [guards(deployment)[0], {"op": "replace", "path": "/spec/template", "value": template}]


def _stands(standing: Raw, wish: Wish) -> bool:
    """Whether what is wished stands. Restarted by hand it is back no less, but not deployed."""
    return standing == wish.desired or (wish.undo and same_version(standing, wish.desired))


def _written_by_run(deployment: Raw, wish: Wish) -> bool:
    """Whether slipway wrote what stands, and it is this run's: by its own hand, or put back by the
    undo of a deployment that came later. Restarted by hand it still is."""
    standing = template_of(deployment)
    own = _marked(deployment, wish) or (
        wish.wrote is not None and same_version(standing, wish.wrote)
    )
    # the whole template's digest: what slipway wrote before a restart's mark was left out of it
    return own and annotation(deployment, WRITTEN) in (
        _digest(standing),
        digest_of_template(standing),
    )


def _marked(deployment: Raw, wish: Wish) -> bool:
    return annotation(deployment, OP_ID).startswith(f"{wish.run}/")


def _digest(template: Raw) -> str:
    return digest_of_template(without_restart(template))


def _operations(deployment: Raw, wish: Wish, template: Raw | None) -> list[dict[str, Any]]:
    values = {FENCE: str(wish.fence), OP_ID: wish.op_id, WRITTEN: _digest(wish.desired)}
    operations = guards(deployment)
    if template is not None:
        values[CAUSE] = wish.cause
        operations.append({"op": "replace", "path": "/spec/template", "value": template})
    return [*operations, *_annotate(deployment, values)]


def _annotate(deployment: Raw, values: dict[str, str]) -> list[dict[str, Any]]:
    if not metadata(deployment).get("annotations"):
        return [{"op": "add", "path": "/metadata/annotations", "value": values}]
    return [
        {
            "op": "add",
            "path": f"/metadata/annotations/{key.replace('~', '~0').replace('/', '~1')}",
            "value": value,
        }
        for key, value in values.items()
    ]


def _foreign(name: str, when: str) -> ForeignChange:
    return ForeignChange(
        f"Somebody else changed the pod template of {name} {when}.",
        f"Look at `kubectl rollout history deployment/{name}` and talk to them; slipway does not "
        "write over it.",
    )
