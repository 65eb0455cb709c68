"""All judgements of a watching window over what was read of it."""

from collections.abc import Mapping
from dataclasses import dataclass

from slipway.judgements.counters import Traffic, Unreadable
from slipway.judgements.logs import judge_logs
from slipway.judgements.pods import judge_pods
from slipway.judgements.traffic import (
    Seen,
    judge_latency,
    judge_share,
    judge_traffic,
    nothing_to_read,
)
from slipway.judgements.workload import Raw
from slipway.messages.watch import Mark, Watched, WatchSlice
from slipway.verdicts import Signal, Verdict


@dataclass(frozen=True)
class ServiceRead:
    """What was read of one service; None where it was not read."""

    watched: Watched
    pods: list[Raw]
    traffic: Traffic | Unreadable
    buckets: Mapping[float, float] | Unreadable | None = None
    lines: Mapping[str, int] | Unreadable | None = None
    rates: Mapping[str, float] | None = None


def judge_now(read: ServiceRead, request: WatchSlice, mark: Mark) -> list[Verdict]:
    """Judge what may end a window early: pods and traffic. Only ROLLBACK and nothing else."""
    seen = Seen(read.watched.service, read.traffic, read.watched.focus, last=False)
    return _given(_pods(read, mark), judge_traffic(seen, request.limits))


def judge_service(
    read: ServiceRead, request: WatchSlice, mark: Mark, seconds: float
) -> list[Verdict]:
    """Judge a service at a slice's end. `seconds`: the window so far."""
    name, limits = read.watched.service.name, request.limits
    seen = Seen(read.watched.service, read.traffic, read.watched.focus, request.last)
    latency = None
    if request.last and read.buckets is not None and not isinstance(read.traffic, Unreadable):
        latency = judge_latency(name, read.buckets, limits)
    logs = None
    if isinstance(read.lines, Unreadable):
        remedy = read.lines.remedy or "Check that the pods' logs can be read, then retry."
        logs = nothing_to_read(Signal.LOGS, name, Unreadable(read.lines.because, remedy))
    elif read.lines is not None:
        logs = judge_logs(name, read.lines, read.rates or {}, seconds, limits)
    return _given(_pods(read, mark), judge_traffic(seen, limits), latency, logs)


def judge_shared(
    connections: float | Unreadable, external: float | Unreadable, request: WatchSlice
) -> list[Verdict]:
    """Judge what belongs to all services, in the last window."""
    limits = request.limits
    return _given(
        judge_share(
            Signal.CONNECTIONS,
            connections,
            limits.connections,
            "the database's connections are in use",
        ),
        judge_share(
            Signal.EXTERNAL, external, limits.external_failures, "the external calls failed"
        ),
    )


def _pods(read: ServiceRead, mark: Mark) -> Verdict | None:
    watched = read.watched
    return judge_pods(watched.service.name, read.pods, mark.restarts, replaced=watched.replaced)


def _given(*verdicts: Verdict | None) -> list[Verdict]:
    return [one for one in verdicts if one is not None]
