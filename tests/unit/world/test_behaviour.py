"""One function decides every response: real and modelled requests fail at the same rates."""

import math
import random

import pytest

from devstack.world import behaviour
from devstack.world.catalog import BY_NAME, SERVICES
from devstack.world.faults import FAULTS, HEALTHY, Deed, Fault

_DRAWS = 40_000


@pytest.mark.parametrize("name", ["healthy", "errors3", "errors05", "slow900"])
@pytest.mark.parametrize("service", ["api-gateway", "impact-in"])
def test_modelled_and_real_requests_have_the_same_rates(name: str, service: str) -> None:
    fault, spec, rng = FAULTS[name], BY_NAME[service], random.Random(7)
    route = spec.main_route
    real = [behaviour.respond(fault, spec, route, rng) for _ in range(_DRAWS)]
    counts = behaviour.draw(behaviour.profile(fault, spec, route, math.inf), _DRAWS, rng)
    modelled = sum(counts.succeeded) + sum(counts.failed)
    expected = behaviour.HEALTHY_FAILURES + fault.failure_ratio
    sigma = math.sqrt(expected / _DRAWS)
    assert sum(one.code == 500 for one in real) / _DRAWS == pytest.approx(expected, abs=4 * sigma)
    assert sum(counts.failed) / modelled == pytest.approx(expected, abs=4 * sigma)
    slow_real = sum(one.latency > 0.5 for one in real) / _DRAWS
    fast = sum(counts.succeeded[:5]) + sum(counts.failed[:5])
    slow = 1 - sum(behaviour.bucket_shares(_median(fault, spec.main_route))[:5])
    allowed = 4 * math.sqrt(max(slow, 1e-4) / _DRAWS)
    assert slow_real == pytest.approx(slow, abs=allowed)
    assert 1 - fast / modelled == pytest.approx(slow, abs=allowed)


def test_p95_is_150_ms_healthy_and_900_ms_slow() -> None:
    spec, rng = BY_NAME["analytics"], random.Random(3)
    for fault, p95 in ((HEALTHY, 0.150), (FAULTS["slow900"], 0.900)):
        drawn = sorted(behaviour.respond(fault, spec, "/", rng).latency for _ in range(20_000))
        assert drawn[19_000] == pytest.approx(p95, rel=0.05)


def test_a_late_fault_is_healthy_at_first() -> None:
    fault, spec = FAULTS["late3"], BY_NAME["buddy"]
    early = behaviour.profile(fault, spec, spec.main_route, fault.begins_after - 1)
    late = behaviour.profile(fault, spec, spec.main_route, fault.begins_after)
    assert early.failure_ratio == behaviour.HEALTHY_FAILURES
    assert late.failure_ratio == pytest.approx(behaviour.HEALTHY_FAILURES + 0.03)


def test_a_fault_of_the_new_schema_waits_for_the_migration() -> None:
    fault, spec = FAULTS["dberrors"], BY_NAME["buddy"]
    before = behaviour.profile(fault, spec, spec.main_route, math.inf, migrated=False)
    after = behaviour.profile(fault, spec, spec.main_route, math.inf, migrated=True)
    assert before.failure_ratio == behaviour.HEALTHY_FAILURES
    assert after.failure_ratio == pytest.approx(behaviour.HEALTHY_FAILURES + fault.failure_ratio)


def test_health_probes_do_not_fail_by_chance() -> None:
    broken = Fault("all", "everything fails", failure_ratio=1.0)
    rng = random.Random(1)
    outcomes = {behaviour.respond(broken, SERVICES[0], "/health", rng).code for _ in range(100)}
    assert outcomes == {200}


def test_a_broken_route_leaves_the_others_alone() -> None:
    spec = BY_NAME["analytics"]
    broken = FAULTS["critical"]
    assert broken.deed_on(spec, "/dashboard") is Deed.EMPTY
    assert broken.deed_on(spec, "/metrics-summary") is Deed.NORMAL


@pytest.mark.parametrize("mean", [0.05, 3.0, 9.9, 10.0, 40.0, 2500.0])
def test_poisson_has_its_mean_and_variance(mean: float) -> None:
    rng, draws = random.Random(11), 20_000
    values = [behaviour.poisson(mean, rng) for _ in range(draws)]
    average = sum(values) / draws
    variance = sum((value - average) ** 2 for value in values) / draws
    assert average == pytest.approx(mean, abs=5 * math.sqrt(mean / draws))
    assert variance == pytest.approx(mean, rel=0.06)


def test_poisson_of_nothing_is_nothing() -> None:
    assert behaviour.poisson(0.0, random.Random(1)) == 0


def test_buckets_have_one_bound_at_the_limit_and_one_above() -> None:
    assert 0.5 in behaviour.BUCKETS
    assert any(0.5 < bound < math.inf for bound in behaviour.BUCKETS)
    assert sum(behaviour.bucket_shares(0.05)) == pytest.approx(1.0)


def _median(fault: Fault, route: str) -> float:
    return behaviour.profile(fault, BY_NAME["api-gateway"], route, math.inf).median
