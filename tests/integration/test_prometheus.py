"""Prometheus answers, in part, or not: nothing that is missing becomes a zero."""

import json
import time
from typing import Any

import pytest

from activities.adapters.prometheus import Prometheus
from slipway.judgements.counters import Unreadable
from slipway.judgements.queries import fill
from tests.integration.cluster_world import ClusterWorld, until
from tests.integration.stub_server import answering, response

pytestmark = pytest.mark.stack


@pytest.mark.stack
async def test_raw_samples_of_real_counters(place: ClusterWorld) -> None:
    query = fill(place.plan.metrics.requests, namespace=place.namespace, pods="journey-.+")

    async def enough() -> bool:
        found = await place.metrics.samples(place.plan.metrics.url, query, 20, time.time())
        return not isinstance(found, Unreadable) and all(len(one.samples) > 2 for one in found)

    await until(enough, "samples")
    found = await place.metrics.samples(place.plan.metrics.url, query, 20, time.time())
    assert not isinstance(found, Unreadable)
    for one in found:
        assert one.labels["pod"].startswith("journey-")
        times = [at for at, _ in one.samples]
        assert times == sorted(times)


@pytest.mark.stack
@pytest.mark.parametrize("query", ["vector(0) / 0", "nothing_of_that_name", "sum(", "up", "1"])
async def test_nan_nothing_errors_and_many_are_no_number(place: ClusterWorld, query: str) -> None:
    found = await place.metrics.number(place.plan.metrics.url, query, time.time())
    assert isinstance(found, Unreadable)
    assert found.remedy


async def test_a_number(place: ClusterWorld) -> None:
    assert await place.metrics.number(place.plan.metrics.url, "vector(0.25)", time.time()) == 0.25


def vector(**more: Any) -> bytes:
    result = [{"metric": {}, "value": [1.0, "1"]}]
    return json.dumps(
        {"status": "success", "data": {"resultType": "vector", "result": result}, **more}
    ).encode()


@pytest.mark.parametrize(
    "answer",
    [
        response(vector(warnings=["a remote read failed"])),
        response(b'{"status":"error","error":"boom"}', status="422 Unprocessable Entity"),
        response(b"<html>login</html>"),
        response(b"[]"),
        response(b'{"status":"success","data":{"resultType":"matrix","result":[]}}'),
        response(b'{"status":"success","data":{"resultType":"vector","result":[3]}}'),
        response(
            b'{"status":"success","data":{"resultType":"vector","result":[{"value":[1,"x"]}]}}'
        ),
        response(b'{"status":"success","data":null}'),
        response(b"[" * 100_000),
        response(b" " * (17 * 1024 * 1024)),
        response(b"", status="302 Found", more="Location: http://127.0.0.1:1/\r\n"),
    ],
)
async def test_an_answer_in_part_or_none_is_unreadable(answer: bytes) -> None:
    prometheus = Prometheus()
    async with answering(answer) as url:
        found = await prometheus.number(url, "up", time.time())
    await prometheus.aclose()
    assert isinstance(found, Unreadable)


async def test_the_stub_is_readable_when_it_is_sound() -> None:
    prometheus = Prometheus()
    async with answering(response(vector())) as url:
        assert await prometheus.number(url, "up", time.time()) == 1.0
    await prometheus.aclose()


async def test_a_dead_prometheus_is_unreadable(unused_tcp_port: int) -> None:
    prometheus = Prometheus()
    found = await prometheus.number(f"http://127.0.0.1:{unused_tcp_port}", "up", time.time())
    await prometheus.aclose()
    assert isinstance(found, Unreadable)
    assert "did not answer" in found.because
