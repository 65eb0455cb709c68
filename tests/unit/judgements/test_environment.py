"""What the environment must offer, and staging's stability."""

import math

import pytest

from slipway.judgements import environment, staging
from slipway.judgements.corruption import ProbeResult, judge_probe
from slipway.judgements.counters import Unreadable
from slipway.judgements.health import count_probe, judge_health
from slipway.judgements.queries import fill
from slipway.plan import Limits
from slipway.verdicts import Kind
from tests.unit.judgements.objects import NEW, OLD, deployment


def test_missing_rights_name_the_line_of_the_role() -> None:
    right = environment.Right("get", "", "pods", "log")
    (finding,) = environment.missing_rights("prod", [right], "cluster")
    assert '- {apiGroups: [""], resources: ["pods/log"], verbs: ["get"]}' in finding.remedy


def test_compressed_time_needs_every_marker() -> None:
    label = {environment.LOCAL_LABEL: "true"}
    assert environment.local_only(15, [], label, "true") == []
    assert environment.local_only(1, ["x"], {}, None) == []
    for far, labels, setting in (
        (["x"], label, "true"),
        ([], {}, "true"),
        ([], label, None),
        ([], label, "on"),
    ):
        assert environment.local_only(15, far, labels, setting)[0].severity == "block"


def test_staging_must_run_the_releases_digest_at_rest() -> None:
    assert staging.judge_deployment("buddy", deployment(), "app", OLD) == []
    assert staging.judge_deployment("buddy", None, "app", OLD)
    assert staging.judge_deployment("buddy", deployment(), "app", NEW)
    assert staging.judge_deployment("buddy", deployment(availableReplicas=0), "app", OLD)
    assert staging.judge_deployment("buddy", deployment("reg/app:1.0"), "app", OLD)


def test_staging_with_errors_or_slow_answers_or_no_data_blocks() -> None:
    limits = Limits()
    assert staging.judge_errors({"200": 9990.0, "500": 5.0}, "5..", 60, limits) == []
    assert staging.judge_errors({"200": 9000.0, "500": 90.0}, "5..", 60, limits)
    assert staging.judge_errors({"200": 10.0}, "5..", 60, limits)
    assert staging.judge_errors(Unreadable("down"), "5..", 60, limits)
    quick, slow = {0.5: 990.0, math.inf: 1000.0}, {0.5: 900.0, math.inf: 1000.0}
    assert staging.judge_latency(quick, 60, limits) == []
    assert staging.judge_latency(slow, 60, limits)
    assert staging.judge_latency(Unreadable("down"), 60, limits)
    assert staging.judge_latency({1.0: 1.0, math.inf: 1000.0}, 60, limits)


def test_three_failed_probes_in_a_row_and_no_fewer() -> None:
    failing: dict[str, int] = {}
    for problem, kind in (("x", None), ("x", None), ("", None), ("x", None), ("x", None)):
        failing = count_probe(failing, "a", problem)
        assert judge_health("a", failing["a"], problem) is kind
    failing = count_probe(failing, "a", "DOWN")
    verdict = judge_health("a", failing["a"], "DOWN")
    assert verdict is not None
    assert verdict.kind is Kind.ROLLBACK


@pytest.mark.parametrize(
    ("result", "kind"),
    [
        (ProbeResult("p", True), Kind.PROCEED),
        (ProbeResult("p", False), Kind.ROLLBACK),
        (ProbeResult("p", None, "no table", "42P01"), Kind.INCONCLUSIVE),
        (ProbeResult("p", None, "bad page", "XX001"), Kind.ROLLBACK),
        (ProbeResult("p", None, "bad index", "XX002"), Kind.ROLLBACK),
    ],
)
def test_corruption_probes(result: ProbeResult, kind: Kind) -> None:
    assert judge_probe(result).kind is kind


def test_queries_are_filled_in_and_pods_cannot_break_out() -> None:
    query = fill('x{n="$namespace",p=~"$pods"}[$window]', namespace="a", pods='b"}', window=1.5)
    assert query == 'x{n="a",p=~"b\\"}"}[1500ms]'
