"""What PromQL says about crafted series, and what is counted from their raw samples instead.

A Prometheus of the test's own holds a minute of samples, 5 s apart, as a scraped one would.
"""

import math
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import httpx
import pytest

from activities.adapters.prometheus import Prometheus
from activities.counted import Chunks, Counted
from devstack import ports
from devstack.layout import HOST
from devstack.process import Processes, Spec
from devstack.servers.prometheus import backfill
from devstack.stack import Stack
from slipway.judgements.counters import Pods, Series, Traffic, Unreadable, share_above, without_code
from slipway.judgements.folding import fold, fold_buckets, fold_slow
from slipway.judgements.queries import fill
from slipway.judgements.traffic import coverage
from slipway.plan import Metrics

pytestmark = pytest.mark.stack

STEP, COUNT = 5.0, 12
REQUESTS = "http_requests_total"
BUCKETS = "http_request_duration_seconds_bucket"
CALLS = "external_calls_total"
Values = list[float | None]


def rising(start: float, by: float) -> Values:
    return [start + by * number for number in range(COUNT)]


def only_last(values: Values) -> Values:
    return [None] * (COUNT - len(values)) + values


SERIES: list[tuple[str, dict[str, str], Values]] = [
    (REQUESTS, {"pod": "born-h1-a", "code": "200"}, rising(100, 50)),
    (REQUESTS, {"pod": "born-h1-a", "code": "500"}, only_last([12.0] * 6)),
    (REQUESTS, {"pod": "single-h1-a", "code": "200"}, only_last([90.0])),
    (REQUESTS, {"pod": "single-h1-a", "code": "500"}, only_last([9.0])),
    (REQUESTS, {"pod": "good-h1-a", "code": "200"}, rising(0, 10)),
    (REQUESTS, {"pod": "idle-h1-a", "code": "200"}, [7.0] * COUNT),
    (REQUESTS, {"pod": "idle-h1-a", "code": "500"}, [1.0] * COUNT),
    (REQUESTS, {"pod": "restart-h1-a", "code": "200"}, [*rising(100, 10)[:8], 4.0, 6.0, 8.0, 9.0]),
    (REQUESTS, {"pod": "restart-h1-a", "code": "500"}, [*[0.0] * 8, 3.0, 3.0, 3.0, 3.0]),
    (REQUESTS, {"pod": "gone-h1-a", "code": "200"}, [*rising(0, 10)[:5], *[None] * 7]),
    (REQUESTS, {"pod": "probed-h1-a", "code": "200", "route": "/health"}, rising(0, 100)),
    (REQUESTS, {"pod": "probed-h1-a", "code": "500", "route": "/items"}, rising(0, 1)),
    (REQUESTS, {"pod": "mixed-h1-a", "code": "500"}, rising(0, 1)),
    (REQUESTS, {"pod": "mixed-h2-b", "code": "200"}, rising(0, 1000)),
    (BUCKETS, {"pod": "slow-h1-a", "le": "0.1"}, rising(0, 0)),
    (BUCKETS, {"pod": "slow-h1-a", "le": "0.50"}, rising(0, 8)),
    (BUCKETS, {"pod": "slow-h1-a", "le": "1.0"}, rising(0, 8)),
    (BUCKETS, {"pod": "slow-h1-a", "le": "+Inf"}, rising(0, 10)),
    (REQUESTS, {"pod": "lazy-h1-a", "code": "200"}, [*rising(9000, 10)[:6], 4.0, 8.0, *[9.0] * 4]),
    (REQUESTS, {"pod": "lazy-h1-a", "code": "500"}, [*[700.0] * 6, None, None, 2.0, 2.0, 2.0, 2.0]),
    (REQUESTS, {"pod": "codeless-h1-a", "status": "500"}, rising(0, 200)),
    (CALLS, {"pod": "calling-h1-a", "outcome": "ok"}, rising(0, 3)),
    (CALLS, {"pod": "failing-h1-a", "outcome": "ok"}, rising(0, 3)),
    (CALLS, {"pod": "failing-h1-a", "outcome": "failed"}, rising(0, 1)),
    (CALLS, {"pod": "broken-h1-a", "outcome": "failed"}, rising(0, 1)),
    (CALLS, {"pod": "silent-h1-a", "outcome": "ok"}, [7.0] * COUNT),
    (CALLS, {"pod": "silent-h1-a", "outcome": "failed"}, [1.0] * COUNT),
]


def openmetrics(now: float) -> str:
    """The series as text; the last sample is at `now`."""
    lines = []
    for name in (REQUESTS, BUCKETS, CALLS):
        family = name.removesuffix("_total").removesuffix("_bucket")
        kind = "histogram" if name == BUCKETS else "counter"
        lines.append(f"# TYPE {family} {kind}")
        for metric, labels, values in SERIES:
            if metric == name:
                text = ",".join(f'{key}="{value}"' for key, value in labels.items())
                head = f'{name}{{namespace="traps",{text}}}'
                lines += [
                    f"{head} {value} {now - STEP * (COUNT - 1 - at):.3f}"
                    for at, value in enumerate(values)
                    if value is not None
                ]
    return "\n".join([*lines, "# EOF\n"])


