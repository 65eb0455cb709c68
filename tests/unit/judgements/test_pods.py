"""Containers that restart or run out of memory in a window."""

import pytest

from slipway.judgements.pods import judge_pods, restarts, started, troubles
from slipway.verdicts import Kind, Reason
from tests.unit.judgements.objects import Raw, pod, waiting

KILLED = {"lastState": {"terminated": {"reason": "OOMKilled", "exitCode": 137}}}


def judged(container: Raw, before: int = 0, *, replaced: bool = True) -> Reason | None:
    began = {"prod/buddy-h-aa/app": before}
    verdict = judge_pods("buddy", [pod("h", "aa", container=container)], began, replaced=replaced)
    if verdict is not None:
        assert verdict.kind is Kind.ROLLBACK
        assert verdict.service == "buddy"
        assert "buddy-h-aa" in verdict.because
    return verdict.reason if verdict else None


@pytest.mark.parametrize(
    ("container", "before", "reason"),
    [
        ({"restartCount": 0}, 0, None),
        ({"restartCount": 1}, 0, None),
        ({"restartCount": 2}, 0, Reason.POD_RESTARTING),
        ({"restartCount": 7}, 6, None),
        ({"restartCount": 8}, 6, Reason.POD_RESTARTING),
        (waiting("CrashLoopBackOff", restarts=1), 0, Reason.POD_RESTARTING),
        ({"restartCount": 1, **KILLED}, 0, Reason.OUT_OF_MEMORY),
    ],
)
def test_restarts_of_the_window_count(container: Raw, before: int, reason: Reason | None) -> None:
    assert judged(container, before) is reason


def test_the_cause_at_the_end_of_a_long_message_counts_and_is_told() -> None:
    said = f'failed to pull and unpack image "{"r" * 300}": failed to resolve reference: not found'
    (one,) = troubles(pod("h", "aa", container=waiting("ErrImagePull", said)))
    assert one.kind == "image-missing"
    assert one.sentence.endswith("failed to resolve reference: not found.")
    assert len(one.sentence) < 400


def test_an_old_oom_kill_of_an_old_pod_is_not_this_release() -> None:
    assert judged({"restartCount": 3, **KILLED}, 3, replaced=False) is None
    assert judged({"restartCount": 3, **KILLED}, 2, replaced=False) is Reason.OUT_OF_MEMORY


def test_restart_counts_are_kept_by_container() -> None:
    assert restarts([pod("h", "aa", container={"restartCount": 4})]) == {"prod/buddy-h-aa/app": 4}


def test_a_log_begins_with_its_container() -> None:
    made = {"creationTimestamp": "2026-11-23T18:00:00Z"}
    running = {"running": {"startedAt": "2026-11-23T18:05:00Z"}}
    one = {"metadata": made, "status": {"containerStatuses": [{"name": "app", "state": running}]}}
    assert started(one, "app") - started(one, "other") == 300
