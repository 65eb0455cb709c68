"""What a service's traffic says: ROLLBACK, HOLD, INCONCLUSIVE or nothing against it."""

import math
from collections.abc import Mapping
from dataclasses import dataclass

from slipway.base import say_length
from slipway.judgements.bounds import upper_bound
from slipway.judgements.counters import Pods, Traffic, Unreadable, quantile, share_above
from slipway.judgements.detector import percent
from slipway.judgements.forms import SLOW_SHARE, judge_slow
from slipway.judgements.readings import say_before
from slipway.judgements.rule import RULE, Frame, Weighed
from slipway.messages.watch import Asked, Watched
from slipway.plan import Service, ServiceKind
from slipway.verdicts import Kind, Reason, Signal, Verdict

_MISSED_SCRAPES = 3
_SURE = 0.05
"""Of requests slipway sent itself: a fixed number, judged once, so that an exact bound holds."""


@dataclass(frozen=True)
class Seen:
    """What was read of a service's traffic, and how it is judged."""

    service: Service
    traffic: Traffic | Unreadable
    focus: bool
    last: bool
    """Whether the window ends: only then is judged whether it was enough, or slightly too much."""
    frame: Frame
    asked: Asked | None = None


def judge_traffic(seen: Seen) -> Verdict | None:
    """Judge failed requests. None: nothing against the release so far.

    Counts with a gap are of real requests all the same: they may roll back, and nothing else.
    """
    traffic = seen.traffic
    if isinstance(traffic, Unreadable):
        return nothing_to_read(Signal.TRAFFIC, seen.service.name, traffic) if seen.last else None
    if traffic.uncounted:
        return _without_traffic(seen) if seen.last and seen.focus else None
    weighed = RULE(traffic, seen.frame)
    if weighed.rolls_back:
        return _of(Kind.ROLLBACK, Reason.ERROR_RATE_TOO_HIGH, seen, weighed)
    if not seen.last:
        return None
    if traffic.gap:
        return nothing_to_read(Signal.TRAFFIC, seen.service.name, Unreadable(traffic.gap))
    if weighed.holds:
        return _of(Kind.HOLD, Reason.ERROR_RATE_RAISED, seen, weighed)
    if weighed.safe or not seen.focus:
        return _no_worse(seen, traffic, weighed)
    return _not_shown(seen, traffic, weighed)


def judge_latency(
    service: str, buckets: Mapping[float, float] | Unreadable, slow: Traffic, frame: Frame
) -> Verdict | None:
    """Judge the share of slow requests at a window's end: p95 below the limit means that at most
    5 % are slower. HOLD wants both e-processes at some scrape, and a share that is still above."""
    limits = frame.limits
    if isinstance(buckets, Unreadable):
        return nothing_to_read(Signal.LATENCY, service, buckets)
    total = buckets.get(math.inf, 0.0)
    if total <= 0:
        return None  # too little traffic says so itself
    share = share_above(buckets, limits.latency_p95)
    if isinstance(share, Unreadable):
        return nothing_to_read(Signal.LATENCY, service, share)
    scrapes = [(one.requests, one.failures) for one in slow.finished]
    found = judge_slow(scrapes, frame.setting.scrapes)
    if share <= SLOW_SHARE or not found.holds:
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
        numbers={
            "share_slow": share,
            "requests": total,
            "p95": p95,
            "ln_e1": found.log_e1,
            "ln_e2": found.log_e2,
        },
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


def uncounted(watched: Watched, found: Traffic | Unreadable) -> bool:
    """Whether a service that is verified by its logs has no request counter, and none before the
    release either: one that has gone with the release, or may have, is missing."""
    if not isinstance(found, Unreadable) or not found.empty:
        return False
    had = watched.before is not None and not watched.before.empty
    return watched.service.kind is ServiceKind.LOG and not had


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


def shown_by_asking(asked: Asked | None, line: float) -> bool:
    """Whether the requests slipway sent show a ratio below the line, at 95 %."""
    if asked is None or asked.requests == 0:
        return False
    return upper_bound(asked.failures, asked.requests, _SURE) < line


def _no_worse(seen: Seen, traffic: Traffic, weighed: Weighed) -> Verdict | None:
    """None, but where the window failed more than a release may and only the time before excuses
    it: nothing against the release, which is said."""
    setting = seen.frame.setting
    if not setting.line < traffic.ratio <= setting.reference:
        return None
    return _of(Kind.PROCEED, Reason.ERROR_RATE_RAISED, seen, weighed)


def _without_traffic(seen: Seen) -> Verdict:
    name = seen.service.name
    because = f"{name} counts no HTTP requests: judged by its heartbeat, logs and pods alone."
    return Verdict(
        kind=Kind.PROCEED,
        signal=Signal.TRAFFIC,
        reason=Reason.TOO_LITTLE_TRAFFIC,
        service=name,
        because=because,
    )


def _not_shown(seen: Seen, traffic: Traffic, weighed: Weighed) -> Verdict:
    """Neither bad nor shown to be good: the plan, the service's own answers, or a person."""
    service, limits = seen.service, seen.frame.limits
    line = limits.error_rate_rollback
    what = (
        f"{service.name}: {traffic.requests:,} requests in this window, {traffic.failures:,} "
        f"failed: too few to show a ratio below {percent(line)}"
    )
    goes_on, then = False, ". Watch longer, or let a person accept it."
    if shown_by_asking(seen.asked, line):
        goes_on = True
        then = f"; {_say_asked(seen.asked)} show it."
    elif service.little_traffic == "proceed":
        goes_on = True
        then = "; the plan lets it go on by health, critical functions and probes."
    elif seen.asked is not None:
        then = f", and {_say_asked(seen.asked)} do not show it{then}"
    return Verdict(
        kind=Kind.PROCEED if goes_on else Kind.INCONCLUSIVE,
        signal=Signal.TRAFFIC,
        reason=Reason.TOO_LITTLE_TRAFFIC,
        service=service.name,
        because=what + then,
        numbers=weighed.numbers,
    )


def _say_asked(asked: Asked | None) -> str:
    if asked is None:
        return ""
    example = f" ({asked.example})" if asked.example else ""
    return f"{asked.requests} requests of slipway's own, {asked.failures} failed{example},"


def _say_gap(seen: Seen) -> str:
    gap = seen.traffic.gap if isinstance(seen.traffic, Traffic) else ""
    return f"Not all of its traffic was read: {gap}" if gap else ""


def _of(kind: Kind, reason: Reason, seen: Seen, weighed: Weighed) -> Verdict:
    limits = seen.frame.limits
    limit = limits.error_rate_rollback if kind is Kind.ROLLBACK else limits.error_rate
    return Verdict(
        kind=kind,
        signal=Signal.TRAFFIC,
        reason=reason,
        service=seen.service.name,
        because=" ".join(
            f"{one}."
            for one in (
                f"{seen.service.name}: {weighed.because}",
                say_before(seen.frame),
                _say_gap(seen),
            )
            if one
        ),
        numbers={**weighed.numbers, "limit": limit},
    )
