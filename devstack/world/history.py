"""Past samples for Prometheus: what healthy services would have counted before the stack started.

`promtool tsdb create-blocks-from openmetrics` turns the file into blocks, so that "the hour before"
and "24 hours of staging" are real queries.
"""

import math
import random
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import TextIO

from devstack.world import behaviour
from devstack.world.catalog import SERVICES, ServiceSpec
from devstack.world.environment import PRODUCTION, STAGING
from devstack.world.faults import HEALTHY

POOL: tuple[str, ...] = ("demo", *(f"t{number}" for number in range(1, 11)))
"""Names of environments that have a history from the start of the stack."""
COARSE, FINE = 60.0, 15.0
"""Seconds between samples: until an hour (divided by `time_scale`) ago, and from then on."""


@dataclass
class _Series:
    """One counter at all instants."""

    labels: str
    values: list[float]


def namespaces(names: Iterable[str] = POOL) -> list[str]:
    """Return the namespaces of environments, production and staging of each."""
    found: list[str] = []
    for name in names:
        stages = (PRODUCTION, STAGING)
        found += stages if name == "demo" else [f"{name}-{stage}" for stage in stages]
    return found


def instants(now: float, hours: float, time_scale: float) -> list[float]:
    """Return the sample times: `hours` of them before `now` (Unix seconds), the last hour finer."""
    recent = now - 3600.0 / time_scale
    coarse = [now - hours * 3600.0 + COARSE * step for step in range(math.ceil(hours * 60))]
    count = math.ceil((now - recent) / FINE)
    return [at for at in coarse if at < recent] + [recent + FINE * step for step in range(count)]


def write_openmetrics(
    path: Path, wanted: Iterable[str], hours: float, *, now: float, time_scale: float = 15.0
) -> int:
    """Write the past of the namespaces, `hours` of wall time up to `now`; return the samples.

    Rates are those of healthy services times `time_scale`; 24 h of a compressed environment are
    `24 / time_scale` hours here.
    """
    times = instants(now, hours, time_scale)
    families: dict[str, list[tuple[str, _Series]]] = {name: [] for name in _FAMILIES}
    for namespace in wanted:
        for service in SERVICES:
            _count(families, namespace, service, times, time_scale)
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w") as file:
        written = sum(_write(file, name, series, times) for name, series in families.items())
        file.write("# EOF\n")
    return written


def write_pool(path: Path) -> None:
    """Write what a new stack begins with: the pool's environments at `time_scale` 15.

    An hour before is four minutes there, 24 hours are 96 minutes.
    """
    write_openmetrics(path, namespaces(), 1.75, now=time.time(), time_scale=15.0)


_FAMILIES = {
    "http_requests": "counter",
    "http_request_duration_seconds": "histogram",
    "external_calls": "counter",
}


def _count(
    families: dict[str, list[tuple[str, _Series]]],
    namespace: str,
    service: ServiceSpec,
    times: list[float],
    time_scale: float,
) -> None:
    """Draw the past of one service: one pod and its main route carry all of its traffic."""
    rng = random.Random(f"{namespace}/{service.name}")
    pod = f"{service.name}-history-0"
    base = (
        f'namespace="{namespace}",pod="{pod}",instance="{pod}",service="{service.name}",'
        f'pod_template_hash="history",job="teei"'
    )
    route = f'{base},route="{service.main_route}"'
    chances = behaviour.profile(HEALTHY, service, service.main_route, math.inf)
    draws = [
        behaviour.draw(chances, service.rate * time_scale * seconds, rng)
        for seconds in _gaps(times)
    ]
    good, bad = ([sum(d.succeeded) for d in draws], [sum(d.failed) for d in draws])
    requests = families["http_requests"]
    requests.append(("_total", _Series(f'{route},code="200"', _running(good))))
    requests.append(("_total", _Series(f'{route},code="500"', _running(bad))))
    total = [a + b for a, b in zip(good, bad, strict=True)]
    duration = families["http_request_duration_seconds"]
    for index, bound in enumerate(behaviour.BUCKETS):
        below = [sum(d.succeeded[: index + 1]) + sum(d.failed[: index + 1]) for d in draws]
        text = "+Inf" if bound == math.inf else f"{bound}"
        duration.append(("_bucket", _Series(f'{route},le="{text}"', _running(below))))
    duration.append(("_count", _Series(route, _running(total))))
    duration.append(("_sum", _Series(route, _running(n * chances.median for n in total))))
    for target in service.external:
        calls = _poissons(total, behaviour.EXTERNAL_SHARE / len(service.external), rng)
        lost = [behaviour.poisson(n * behaviour.HEALTHY_EXTERNAL_FAILURES, rng) for n in calls]
        label = f'{base},target="{target}"'
        families["external_calls"] += [
            ("_total", _Series(f'{label},outcome="ok"', _running(calls))),
            ("_total", _Series(f'{label},outcome="failed"', _running(lost))),
        ]


def _write(file: TextIO, name: str, series: list[tuple[str, _Series]], times: list[float]) -> int:
    file.write(f"# TYPE {name} {_FAMILIES[name]}\n")
    stamps = [f"{at:.3f}" for at in times]
    for suffix, one in series:
        head = f"{name}{suffix}{{{one.labels}}}"
        file.writelines(
            f"{head} {value:.15g} {stamp}\n"
            for value, stamp in zip(one.values, stamps, strict=True)
        )
    return len(series) * len(times)


def _gaps(times: list[float]) -> Iterator[float]:
    """Yield the seconds before each instant; nothing happened before the first."""
    yield 0.0
    for earlier, later in pairwise(times):
        yield later - earlier


def _running(values: Iterable[float]) -> list[float]:
    total, found = 0.0, []
    for value in values:
        total += value
        found.append(total)
    return found


def _poissons(values: list[int], share: float, rng: random.Random) -> list[int]:
    draw: Callable[[float, random.Random], int] = behaviour.poisson
    return [draw(value * share, rng) for value in values]
