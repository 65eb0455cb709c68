"""Noticing rollouts: which version stands, since when, by whom, and whether it is a way back."""

from copy import deepcopy
from typing import Any

import pytest

from slipway.judgements.noticing import Glance, is_as_known, notice
from slipway.messages.observe import Standing

NOW = 1_780_000_000.0  # 2026-05-28T20:26:40Z
RECENT = 600.0


def stamp(seconds_ago: float) -> str:
    from datetime import UTC, datetime

    return datetime.fromtimestamp(NOW - seconds_ago, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def template(version: str) -> dict[str, Any]:
    return {
        "metadata": {"labels": {"app": "analytics"}},
        "spec": {"containers": [{"name": "app", "image": f"r/analytics:{version}"}]},
    }


def replica_set(version: str, ago: float, replicas: int = 2) -> dict[str, Any]:
    own = deepcopy(template(version))
    own["metadata"]["labels"]["pod-template-hash"] = f"h{version}"
    return {
        "metadata": {
            "name": f"analytics-h{version}",
            "creationTimestamp": stamp(ago),
            "labels": {"pod-template-hash": f"h{version}"},
            "ownerReferences": [{"uid": "u1", "controller": True}],
        },
        "spec": {"template": own},
        "status": {"replicas": replicas},
    }


def deployment(version: str, *, rests: bool = True, wrote: float = 0, replicas: int = 2) -> Any:
    ready = replicas if rests else replicas - 1
    return {
        "metadata": {
            "name": "analytics",
            "uid": "u1",
            "generation": 4,
            "annotations": {"kubernetes.io/change-cause": f"release {version}"},
            "managedFields": [
                {
                    "manager": "helm",
                    "time": stamp(9000),
                    "fieldsV1": {"f:spec": {"f:template": {}}},
                },
                {
                    "manager": "kubectl-set",
                    "time": stamp(wrote),
                    "fieldsV1": {"f:spec": {"f:template": {}}},
                },
                {"manager": "scaler", "time": stamp(0), "fieldsV1": {"f:spec": {"f:replicas": {}}}},
            ],
        },
        "spec": {"replicas": replicas, "template": template(version)},
        "status": {
            "observedGeneration": 4,
            "updatedReplicas": ready,
            "replicas": ready,
            "availableReplicas": ready,
            "conditions": [{"type": "Available", "status": "True"}],
        },
    }


def glance(found: Any, *replica_sets: Any) -> Glance:
    return Glance("analytics", "app", found, list(replica_sets), NOW)


def known(version: str = "1", ago: float = 5000) -> Standing:
    """A version as an earlier look has seen it."""
    seen = notice(glance(deployment(version), replica_set(version, ago)), None, RECENT).standing
    assert seen is not None
    return seen


def test_a_first_look_at_a_service_at_rest_notices_nothing() -> None:
    seen = notice(glance(deployment("1"), replica_set("1", 30)), None, RECENT)
    assert seen.rollout is None
    assert seen.standing is not None
    assert (seen.standing.pod_hash, seen.standing.ran) == ("h1", True)


def test_a_new_template_is_a_rollout_with_its_author_and_beginning() -> None:
    sets = (replica_set("1", 5000), replica_set("2", 3, 1))
    seen = notice(glance(deployment("2", rests=False, wrote=4), *sets), known(), RECENT)
    one = seen.rollout
    assert one is not None
    assert (one.pod_hash_before, one.pod_hash) == ("h1", "h2")
    assert (one.image_before, one.image) == ("r/analytics:1", "r/analytics:2")
    assert (one.by, one.cause) == ("kubectl-set", "release 2")
    assert one.began == NOW - 3
    assert not one.back
    assert not one.under_way
    assert seen.standing is not None
    assert not seen.standing.ran


def test_a_replica_set_that_is_used_again_is_a_way_back_that_begins_with_the_write() -> None:
    sets = (replica_set("1", 5000), replica_set("2", 100))
    seen = notice(glance(deployment("1", rests=False, wrote=2), *sets), known("2", 100), RECENT)
    assert seen.rollout is not None
    assert seen.rollout.back
    assert seen.rollout.began == NOW - 2


def test_a_rollout_met_in_its_middle_is_under_way() -> None:
    sets = (replica_set("0", 9000, 0), replica_set("1", 5000, 1), replica_set("2", 40, 1))
    one = notice(glance(deployment("2", rests=False, wrote=40), *sets), None, RECENT).rollout
    assert one is not None
    assert one.under_way
    assert one.pod_hash_before == "h1"
    assert one.began == NOW - 40


def test_one_that_was_stuck_long_before_is_no_rollout_any_more() -> None:
    sets = (replica_set("1", 5000), replica_set("2", 4000, 1))
    found = deployment("2", rests=False, wrote=4000)
    assert notice(glance(found, *sets), None, RECENT).rollout is None


def test_nothing_has_begun_while_there_is_no_replica_set() -> None:
    seen = notice(glance(deployment("2", wrote=1), replica_set("1", 5000)), known(), RECENT)
    assert seen.standing is None
    assert seen.rollout is None


def test_the_same_hash_is_no_rollout_whatever_else_has_changed() -> None:
    found = deployment("1")
    sets = replica_set("1", 5000)
    for one in (found, sets):  # as a newer API server fills in a default
        one["spec"]["template"]["spec"]["newDefault"] = True
    before = known()
    assert not is_as_known(found, before)
    seen = notice(glance(found, sets), before, RECENT)
    assert seen.rollout is None
    assert seen.standing is not None
    assert is_as_known(found, seen.standing)


@pytest.mark.parametrize(
    ("found", "same"),
    [
        (deployment("1"), True),
        (deployment("1", rests=False), True),
        (deployment("1", replicas=5), True),
        (deployment("1", replicas=0), False),
        (deployment("2"), False),
    ],
    ids=("the same", "a pod is away", "scaled", "scaled to zero", "another template"),
)
def test_only_what_matters_is_news(found: Any, same: bool) -> None:
    assert is_as_known(found, known()) is same


def test_that_a_version_has_run_is_news_once_and_stays_so() -> None:
    sets = (replica_set("1", 5000), replica_set("2", 3, 1))
    rolling = notice(glance(deployment("2", rests=False), *sets), known(), RECENT).standing
    assert rolling is not None
    assert is_as_known(deployment("2", rests=False), rolling)
    assert not is_as_known(deployment("2"), rolling)
    ran = notice(glance(deployment("2"), *sets), rolling, RECENT).standing
    assert ran is not None
    assert ran.ran
    assert is_as_known(deployment("2", rests=False), ran)


def test_with_zero_replicas_nothing_runs() -> None:
    found = deployment("1", replicas=0)
    seen = notice(glance(found, replica_set("1", 5000)), None, RECENT).standing
    assert seen is not None
    assert not seen.ran
    assert is_as_known(found, seen)


def test_a_deployment_made_anew_is_met_for_the_first_time() -> None:
    found = deployment("1")
    before = known().model_copy(update={"uid": "another"})
    assert not is_as_known(found, before)
    assert notice(glance(found, replica_set("1", 5000)), before, RECENT).rollout is None
