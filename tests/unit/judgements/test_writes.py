"""Compare-and-set of templates under a fence, as a small world that is written by decisions."""

from copy import deepcopy
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from slipway.errors import Fenced, ForeignChange
from slipway.judgements import writes
from slipway.judgements.workload import (
    CAUSE,
    FENCE,
    OP_ID,
    RESTARTED,
    WRITTEN,
    digest_of_template,
    with_image,
)
from tests.unit.judgements.objects import NEW, OLD, UID, deployment, template

RUN = "t1-20261123T202134Z-1a2b3c"
DO = writes.Wish(
    op_id=f"{RUN}/rollout:buddy",
    fence=4,
    cause="slipway",
    uid=UID,
    captured=template(OLD),
    desired=template(NEW),
    undo=False,
)
UNDO = replace(DO, op_id=f"{RUN}/undo:buddy", fence=6, desired=template(OLD), undo=True)


def patched(found: dict[str, Any], write: writes.Write | None) -> dict[str, Any]:
    """What the server does with the operations we send."""
    changed = deepcopy(found)
    for one in write.operations if write else []:
        parts = [p.replace("~1", "/").replace("~0", "~") for p in one["path"].split("/")[1:]]
        here = changed
        for part in parts[:-1]:
            here = here[part]
        if one["op"] == "test":
            assert here[parts[-1]] == one["value"]
        else:
            here[parts[-1]] = deepcopy(one["value"])
    return changed


def written(found: dict[str, Any], wish: writes.Wish) -> dict[str, Any]:
    return patched(found, writes.decide(found, wish))


def test_a_write_sets_template_fence_operation_and_cause_at_once() -> None:
    write = writes.decide(deployment(), DO)
    assert write is not None
    assert write.changes_template
    after = patched(deployment(), write)
    assert after["spec"]["template"] == template(NEW)
    notes = after["metadata"]["annotations"]
    assert notes[FENCE] == "4"
    assert notes[OP_ID] == DO.op_id
    assert notes[CAUSE] == "slipway"


def test_every_write_is_guarded_by_uid_and_resource_version() -> None:
    write = writes.decide(deployment(), DO)
    assert write is not None
    tests = {one["path"]: one["value"] for one in write.operations if one["op"] == "test"}
    assert tests == {"/metadata/uid": UID, "/metadata/resourceVersion": "77"}


def test_annotations_of_others_stay() -> None:
    after = written(deployment(annotations={"team": "x"}), DO)
    assert after["metadata"]["annotations"]["team"] == "x"


def test_the_same_operation_again_writes_nothing() -> None:
    assert writes.decide(written(deployment(), DO), DO) is None


def test_undo_puts_the_captured_template_back_with_every_field() -> None:
    after = written(written(deployment(), DO), UNDO)
    assert after["spec"]["template"] == template(OLD)


def test_undo_with_nothing_to_revert_still_writes_its_fence() -> None:
    write = writes.decide(deployment(), UNDO)
    assert write is not None
    assert not write.changes_template
    assert patched(deployment(), write)["metadata"]["annotations"][FENCE] == "6"


def test_a_frozen_forward_attempt_that_wakes_after_the_undo_is_refused() -> None:
    undone = written(written(deployment(), DO), UNDO)
    assert undone["spec"]["template"] == DO.captured
    with pytest.raises(Fenced):
        writes.decide(undone, DO)


def test_a_frozen_forward_attempt_is_refused_also_when_it_never_wrote() -> None:
    with pytest.raises(Fenced):
        writes.decide(written(deployment(), UNDO), DO)


def test_an_equal_fence_of_another_operation_is_refused() -> None:
    other = replace(DO, op_id="t1-20261123T202134Z-ffffff/rollout:buddy")
    with pytest.raises(Fenced):
        writes.decide(written(deployment(), DO), other)


def test_a_foreign_template_is_not_written_over() -> None:
    with pytest.raises(ForeignChange):
        writes.decide(deployment("reg/app@sha256:" + "c" * 64), DO)


def test_undo_does_not_write_over_a_hotfix_made_after_the_rollout() -> None:
    after = written(deployment(), DO)
    after["spec"]["template"] = with_image(template(NEW), "app", "reg/app@sha256:" + "d" * 64)
    with pytest.raises(ForeignChange):
        writes.decide(after, UNDO)


def restarted(found: dict[str, Any], at: str = "2026-11-23T21:00:00Z") -> dict[str, Any]:
    """What `kubectl rollout restart` makes of it."""
    after = deepcopy(found)
    notes = after["spec"]["template"]["metadata"].setdefault("annotations", {})
    notes[RESTARTED] = at
    return after


def test_undo_takes_back_what_was_restarted_by_hand_meanwhile() -> None:
    done = written(deployment(), DO)
    assert written(restarted(done), UNDO)["spec"]["template"] == template(OLD)
    with pytest.raises(ForeignChange):
        writes.decide(restarted(done), DO)
    later = replace(UNDO, op_id="production-29991231T000000Z-abcdef/undo:x", desired=template(NEW))
    standing = restarted(written(deployment(NEW), later))
    mine = replace(UNDO, fence=10, wrote=template(NEW))
    assert written(standing, mine)["spec"]["template"] == template(OLD)


def test_undo_takes_back_a_restart_of_what_had_been_restarted_before() -> None:
    before = restarted(deployment(), "2026-01-01T00:00:00Z")["spec"]["template"]
    do = replace(DO, captured=before, desired=with_image(before, "app", NEW))
    found = deployment()
    found["spec"]["template"] = before
    again = restarted(written(found, do))
    assert written(again, replace(UNDO, captured=before, desired=before))["spec"]["template"] == (
        before
    )


