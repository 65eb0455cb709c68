"""A pod's counters: they begin at zero with the pod and advance by modelled and real requests."""

import math
import random
from collections import defaultdict
from collections.abc import Mapping

from devstack.world import behaviour
from devstack.world.catalog import ServiceSpec
from devstack.world.faults import Fault

TYPES = b"""\
# TYPE http_requests_total counter
# TYPE http_request_duration_seconds histogram
# TYPE external_calls_total counter
# TYPE service_db_connections gauge
"""


def labelled(page: bytes, labels: Mapping[str, str]) -> bytes:
    """Return a page of samples with these labels added to each."""
    added = ",".join(f'{name}="{value}"' for name, value in labels.items())
    lines = []
    for line in page.decode().splitlines():
        name, space, value = line.rpartition(" ")
        inner = f"{name[:-1]},{added}}}" if name.endswith("}") else f"{name}{{{added}}}"
        lines.append(f"{inner}{space}{value}\n")
    return "".join(lines).encode()


class Counters:
    """What one pod has counted. Labels that name the pod come from discovery."""

    def __init__(self, service: ServiceSpec, fault: Fault, rng: random.Random) -> None:
        self._service = service
        self._fault = fault
        self._rng = rng
        self._requests: dict[tuple[str, int], int] = defaultdict(int)
        self._buckets: dict[str, list[int]] = {}
        self._seconds: dict[str, float] = defaultdict(float)
        self._external: dict[tuple[str, str], int] = defaultdict(int)
        for route in service.routes:
            self._requests[route.path, 200] = self._requests[route.path, 500] = 0
            self._buckets[route.path] = [0] * len(behaviour.BUCKETS)
        for target in service.external:
            self._external[target, "ok"] = self._external[target, "failed"] = 0

    def advance(self, requests: float, age: float, *, migrated: bool = False) -> None:
        """Add a stretch of modelled traffic: `requests` (a mean) at a pod of that age."""
        for route in self._service.routes:
            chances = behaviour.profile(
                self._fault, self._service, route.path, age, migrated=migrated
            )
            counts = behaviour.draw(chances, requests * route.share, self._rng)
            self._requests[route.path, 200] += sum(counts.succeeded)
            self._requests[route.path, 500] += sum(counts.failed)
            ended = [a + b for a, b in zip(counts.succeeded, counts.failed, strict=True)]
            buckets = self._buckets[route.path]
            for index, count in enumerate(ended):
                buckets[index] += count
            self._seconds[route.path] += sum(ended) * chances.median
            self._call_others(requests * route.share, chances.external_failure_ratio)

    def record(self, route: str, code: int, latency: float) -> None:
        """Count one real request; `latency` in seconds."""
        self._requests[route, code] += 1
        buckets = self._buckets.setdefault(route, [0] * len(behaviour.BUCKETS))
        buckets[behaviour.bucket_of(latency)] += 1
        self._seconds[route] += latency

    def render(self, connections: int) -> bytes:
        """Return the counters in the text format that Prometheus scrapes, below `TYPES`."""
        lines = [
            f'http_requests_total{{route="{route}",code="{code}"}} {count}'
            for (route, code), count in self._requests.items()
        ]
        for route, buckets in self._buckets.items():
            lines += _histogram(route, buckets, self._seconds[route])
        lines += [
            f'external_calls_total{{target="{target}",outcome="{outcome}"}} {count}'
            for (target, outcome), count in self._external.items()
        ]
        lines.append(f"service_db_connections {connections}")
        return ("\n".join(lines) + "\n").encode()

    def _call_others(self, requests: float, failure_ratio: float) -> None:
        if not self._service.external:
            return
        each = requests * behaviour.EXTERNAL_SHARE / len(self._service.external)
        for target in self._service.external:
            good, bad = each * (1 - failure_ratio), each * failure_ratio
            self._external[target, "ok"] += behaviour.poisson(good, self._rng)
            self._external[target, "failed"] += behaviour.poisson(bad, self._rng)


def _histogram(route: str, buckets: list[int], seconds: float) -> list[str]:
    name, lines, below = "http_request_duration_seconds", [], 0
    for bound, count in zip(behaviour.BUCKETS, buckets, strict=True):
        below += count
        text = "+Inf" if bound == math.inf else f"{bound}"
        lines.append(f'{name}_bucket{{route="{route}",le="{text}"}} {below}')
    lines.append(f'{name}_sum{{route="{route}"}} {seconds:.3f}')
    lines.append(f'{name}_count{{route="{route}"}} {below}')
    return lines
