"""The rule that judges failed requests, in one place: what a window's traffic calls for by it."""

from collections.abc import Callable
from dataclasses import dataclass

from slipway.judgements.bounds import lower_bound
from slipway.judgements.counters import Traffic
from slipway.judgements.detector import (
    SAFE_BAR,
    Baseline,
    Decision,
    Setting,
    judge,
    log_safe,
    percent,
)
from slipway.judgements.plain_rule import PlainRule, first_break
from slipway.messages.watch import TrafficBefore
from slipway.plan import Limits

_SHOWN = 0.05
"""Level at which a time before is taken to have failed more than the limit allows."""


@dataclass(frozen=True)
class Frame:
    """A window in time, and what it is compared with. Lengths in seconds as they apply."""

    began: float
    """Unix seconds."""
    length: float
    interval: float
    """Between two scrapes."""
    limits: Limits
    time_scale: float = 1.0
    """The lengths below were divided by it, as the window's was."""
    before: TrafficBefore | None = None

    @property
    def setting(self) -> Setting:
        """The detector's setting. Early line, "now" and "recent" shrink with the window; the
        scrapes that fit in it get fewer, and alpha stays."""
        limits, scale = self.limits, self.time_scale
        return Setting(
            scrapes=max(2, round(self.length / self.interval)),
            interval=self.interval,
            limit=limits.error_rate,
            line=limits.error_rate_rollback,
            baseline=baseline(self.before, limits.error_rate),
            early=25.0 / scale,
            now=10.0 / scale,
            recent=120.0 / scale,
        )


@dataclass(frozen=True)
class Weighed:
    """What a window's traffic calls for."""

    rolls_back: bool
    holds: bool
    safe: bool
    """Whether the totals show a ratio below the line; asked at a window's end."""
    because: str
    """The numbers in words, without a full stop."""
    numbers: dict[str, float]


Rule = Callable[[Traffic, Frame], Weighed]


def by_detector(traffic: Traffic, frame: Frame) -> Weighed:
    """Weigh by h3. HOLD wants the evidence at some scrape, a ratio that is still over the limit,
    and as many failures in as many scrapes as the plain rule."""
    setting, plain = frame.setting, plain_rule(frame.limits)
    scrapes = [(one.at - frame.began, one.requests, one.failures) for one in traffic.finished]
    found = judge(scrapes, setting)
    counts = counted(traffic)
    rolls_back = found.decision is Decision.ROLLBACK
    safe = log_safe(traffic.requests, traffic.failures, setting.over) >= SAFE_BAR
    numbers = {
        "requests": found.requests if rolls_back else float(traffic.requests),
        "failures": found.failures if rolls_back else float(traffic.failures),
        "ln_e1": found.log_e1,
        "ln_e2": found.log_e2,
        "ln_hold": found.log_hold,
        "reference": setting.reference,
        "planned_scrapes": float(setting.scrapes),
        "second": found.decided_at if found.decided_at is not None else traffic_age(traffic, frame),
    }
    return Weighed(
        rolls_back=rolls_back,
        holds=found.held and plain.over(counts, frame.limits.error_rate),
        safe=safe and not rolls_back,
        because=". ".join(
            [found.sentence.removesuffix("."), *_compared(setting), say_plain(traffic, frame)]
        ),
        numbers=numbers,
    )


def by_plain_rule(traffic: Traffic, frame: Frame) -> Weighed:
    """Weigh by the plain rule alone; so many requests as the plan wants are enough to be safe."""
    limits, plain, counts = frame.limits, plain_rule(frame.limits), counted(traffic)
    return Weighed(
        rolls_back=first_break(counts, plain) is not None,
        holds=plain.over(counts, limits.error_rate),
        safe=traffic.requests >= limits.min_requests,
        because=f"{traffic.failures:,} of {traffic.requests:,} failed ({traffic.ratio:.2%}) in "
        f"{traffic.failing_scrapes} scrapes",
        numbers={"requests": float(traffic.requests), "failures": float(traffic.failures)},
    )


RULE: Rule = by_detector
"""The rule that decides."""


def plain_rule(limits: Limits) -> PlainRule:
    """Return the plain rule with the plan's numbers."""
    return PlainRule(limits.min_failures, limits.min_failing_scrapes, limits.error_rate_rollback)


def say_plain(traffic: Traffic, frame: Frame) -> str:
    """Return what the plain rule says about the same traffic, without a full stop."""
    rule = plain_rule(frame.limits)
    number = first_break(counted(traffic), rule)
    asked = f"{rule.failures} failures, {rule.failing_scrapes} scrapes, over {percent(rule.line)}"
    if number is None:
        return f"Plain rule ({asked}): no rollback"
    second = traffic.finished[number - 1].at - frame.began
    return f"Plain rule ({asked}): rollback after {second:.3g} s"


def _compared(setting: Setting) -> list[str]:
    before = setting.baseline
    if before is None:
        return []
    ratio = percent(before.failures / before.requests)
    return [f"Before the release {ratio} of {before.requests:,.0f} failed"]


def counted(traffic: Traffic) -> list[tuple[float, float]]:
    """Return requests and failures of the scrapes that will not change any more."""
    return [(one.requests, one.failures) for one in traffic.finished]


def traffic_age(traffic: Traffic, frame: Frame) -> float:
    """Return the second of the window at which its newest scrape was."""
    return max(0.0, traffic.scrapes[-1].at - frame.began) if traffic.scrapes else 0.0


def baseline(before: TrafficBefore | None, limit: float) -> Baseline | None:
    """Return the time before as the detector takes it: only where it shows more failures than the
    limit. The bound of a few good requests would lie far above it and only blind the detector."""
    if before is None or before.requests <= 0:
        return None
    shown = lower_bound(before.failures / before.phi, before.requests / before.phi, _SHOWN)
    return Baseline(before.requests, before.failures, before.phi) if shown > limit else None