def test_undo_knows_what_was_marked_when_the_mark_of_a_restart_still_counted() -> None:
    before = restarted(deployment())["spec"]["template"]
    do = replace(DO, captured=before, desired=with_image(before, "app", NEW))
    found = written(restarted(deployment()), do)
    whole = digest_of_template(found["spec"]["template"])
    found["metadata"]["annotations"][WRITTEN] = whole
    undo = replace(UNDO, captured=before, desired=before)
    assert written(found, undo)["spec"]["template"] == before


def test_undo_with_nothing_to_revert_but_a_restart_only_writes_its_fence() -> None:
    for found in (restarted(deployment()), restarted(written(written(deployment(), DO), UNDO))):
        write = writes.decide(found, replace(UNDO, op_id=f"{RUN}/undo:again", fence=10))
        assert write is not None
        assert not write.changes_template
    assert writes.decide(restarted(written(deployment(), UNDO)), UNDO) is None


def test_a_template_changed_after_this_operation_is_foreign() -> None:
    after = written(deployment(), DO)
    after["spec"]["template"] = template(OLD)
    with pytest.raises(ForeignChange):
        writes.decide(after, DO)


def test_an_object_created_anew_is_foreign() -> None:
    with pytest.raises(ForeignChange):
        writes.decide(deployment(uid="another"), DO)


def paused() -> dict[str, Any]:
    found = deployment()
    found["spec"]["paused"] = True
    return found


def taken_over() -> dict[str, Any]:
    return deployment(annotations={"argocd.argoproj.io/tracking-id": "app:apps/Deployment:x/y"})


@pytest.mark.parametrize(
    ("found", "said"), [(paused(), "was paused"), (taken_over(), "managed by Argo CD")]
)
def test_what_was_paused_or_taken_over_since_is_not_written_forward_but_back(
    found: dict[str, Any], said: str
) -> None:
    with pytest.raises(ForeignChange, match=said):
        writes.decide(found, DO)
    done = written(deployment(), DO)
    done["spec"]["paused"] = True
    assert writes.decide(done, DO) is None, "a retry of what was written before is no new write"
    assert written(done, UNDO)["spec"]["template"] == template(OLD)


def test_what_is_being_deleted_takes_no_write() -> None:
    found = deployment()
    found["metadata"] |= {"deletionTimestamp": "2026-11-23T21:00:00Z", "finalizers": ["x.io/hold"]}
    for wish in (DO, UNDO):
        with pytest.raises(ForeignChange, match=r"being deleted and only kept by x\.io/hold"):
            writes.decide(found, wish)


def test_resuming_after_an_abort_continues_with_the_higher_fence() -> None:
    stopped = patched(deployment(), writes.fence_only(deployment(), 5, f"{RUN}/stop:rollout:buddy"))
    resumed = replace(DO, fence=8)
    with pytest.raises(Fenced):
        writes.decide(stopped, DO)
    assert written(stopped, resumed)["spec"]["template"] == template(NEW)


def test_undo_after_an_abort_still_knows_what_this_run_wrote() -> None:
    after = written(deployment(), DO)
    stopped = patched(after, writes.fence_only(after, 5, f"{RUN}/stop:rollout:buddy"))
    assert written(stopped, UNDO)["spec"]["template"] == template(OLD)


def test_a_lower_fence_is_never_written() -> None:
    assert writes.fence_only(written(deployment(), UNDO), 5, "x/stop") is None


def test_an_unreadable_fence_is_foreign() -> None:
    with pytest.raises(ForeignChange):
        writes.decide(deployment(annotations={FENCE: "-1"}), DO)


def test_the_image_already_standing_only_takes_the_fence() -> None:
    same = replace(DO, desired=template(OLD))
    write = writes.decide(deployment(), same)
    assert write is not None
    assert not write.changes_template


@given(st.lists(st.sampled_from(["do", "undo", "stop"]), max_size=8))
def test_after_an_undo_no_order_of_late_attempts_brings_the_new_image_back(
    order: list[str],
) -> None:
    found = written(deployment(), DO)
    undone = False
    for what in order:
        try:
            if what == "stop":
                found = patched(found, writes.fence_only(found, 5, f"{RUN}/stop:x"))
            else:
                found = written(found, UNDO if what == "undo" else DO)
                undone = undone or what == "undo"
        except Fenced:
            pass
        if undone:
            assert found["spec"]["template"] == template(OLD)
    assert (WRITTEN in found["metadata"]["annotations"]) is True


@given(st.integers(1, 10**6), st.integers(1, 10**6))
def test_fences_never_fall(first: int, second: int) -> None:
    found = deployment()
    for fence in (first, second):
        found = patched(found, writes.fence_only(found, fence, "x/stop"))
    assert writes.standing_fence(found) == max(first, second)


def test_undo_asks_what_its_run_wrote_only_where_nothing_else_tells() -> None:
    later = replace(UNDO, op_id="production-29991231T000000Z-abcdef/undo:x", desired=template(NEW))
    assert not writes.of_unknown_hand(deployment(), UNDO), "nothing was written"
    assert not writes.of_unknown_hand(written(deployment(), DO), UNDO), "its own mark"
    assert writes.of_unknown_hand(written(deployment(NEW), later), UNDO)
    assert not writes.of_unknown_hand(written(deployment(NEW), later), DO)


def test_undo_takes_what_the_undo_of_a_later_deployment_has_put_back() -> None:
    later = "production-29991231T000000Z-abcdef/undo:buddy"
    standing = written(deployment(NEW), replace(UNDO, op_id=later, desired=template(NEW)))
    mine = replace(UNDO, fence=10, wrote=template(NEW))

    assert written(standing, mine)["spec"]["template"] == template(OLD)
    with pytest.raises(ForeignChange):
        writes.decide(standing, replace(mine, wrote=None))