class Held:
    """A Prometheus with the series, and the moment of their last sample."""

    def __init__(self, url: str, now: float) -> None:
        self.url, self.now = url, now
        self.client = Prometheus()
        self.metrics = Metrics(url=url)

    async def number(self, query: str) -> float | Unreadable:
        return await self.client.number(self.url, query, self.now)

    async def raw(self, query: str, pods: str) -> list[Series]:
        selector = fill(query, namespace="traps", pods=pods)
        found = await self.client.samples(self.url, selector, 120, self.now)
        assert not isinstance(found, Unreadable), found
        return found

    async def counted(self, name: str, began: float = -120.0, *, replaced: bool = True) -> Traffic:
        """What the pods of one version counted since `began`, seconds from the last sample."""
        series = await self.raw(self.metrics.requests, f"{name}-.+")
        pods = Pods(f"{name}-h1-", {f"{name}-h1-a": 0.0}, replaced=replaced)
        return fold(series, pods, self.now + began, self.metrics.error_code)


@pytest.fixture(scope="module")
def served(stack: Stack, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, float]]:
    """A Prometheus process of this module's own."""
    root = tmp_path_factory.mktemp("prometheus")
    now, promtool = time.time(), Path(stack.promtool)
    backfill(promtool, root / "data", lambda file: _written(file, now))
    config = root / "prometheus.yml"
    config.write_text("{}\n")
    address = f"{HOST}:{ports.choose(['own'], {})['own']}"
    processes = Processes(root)
    argv = (
        str(promtool.with_name("prometheus")),
        f"--config.file={config}",
        f"--storage.tsdb.path={root / 'data'}",
        f"--web.listen-address={address}",
        "--log.level=warn",
    )
    processes.start(Spec("prometheus", argv))
    try:
        deadline = time.monotonic() + 120
        while not _ready(f"http://{address}"):
            assert time.monotonic() < deadline, processes.log_path("prometheus").read_text()
            time.sleep(0.05)
        yield f"http://{address}", now
    finally:
        processes.stop("prometheus")


def _written(file: Path, now: float) -> None:
    file.write_text(openmetrics(now))


def _ready(url: str) -> bool:
    try:
        return httpx.get(f"{url}/-/ready", timeout=2).status_code == 200
    except httpx.HTTPError:
        return False


@pytest.fixture
async def held(served: tuple[str, float]) -> AsyncIterator[Held]:
    made = Held(*served)
    yield made
    await made.client.aclose()


def of(pod: str, more: str = "") -> str:
    return f'{REQUESTS}{{namespace="traps",pod=~"{pod}-.+"{more}}}'


async def test_a_series_that_is_born_with_failures_has_an_increase_of_none(held: Held) -> None:
    bad = of("born", ',code=~"5.."')
    assert await held.number(f"sum(increase({bad}[1m]))") == 0
    assert (await held.counted("born")).failures == 12


async def test_one_sample_has_no_rate_and_counts(held: Held) -> None:
    assert isinstance(await held.number(f"sum(rate({of('single')}[1m]))"), Unreadable)
    found = await held.counted("single")
    assert (found.requests, found.failures) == (99, 9)


async def test_without_a_failed_series_there_is_no_ratio_and_no_failure(held: Held) -> None:
    bad = of("good", ',code=~"5.."')
    ratio = f"sum(rate({bad}[1m])) / sum(rate({of('good')}[1m]))"
    assert isinstance(await held.number(ratio), Unreadable)
    found = await held.counted("good")
    assert (found.requests, found.failures) == (110, 0)


async def test_nothing_divided_by_nothing_is_no_number(held: Held) -> None:
    bad = of("idle", ',code=~"5.."')
    ratio = f"sum(rate({bad}[1m])) / sum(rate({of('idle')}[1m]))"
    assert isinstance(await held.number(ratio), Unreadable)
    above = await held.number(f"{ratio} > 0.01")
    assert isinstance(above, Unreadable), "a comparison with NaN vanishes"
    found = await held.counted("idle", began=-50, replaced=False)
    assert (found.requests, found.failures) == (0, 0)


async def test_a_restart_hides_nothing_that_was_counted_since(held: Held) -> None:
    found = await held.counted("restart", began=-54, replaced=False)
    assert (found.requests, found.failures) == (82, 3)


async def test_a_target_that_has_gone_answers_for_minutes_and_is_not_covered(held: Held) -> None:
    assert await held.number(f"sum({of('gone')})") == 40, "its last value, 35 s old"
    found = await held.counted("gone")
    pods = Pods("gone-h1-", {"gone-h1-a": 0.0}, replaced=True)
    wrong = coverage(found, pods, held.now, held.now - 60, STEP)
    assert "gone-h1-a" in wrong


