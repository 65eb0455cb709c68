"""What a service's traffic says: ROLLBACK, HOLD, INCONCLUSIVE or nothing against it."""

import math
from collections.abc import Mapping
from dataclasses import dataclass

from slipway.base import say_length
from slipway.judgements.counters import Pods, Traffic, Unreadable, quantile, share_above
from slipway.plan import Limits, Service
from slipway.verdicts import Kind, Reason, Signal, Verdict

RECENT = 24
"""The last scrapes that are also judged by themselves (2 minutes at 5 s), so that a fault that
begins late is not hidden by the healthy time before it."""
_MISSED_SCRAPES = 3


@dataclass(frozen=True)
class Seen:
    """What was read of a service's traffic, and how much it must be."""

    service: Service
    traffic: Traffic | Unreadable
    focus: bool
    last: bool
    """Whether the window ends: only then is too little, or slightly too much, judged."""


def judge_traffic(seen: Seen, limits: Limits) -> Verdict | None:
    """Judge failed requests. None: nothing against the release so far."""
    name, traffic = seen.service.name, seen.traffic
    if isinstance(traffic, Unreadable):
        return nothing_to_read(Signal.TRAFFIC, name, traffic) if seen.last else None
    for part, where in ((traffic, "in this window"), (traffic.last(RECENT), "of late")):
        if _over(part, limits, limits.error_rate_rollback):
            return _of(Kind.ROLLBACK, Reason.ERROR_RATE_TOO_HIGH, name, part, where, limits)
    if not seen.last:
        return None
    if _over(traffic, limits, limits.error_rate):
        where = "in this window"
        return _of(Kind.HOLD, Reason.ERROR_RATE_RAISED, name, traffic, where, limits)
    if seen.focus and traffic.requests < limits.min_requests:
        return _too_little(seen.service, traffic, limits)
    return None


def judge_latency(
    service: str, buckets: Mapping[float, float] | Unreadable, limits: Limits
) -> Verdict | None:
    """Judge the share of slow requests at a window's end: p95 below the limit means that at most
    5 % are slower. Fewer than `min_requests` are not judged here (`judge_traffic` says so)."""
    if isinstance(buckets, Unreadable):
        return nothing_to_read(Signal.LATENCY, service, buckets)
    total = buckets.get(math.inf, 0.0)
    if total < limits.min_requests:
        return None
    share = share_above(buckets, limits.latency_p95)
    if isinstance(share, Unreadable):
        return nothing_to_read(Signal.LATENCY, service, share)
    if share <= 0.05:
        return None
    p95 = quantile(buckets, 0.95) or 0.0
    because = (
        f"{service}: {share:.1%} of {total:.0f} requests took longer than "
        f"{say_length(limits.latency_p95)} (p95 about {say_length(p95)}); at most 5 % may."
    )
    return Verdict(
        kind=Kind.HOLD,
        signal=Signal.LATENCY,
        reason=Reason.LATENCY_TOO_HIGH,
        service=service,
        because=because,
        numbers={"share_slow": share, "requests": total, "p95": p95},
    )


def judge_share(
    signal: Signal, value: float | Unreadable, limit: float, what: str
) -> Verdict | None:
    """Judge a single number at a window's end: connections in use, external calls that failed."""
    if isinstance(value, Unreadable):
        return nothing_to_read(signal, None, value)
    if value <= limit:
        return None
    connections = signal is Signal.CONNECTIONS
    reason = Reason.TOO_MANY_CONNECTIONS if connections else Reason.EXTERNAL_CALLS_FAILING
    return Verdict(
        kind=Kind.HOLD,
        signal=signal,
        reason=reason,
        because=f"{value:.1%} of {what}; the plan allows {limit:.1%}.",
        numbers={"share": value, "limit": limit},
    )


def coverage(traffic: Traffic, pods: Pods, at: float, began: float, interval: float) -> str:
    """Return why the samples cannot stand for the service, or the empty text.

    Every ready pod must have been scraped lately, and in a window longer than two scrapes also
    since it began.
    """
    if not pods.born:
        return "no pod of its ReplicaSet is ready"
    oldest = at - max(_MISSED_SCRAPES * interval, 5.0)
    if at - began >= 2 * interval:
        oldest = max(oldest, began)
    settled = [pod for pod, born in pods.born.items() if at - born > 2 * interval + 5.0]
    missing = sorted(pod for pod in settled if traffic.newest.get(pod, -math.inf) < oldest)
    if missing:
        ago = say_length(max(0.001, at - oldest))
        return f"no sample of {', '.join(missing[:3])} in the last {ago}"
    return "" if traffic.newest else "no request counter of its pods is there"


def nothing_to_read(signal: Signal, service: str | None, what: Unreadable) -> Verdict:
    """Return the verdict that something could not be measured; it is never taken as zero."""
    remedy = what.remedy or "Check that Prometheus runs and scrapes the pods, then retry."
    who = f"{service}: " if service else ""
    return Verdict(
        kind=Kind.INCONCLUSIVE,
        signal=signal,
        reason=Reason.NOTHING_TO_READ,
        service=service,
        because=f"{who}{signal.value} cannot be judged: {what.because}. {remedy}",
    )


def _over(traffic: Traffic, limits: Limits, ratio: float) -> bool:
    return (
        traffic.failures >= limits.min_failures
        and traffic.failing_scrapes >= limits.min_failing_scrapes
        and traffic.ratio > ratio
    )


def _too_little(service: Service, traffic: Traffic, limits: Limits) -> Verdict:
    goes_on = service.little_traffic == "proceed"
    then = (
        "; the plan lets it go on by health, critical functions and probes."
        if goes_on
        else ". Watch longer, or let a person accept it."
    )
    because = (
        f"{service.name}: {traffic.requests} requests in this window, {limits.min_requests} are "
        f"needed to judge them{then}"
    )
    return Verdict(
        kind=Kind.PROCEED if goes_on else Kind.INCONCLUSIVE,
        signal=Signal.TRAFFIC,
        reason=Reason.TOO_LITTLE_TRAFFIC,
        service=service.name,
        because=because,
        numbers=_numbers(traffic),
    )


def _of(
    kind: Kind, reason: Reason, service: str, traffic: Traffic, where: str, limits: Limits
) -> Verdict:
    limit = limits.error_rate_rollback if kind is Kind.ROLLBACK else limits.error_rate
    because = (
        f"{service}: {traffic.failures} of {traffic.requests} requests failed {where} "
        f"({traffic.ratio:.2%}, limit {limit:.2%}), in {traffic.failing_scrapes} scrapes."
    )
    return Verdict(
        kind=kind,
        signal=Signal.TRAFFIC,
        reason=reason,
        service=service,
        because=because,
        numbers={**_numbers(traffic), "limit": limit},
    )


def _numbers(traffic: Traffic) -> dict[str, float]:
    return {
        "requests": float(traffic.requests),
        "failures": float(traffic.failures),
        "failing_scrapes": float(traffic.failing_scrapes),
        "ratio": traffic.ratio,
    }
