"""Goal 9: whatever is missing from the data, nothing is taken for a good release.

Not simulated counts but the way the product goes: a Prometheus answer over HTTP, the adapter, the
fold over pods, the coverage guard and the verdict at a window's end. Beside it what the playbook's
rule makes of the same answers: no data is no ratio, NaN is not above 1 %, and so it goes on.
"""

import asyncio
import time
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
from kubernetes import client

from activities.adapters.cluster import Cluster
from activities.adapters.kube_api import KubeApi
from activities.adapters.loki import Loki
from activities.adapters.prometheus import Prometheus
from activities.log_source import LogSource
from activities.sources import Sources, regex_of
from benchmarks.judgement.answers import GAPS, Case, Gap, answering, made, pods_of
from benchmarks.judgement.claims import ClaimBroken
from benchmarks.judgement.measures import MET, SHORT, Measured, percent
from benchmarks.judgement.parts import SHORT as WINDOW
from benchmarks.judgement.table import Line
from benchmarks.judgement.traffic import Random
from slipway.judgements.counters import Pods, Unreadable, prefix_of
from slipway.judgements.folding import fold
from slipway.judgements.queries import fill
from slipway.judgements.traffic import judge_traffic
from slipway.judgements.window import ServiceRead, seen_of
from slipway.messages.rollout import Workload
from slipway.messages.watch import Mark, Watched, WatchSlice
from slipway.plan import Plan
from slipway.verdicts import Kind
from starter.loading import load_plan

_RUNS = 400
_CONTROLS = 40
_ROOT = Path(__file__).parents[2]
_NAIVE = "playbook, window end"
_HASH = "5f8dbd7c9"


@dataclass(frozen=True)
class Count:
    """Of one kind of gap, at one interval."""

    runs: int
    proceeded: int
    rolled_back: int
    naive: int
    """How often the playbook's rule goes on."""


def lines(seed: int, most: int | None) -> list[Line]:
    """Judge every kind of gap, at each interval."""
    runs = min(_RUNS, most or _RUNS)
    return [_line(interval, asyncio.run(_all(interval, seed, runs)), runs) for interval in (5, 15)]


def _line(interval: float, counts: Mapping[str, Count], runs: int) -> Line:
    total = sum(one.runs for one in counts.values())
    ours, theirs = (
        sum(getattr(one, name) for one in counts.values()) for name in ("proceeded", "naive")
    )
    wrong = ", ".join(f"{name}: {one.proceeded}" for name, one in counts.items() if one.proceeded)
    text = f"{ours:,} of {total:,}" + (f" ({wrong})" if wrong else "")
    found = Measured(ours / total, text, percent(ours / total), SHORT if ours else MET)
    naive = Measured(theirs / total, f"{theirs:,} of {total:,}", percent(theirs / total))
    what = f"data gaps, {len(counts)} kinds: PROCEED"
    return Line("9", what, interval, runs, "0", found, {_NAIVE: naive}, tuple(counts))


async def _all(interval: float, seed: int, runs: int) -> dict[str, Count]:
    metrics = Prometheus()
    kube = KubeApi(client.Configuration(host="http://127.0.0.1:1"))
    try:
        async with answering() as (url, say):
            world = _World(metrics, Cluster(kube), url, say, interval)
            await _control(world, seed)
            return {name: await _count(world, name, gap, seed, runs) for name, gap in GAPS.items()}
    finally:
        await metrics.aclose()
        kube.close()


@dataclass(frozen=True)
class _World:
    metrics: Prometheus
    cluster: Cluster
    url: str
    say: dict[str, bytes]
    """What the server answers next, under `now`."""
    interval: float


