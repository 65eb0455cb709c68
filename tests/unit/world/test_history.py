"""The past that Prometheus is given: counters that only grow, at the rates of healthy services."""

from pathlib import Path

import pytest

from devstack.world import history
from devstack.world.catalog import BY_NAME

_NOW = 1_795_000_000.0


@pytest.fixture
def written(tmp_path: Path) -> list[str]:
    path = tmp_path / "history"
    samples = history.write_openmetrics(path, ["production"], 1.0, now=_NOW, time_scale=15.0)
    lines = path.read_text().splitlines()
    assert samples == sum(not line.startswith("#") for line in lines)
    return lines


def _values(lines: list[str], *parts: str) -> list[tuple[float, float]]:
    chosen = [line for line in lines if all(part in line for part in parts)]
    return [(float(line.split()[-1]), float(line.split()[-2])) for line in chosen]


def test_it_ends_as_openmetrics_must(written: list[str]) -> None:
    assert written[-1] == "# EOF"
    assert written.count("# EOF") == 1


def test_counters_grow_and_end_at_the_modelled_rate(written: list[str]) -> None:
    found = _values(written, "http_requests_total{", 'service="buddy"', 'code="200"')
    times, values = [at for at, _ in found], [value for _, value in found]
    assert times == sorted(times)
    assert values == sorted(values)
    rate = values[-1] / (times[-1] - times[0])
    assert rate == pytest.approx(BY_NAME["buddy"].rate * 15, rel=0.02)


def test_healthy_services_fail_two_in_ten_thousand(written: list[str]) -> None:
    bad = _values(written, "http_requests_total{", 'service="api-gateway"', 'code="500"')[-1][1]
    good = _values(written, "http_requests_total{", 'service="api-gateway"', 'code="200"')[-1][1]
    assert bad / good == pytest.approx(0.0002, rel=0.15)


def test_buckets_are_cumulative(written: list[str]) -> None:
    part = "http_request_duration_seconds_"
    half = _values(written, f"{part}bucket", 'service="buddy"', 'le="0.5"')[-1][1]
    every = _values(written, f"{part}bucket", 'service="buddy"', 'le="+Inf"')[-1][1]
    count = _values(written, f"{part}count", 'service="buddy"')[-1][1]
    assert 0.99 * every < half <= every == count


def test_the_last_hour_is_finer(written: list[str]) -> None:
    times = history.instants(_NOW, 2.0, 1.0)
    assert times[1] - times[0] == history.COARSE
    assert times[-1] - times[-2] == history.FINE
    assert times == sorted(set(times))
    assert times[-1] < _NOW


def test_the_pool_names_both_namespaces_of_each_environment() -> None:
    names = history.namespaces(("demo", "t1"))
    assert names == ["production", "staging", "t1-production", "t1-staging"]
