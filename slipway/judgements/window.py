"""All judgements of a watching window over what was read of it."""

from collections.abc import Mapping
from dataclasses import dataclass

from slipway.base import say_length
from slipway.judgements.counters import Traffic, Unreadable
from slipway.judgements.logs import Before, ErrorLines, judge_logs
from slipway.judgements.pods import judge_pods
from slipway.judgements.readings import say_before
from slipway.judgements.rule import RULE, Frame
from slipway.judgements.traffic import (
    Seen,
    judge_latency,
    judge_share,
    judge_traffic,
    nothing_to_read,
)
from slipway.judgements.workload import Raw
from slipway.messages.watch import Asked, Mark, Watched, WatchSlice
from slipway.verdicts import Kind, Signal, Verdict

_MAY_MISS = 90.0
"""Seconds of a window whose log lines may be missing: what a pod wrote since the last slice is gone
when the kubelet begins a new file. What goes on failing fails in the new one as well."""


@dataclass(frozen=True)
class ServiceRead:
    """What was read of one service; None where it was not read."""

    watched: Watched
    pods: list[Raw]
    traffic: Traffic | Unreadable
    buckets: Mapping[float, float] | Unreadable | None = None
    slow: Traffic | None = None
    """The same histogram scrape by scrape: failures are the slow requests."""
    lines: ErrorLines | Unreadable | None = None
    rates: Mapping[str, float] | None = None
    asked: Asked | None = None


@dataclass(frozen=True)
class Shared:
    """Two numbers of a window: the share of the database's connections in use, and the share of
    calls to other parties that failed (of the services in focus)."""

    connections: float | Unreadable
    external: float | Unreadable


def judge_now(read: ServiceRead, request: WatchSlice, mark: Mark) -> list[Verdict]:
    """Judge what may end a window early: pods and traffic. Only ROLLBACK and nothing else."""
    return _given(_pods(read, mark), judge_traffic(seen_of(read, request, mark, last=False)))


def judge_service(read: ServiceRead, request: WatchSlice, mark: Mark) -> list[Verdict]:
    """Judge a service at a slice's end."""
    name = read.watched.service.name
    seen = seen_of(read, request, mark, last=request.last)
    latency = None
    if request.last and read.buckets is not None and _has_latency(read.traffic, read.buckets):
        slow = read.slow or Traffic((), {})
        latency = judge_latency(name, read.buckets, slow, seen.frame)
    logs = _logs(read, request, seen.frame.setting.scrapes)
    return _given(_pods(read, mark), judge_traffic(seen), latency, logs)


def _logs(read: ServiceRead, request: WatchSlice, planned: int) -> Verdict | None:
    """Judge the error lines. Those of a log of which a part was never read can speak against a
    release, never for it."""
    name, lines = read.watched.service.name, read.lines
    if lines is None:
        return None
    if isinstance(lines, Unreadable):
        remedy = lines.remedy or "Check that the pods' logs can be read, then retry."
        return nothing_to_read(Signal.LOGS, name, Unreadable(lines.because, remedy))
    before = Before(read.rates or {}, request.baseline)
    verdict = judge_logs(name, lines, before, planned, request.limits, last=request.last)
    if verdict is not None and verdict.kind is Kind.ROLLBACK:
        return verdict
    may_miss = min(_MAY_MISS, request.window_length / 4)
    if lines.missing > may_miss and not request.looks_back:
        return nothing_to_read(Signal.LOGS, name, _cut(lines))
    return verdict


def _cut(lines: ErrorLines) -> Unreadable:
    length = say_length(max(1.0, round(lines.missing)))
    return Unreadable(
        f"its pods write so much that {length} of the window were gone, or too much, before they "
        "could be read",
        "Name a Loki in the plan (`loki`), or let the service log less, then retry.",
    )


def seen_of(read: ServiceRead, request: WatchSlice, mark: Mark, *, last: bool) -> Seen:
    """Return a service's traffic as it is judged."""
    watched = read.watched
    frame = Frame(
        began=mark.began,
        length=request.window_length,
        interval=request.metrics.scrape_interval,
        limits=request.limits,
        time_scale=request.time_scale,
        before=watched.before,
    )
    return Seen(watched.service, read.traffic, watched.focus, last, frame, read.asked)


def say_judged(seen: Seen) -> str:
    """Return what the rule says of a service's traffic, in words; empty where nothing was read."""
    traffic = seen.traffic
    if isinstance(traffic, Unreadable):
        return ""
    if traffic.uncounted:
        return "It counts no HTTP requests: judged without traffic"
    gap = f"Not all of it was read: {traffic.gap}. " if traffic.gap else ""
    said = [RULE(traffic, seen.frame).because, say_before(seen.frame)]
    return gap + ". ".join(filter(None, said))


def judge_shared(shared: Shared, focus: list[ServiceRead], request: WatchSlice) -> list[Verdict]:
    """Judge at a window's end the database's connections and the calls to other parties.

    In the last window (`full`) both must have been read. After one service they count where they
    are numbers, and its calls only where it had enough requests: one call of two is no half.
    """
    limits, full = request.limits, request.full
    connections, external = shared.connections, shared.external
    verdicts: list[Verdict | None] = []
    if full or not isinstance(connections, Unreadable):
        what = "the database's connections are in use"
        verdicts.append(judge_share(Signal.CONNECTIONS, connections, limits.connections, what))
    if full:
        what = "the external calls failed"
        verdicts.append(judge_share(Signal.EXTERNAL, external, limits.external_failures, what))
    elif not isinstance(external, Unreadable) and _busy(focus, limits.min_requests):
        verdicts.append(_external_of(focus, external, limits.external_failures))
    return _given(*verdicts)


def _has_latency(
    traffic: Traffic | Unreadable, buckets: Mapping[float, float] | Unreadable
) -> bool:
    """Whether a histogram must be there: what is wrong with the traffic says so itself, and without
    requests some registries make none."""
    if isinstance(traffic, Unreadable) or traffic.gap or traffic.uncounted:
        return False
    made = not (isinstance(buckets, Unreadable) and buckets.empty)
    return made or traffic.requests > 0


def _busy(focus: list[ServiceRead], requests: int) -> bool:
    read = (one.traffic for one in focus if isinstance(one.traffic, Traffic))
    return sum(one.requests for one in read if not one.gap) >= requests


def _external_of(focus: list[ServiceRead], share: float, limit: float) -> Verdict | None:
    names = [one.watched.service.name for one in focus]
    what = f"the external calls of {', '.join(names)} failed"
    verdict = judge_share(Signal.EXTERNAL, share, limit, what)
    return verdict.model_copy(update={"service": names[0]}) if verdict else None


def _pods(read: ServiceRead, mark: Mark) -> Verdict | None:
    watched = read.watched
    return judge_pods(watched.service.name, read.pods, mark.restarts, replaced=watched.replaced)


def _given(*verdicts: Verdict | None) -> list[Verdict]:
    return [one for one in verdicts if one is not None]