async def _control(world: _World, seed: int) -> None:
    """With nothing missing the same way must lead good releases on and broken ones back."""
    for failing, wanted in ((0.0005, None), (0.03, Kind.ROLLBACK)):
        random = np.random.default_rng([seed, round(failing * 1e4), round(world.interval)])
        cases = (_case(world, 20.0, failing) for _ in range(_CONTROLS))
        kinds = [(await _judged(world, Gap(), case, random))[0] for case in cases]
        if sum(kind is wanted for kind in kinds) < 0.95 * _CONTROLS:
            raise ClaimBroken(f"without a gap, {failing:.2%} failing: {kinds}")


async def _count(world: _World, name: str, gap: Gap, seed: int, runs: int) -> Count:
    random = np.random.default_rng([seed, zlib.crc32(name.encode()), round(world.interval)])
    kinds, naive = [], 0
    for _ in range(runs):
        rate, failing = random.choice([2.0, 20.0, 200.0]), random.choice([0.0, 0.0005, 0.03, 1.0])
        case = _case(world, float(rate), float(failing))
        kind, goes_on = await _judged(world, gap, case, random)
        kinds.append(kind)
        naive += goes_on
    proceeded = sum(kind in (None, Kind.PROCEED) for kind in kinds)
    return Count(runs, proceeded, sum(kind is Kind.ROLLBACK for kind in kinds), naive)


async def _judged(world: _World, gap: Gap, case: Case, random: Random) -> tuple[Kind | None, bool]:
    """Return the verdict at the window's end, None for nothing against the release, and whether
    the playbook's rule would go on."""
    world.say["now"] = gap.answer(gap.change(made(case, random), case, random))
    request = _request(world, gap)
    mark = Mark(began=case.at - WINDOW)
    sources = Sources(world.cluster, world.metrics, LogSource(world.cluster, Loki()), request)
    sources.pods = gap.pods(pods_of(case, _HASH))
    if gap.unlisted:
        sources.pods, sources.pods_missing = [], Unreadable("the Kubernetes API does not answer")
    await sources.read_traffic(mark.began)
    watched = request.watched[0]
    read = ServiceRead(watched, sources.pods, sources.traffic[watched.service.name])
    verdict = judge_traffic(seen_of(read, request, mark, last=True))
    return (verdict.kind if verdict else None), await _naive(world, request, mark, case)


async def _naive(world: _World, request: WatchSlice, mark: Mark, case: Case) -> bool:
    """Whether the ratio of what was answered, if there is one, is not above 1 %."""
    watched, metrics = request.watched[0], request.metrics
    query = fill(metrics.requests, namespace=watched.workload.namespace, pods=regex_of([watched]))
    series = await world.metrics.samples(metrics.url, query, WINDOW, case.at)
    if isinstance(series, Unreadable):
        return True
    pods = Pods(prefix_of(watched.workload.deployment, _HASH), replaced=True)
    return fold(series, pods, mark.began, metrics.error_code).ratio <= 0.01


def _case(world: _World, rate: float, failing: float) -> Case:
    plan = _plan()
    prefix = prefix_of(plan.services[0].workload, _HASH)
    return Case(prefix, plan.kubernetes.namespace, rate, failing, time.time(), world.interval)


def _request(world: _World, gap: Gap) -> WatchSlice:
    plan = _plan()
    service = plan.services[0]
    workload = Workload(
        service=service.name,
        namespace=plan.kubernetes.namespace,
        deployment=service.workload,
        container=service.container,
    )
    pod_hash = "" if gap.hashless else _HASH
    watched = Watched(
        service=service, workload=workload, pod_hash=pod_hash, replaced=gap.replaced, focus=True
    )
    served = {"url": world.url, "scrape_interval": world.interval}
    return WatchSlice(
        window=f"monitor:{service.name}",
        watched=[watched],
        metrics=plan.metrics.model_copy(update=served),
        limits=plan.limits,
        logs=plan.logs,
        baseline=3600,
        probe_every=5,
        length=30,
        window_length=WINDOW,
        last=True,
    )


@cache
def _plan() -> Plan:
    return load_plan(_ROOT / "plans" / "teei-production.yaml")