async def test_probes_of_the_kubelet_are_left_out(held: Held) -> None:
    found = await held.counted("probed")
    assert (found.requests, found.failures) == (11, 11)


async def test_another_version_does_not_water_down(held: Held) -> None:
    found = await held.counted("mixed")
    assert (found.requests, found.failures) == (11, 11)


async def test_bounds_are_numbers_however_they_are_written(held: Held) -> None:
    series = await held.raw(held.metrics.latency, "slow-.+")
    pods, began = Pods("slow-h1-", {"slow-h1-a": 0.0}, replaced=True), held.now - 120
    buckets = fold_buckets(series, pods, began)
    assert buckets == {0.1: 0, 0.5: 88, 1.0: 88, math.inf: 110}
    assert share_above(buckets, 0.5) == pytest.approx(0.2)
    slow = fold_slow(series, pods, began, 0.5)
    assert (slow.requests, slow.failures) == (110, 22)


async def test_a_quantile_never_exceeds_the_highest_bound(held: Held) -> None:
    """A fifth of the requests take longer than a second, nobody knows how long."""
    rate = f'sum by (le) (rate({BUCKETS}{{namespace="traps"}}[1m]))'
    assert await held.number(f"histogram_quantile(0.95, {rate})") == 1.0


async def test_a_selector_that_matches_nothing_is_no_zero(held: Held) -> None:
    selector = fill(held.metrics.requests, namespace="traps", pods="nobody-.+")
    assert isinstance(await held.client.samples(held.url, selector, 60, held.now), Unreadable)


@pytest.mark.parametrize(
    ("pods", "share"),
    [
        ("calling-.+", 0.0),
        ("failing-.+", 0.25),
        ("broken-.+", 1.0),
        ("silent-.+", 0.0),
        ("calling-.+|silent-.+", 0.0),
        ("(calling|failing|silent|nobody)-.+", 1 / 7),
    ],
)
async def test_the_share_of_failed_calls_is_a_number_where_there_is_a_counter(
    held: Held, pods: str, share: float
) -> None:
    """None failed yet, none were made, all failed: each is a number, and the right one."""
    query = fill(held.metrics.external, namespace="traps", pods=pods, window=60)
    assert await held.number(query) == pytest.approx(share)


async def test_without_a_counter_of_calls_there_is_no_share(held: Held) -> None:
    query = fill(held.metrics.external, namespace="traps", pods="nobody-.+", window=60)
    found = await held.number(query)
    assert isinstance(found, Unreadable)
    assert found.empty


async def test_the_old_query_without_its_guards_gives_nothing(held: Held) -> None:
    total = f'sum(rate({CALLS}{{pod=~"POD"}}[1m]))'
    failed = f'sum(rate({CALLS}{{pod=~"POD",outcome="failed"}}[1m]))'
    for pod in ("calling-.+", "silent-.+"):
        query = f"{failed} / {total}".replace("POD", pod)
        assert isinstance(await held.number(query), Unreadable)


async def test_a_counter_that_is_not_made_again_yet_counts_as_none(held: Held) -> None:
    found = await held.counted("lazy", began=-54, replaced=False)
    assert (found.requests, found.failures) == (50 + 9 + 2, 2)


async def test_counters_without_a_code_are_found(held: Held) -> None:
    codes = f"count by (code) ({of('codeless')})"
    found = await held.client.vector(held.url, codes, held.now)
    assert not isinstance(found, Unreadable)
    assert [dict(one.labels) for one in found] == [{}]
    series = await held.raw(held.metrics.requests, "codeless-.+")
    assert without_code(series, Pods("codeless-h1-")) is not None


async def test_chunks_and_minutes_of_raw_samples_come_to_the_same(held: Held) -> None:
    """Whatever a chunk's edges are; and thinned, a counter that only grows loses nothing."""
    pods = Pods("born-h1-", {"born-h1-a": 0.0}, replaced=True)
    query = fill(held.metrics.requests, namespace="traps", pods="born-.+")
    began = held.now - 120
    whole = await held.counted("born")
    for length in (7.0, 10.0, 33.3):
        chunks = Chunks(held.client, held.url, query)
        chunks.length = length
        counted = Counted(chunks, began - 15, began, held.metrics.error_code)
        assert await counted.read(pods, held.now) == whole
    thin = Chunks(held.client, held.url, query, thin_until=held.now + 60)
    counted = Counted(thin, began - 15, began, held.metrics.error_code)
    found = await counted.read(pods, held.now + 60)
    assert isinstance(found, Traffic)
    assert (found.requests, found.failures) == (whole.requests, whole.failures)
    assert all(one.at % 60 == 0 for one in found.scrapes)
