"""h3: whether a window's failed requests call for a rollback. Two e-processes must agree.

E1 is a likelihood ratio that takes failures for independent. E2 bets on the ratio of each scrape
and holds however failures clump within one. Beside them the ratio must be over the line, both in
the window (or its last two minutes) and now. Proof: docs/decisions/0014.
"""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from functools import cached_property, lru_cache

from slipway.judgements.bounds import dispersion, upper_bound
from slipway.judgements.eprocess import EProcess, Step, log_sum, starts

ALPHA = 0.001 / 88
"""False rollbacks of a window while failures are independent: one in a thousand over eleven
services, four signals and two windows. A deployment has more windows: docs/decisions/0014."""
ALPHA_CLUMPED = 0.01
"""False rollbacks of a window however failures clump within a scrape."""
HOLD_CLUMPED = 0.05
HOLD_EASE = 10.0
SAFE_BAR = math.log(20.0)
SAFE_SHARES = (0.02, 0.05, 0.1, 0.2, 0.4)
EARLY_LINE = 0.05
_CAP = math.log(25.0)
_MOST_BET = 0.9
_LEAST_RATIO = 0.02
_SURE = 0.95
_DOUBLINGS = 7
_KEPT_STEPS = 8192


class Decision(StrEnum):
    """What the scrapes so far call for."""

    NONE = "none"
    HOLD = "hold"
    ROLLBACK = "rollback"


@dataclass(frozen=True)
class Baseline:
    """Requests and failures of the time before, and how many times more its failures varied from
    scrape to scrape than independent ones would (`dispersion`)."""

    requests: float
    failures: float
    phi: float = 1.0

    @classmethod
    def of(cls, scrapes: Iterable[tuple[float, float]]) -> "Baseline":
        """Return the baseline of (requests, failures) scrapes."""
        counted = [(max(n, k), k) for n, k in scrapes]
        requests, failures = sum(n for n, _ in counted), sum(k for _, k in counted)
        return cls(requests, failures, dispersion(counted))


@dataclass(frozen=True)
class Setting:
    """What a window is judged by. Lengths in seconds; `early`, `now` and `recent` are divided by
    the plan's time_scale, as the window is."""

    scrapes: int
    """Planned scrapes of the window."""
    interval: float
    """Between two scrapes."""
    limit: float = 0.001
    """A healthy release's ratio of failures."""
    line: float = 0.01
    """No ratio below it is rolled back."""
    alpha: float = ALPHA
    alpha_clumped: float = ALPHA_CLUMPED
    baseline: Baseline | None = None
    early: float = 25.0
    """Before this second of the window only what is over 5 % is rolled back."""
    now: float = 10.0
    recent: float = 120.0

    @cached_property
    def reference(self) -> float:
        """The highest ratio that a release may be suspected of without being worse than before."""
        before = self.baseline
        if before is None:
            return self.limit
        counts = (before.failures / before.phi, before.requests / before.phi)
        return max(self.limit, upper_bound(*counts, self.alpha_each) if counts[1] > 0 else 0.0)

    @property
    def alpha_each(self) -> float:
        """Alpha of E1; with a baseline its bound has the other half."""
        return self.alpha if self.baseline is None else self.alpha / 2

    @property
    def phi(self) -> float:
        """What the logarithms of E1 are divided by."""
        return self.baseline.phi if self.baseline else 1.0

    @property
    def over(self) -> float:
        """The line, or the reference where that is higher."""
        return max(self.line, self.reference)

    def line_at(self, at: float) -> float:
        """Return the line at a second of the window."""
        return max(EARLY_LINE, self.over) if at < self.early else self.over


class Detector:
    """Takes a window's scrapes one by one, in order of time."""

    def __init__(self, setting: Setting) -> None:
        self._model = _model(setting)
        self._steady = EProcess(len(self._model.steady))
        self._raised = EProcess(len(self._model.raised))
        self._clumped = EProcess(1)
        self._scrapes: list[tuple[float, float, float]] = []
        self.requests = 0.0
        self.failures = 0.0
        self.rolled_back_at: float | None = None
        """The second of the window at which ROLLBACK was reached; it stays."""
        self.held_at: float | None = None
        """The second at which HOLD was reached for the first time."""

    def add(self, at: float, requests: float, failures: float) -> None:
        """Take a scrape in: its second of the window, its new requests and new failures."""
        if failures > requests:
            requests = failures
        model, scrapes = self._model, self._scrapes
        steady, raised, clumped = model.steps.get((requests, failures)) or model.learn(
            requests, failures
        )
        number = len(scrapes)
        weight, left = model.starts[number] if number < len(model.starts) else (0.0, 0.0)
        scrapes.append((at, requests, failures))
        self.requests += requests
        self.failures += failures
        self._steady.add(steady, weight, left)
        self._raised.add(raised, weight, left)
        self._clumped.add(clumped, weight, left)
        if self._raises() and self.held_at is None:
            self.held_at = at
        if self.rolled_back_at is None and self._breaks(at):
            self.rolled_back_at = at

    @property
    def decision(self) -> Decision:
        """ROLLBACK since it was first reached; HOLD while the evidence stands."""
        if self.rolled_back_at is not None:
            return Decision.ROLLBACK
        return Decision.HOLD if self._raises() else Decision.NONE

    @property
    def log_e1(self) -> float:
        """Logarithm of the evidence if failures are independent."""
        return self._steady.log

    @property
    def log_e2(self) -> float:
        """Logarithm of the evidence however failures clump within a scrape."""
        return self._clumped.log

    @property
    def log_hold(self) -> float:
        """Logarithm of the evidence of a ratio of twice the limit, if failures are independent."""
        return self._raised.log

    @property
    def log_safe(self) -> float:
        """Logarithm of the evidence, from the totals, that the ratio is below the line."""
        return log_safe(self.requests, self.failures, self._model.setting.over)

    def safe(self) -> bool:
        """Whether the ratio is shown to be below the line. For a window's end; it is never kept,
        since failures that clump may yet come."""
        return self.requests > 0 and self.log_safe >= SAFE_BAR

    def ratio_over(self, seconds: float) -> float:
        """Return the ratio of failures of the last `seconds`, of one scrape at least."""
        requests = failures = 0.0
        if self._scrapes:
            # a quarter of an interval: scrapes come a little early or late
            oldest = self._scrapes[-1][0] - seconds + self._model.setting.interval / 4
            for number, (at, n, k) in enumerate(reversed(self._scrapes)):
                if number and at <= oldest:
                    break
                requests, failures = requests + n, failures + k
        return failures / requests if requests else 0.0

    @property
    def ratio(self) -> float:
        """Share of failed requests; 0 without requests."""
        return self.failures / self.requests if self.requests else 0.0

    def sentence(self) -> str:
        """Return the numbers in words: how seldom a healthy release would show them, or how far
        they are from that."""
        setting = self._model.setting
        numbers = (
            f"{self.failures:,.0f} of {self.requests:,.0f} failed ({percent(self.ratio)}), "
            f"{percent(self.ratio_over(setting.now))} in the last {setting.now:.3g} s"
        )
        if self.rolled_back_at is not None:
            return f"{numbers}; {_seldom(setting.alpha, setting.alpha_clumped)}."
        if self.held_at is not None:
            return f"{numbers}; {_seldom(HOLD_EASE * setting.alpha, HOLD_CLUMPED)}."
        model = self._model
        return (
            f"{numbers}; evidence {self.log_e1:.1f} of the {model.bar_steady:.1f} and "
            f"{self.log_e2:.1f} of the {model.bar_clumped:.1f} that a rollback wants."
        )

    def _breaks(self, at: float) -> bool:
        model = self._model
        if self._steady.log < model.bar_steady or self._clumped.log < model.bar_clumped:
            return False
        setting = model.setting
        line = setting.line_at(at)
        if self.ratio_over(setting.now) <= line:
            return False
        return self.ratio > line or self.ratio_over(setting.recent) > line

    def _raises(self) -> bool:
        model = self._model
        return self._clumped.log >= model.bar_clumped_hold and self._raised.log >= model.bar_raised


@dataclass(frozen=True)
class Judgement:
    """What a window's scrapes come to."""

    decision: Decision
    held: bool
    """Whether HOLD was reached at any scrape."""
    safe: bool
    """Of the totals; for a window's end only."""
    requests: float
    failures: float
    log_e1: float
    log_e2: float
    log_hold: float
    log_safe: float
    decided_at: float | None
    """The second of the window at which ROLLBACK was reached."""
    sentence: str
    """The numbers in words, at that second or at the end."""


def judge(scrapes: Iterable[tuple[float, float, float]], setting: Setting) -> Judgement:
    """Fold (second of the window, requests, failures) scrapes. ROLLBACK ends the fold: the numbers
    are those that it was decided by."""
    detector = Detector(setting)
    for at, requests, failures in scrapes:
        detector.add(at, requests, failures)
        if detector.decision is Decision.ROLLBACK:
            break
    return Judgement(
        decision=detector.decision,
        held=detector.held_at is not None,
        safe=detector.safe(),
        requests=detector.requests,
        failures=detector.failures,
        log_e1=detector.log_e1,
        log_e2=detector.log_e2,
        log_hold=detector.log_hold,
        log_safe=detector.log_safe,
        decided_at=detector.rolled_back_at,
        sentence=detector.sentence(),
    )


def log_safe(requests: float, failures: float, line: float) -> float:
    """Return the logarithm of the evidence that the ratio behind these totals is below the line;
    `SAFE_BAR` is enough."""
    good = max(0.0, requests - failures)
    logs = (
        failures * math.log(share) + good * _log_of(1.0 - share * line, 1.0 - line)
        for share in SAFE_SHARES
    )
    return log_sum(tuple(logs)) - math.log(len(SAFE_SHARES)) if line < 1.0 else 0.0


def alternatives(first: float) -> tuple[float, ...]:
    """Return the ratios that a broken release is tried with: `first`, its doublings, 95 %."""
    doubled = (first * 2.0**power for power in range(_DOUBLINGS))
    grid = [one for one in doubled if one < _SURE]
    return (*grid, _SURE) if first <= _SURE else ()


def log_ratios(
    ratios: Sequence[float], reference: float, requests: float, failures: float
) -> tuple[float, ...]:
    """Return the log-likelihood of a scrape under each ratio, less that under the reference."""
    good = requests - failures
    return tuple(
        failures * math.log(q / reference) + good * _log_of(1.0 - q, 1.0 - reference)
        for q in ratios
    )


def log_bet(reference: float, requests: float, failures: float) -> float:
    """Return the logarithm of the bet on the ratio of a scrape: at most ln 25, so that no single
    scrape decides, 0 without requests."""
    if requests <= 0:
        return 0.0
    aimed = min(1.0, max(_LEAST_RATIO, 2.0 * reference))
    seen = 1.0 if aimed >= 1.0 else -math.expm1(requests * math.log1p(-aimed))
    bet = min(_MOST_BET, seen)
    return min(_CAP, math.log1p(bet * (failures / requests / reference - 1.0)))


class _Model:
    """A setting's constants, and the steps of scrapes that were met before."""

    def __init__(self, setting: Setting) -> None:
        self.setting = setting
        self.starts = starts(setting.scrapes)
        reference = setting.reference
        self.steady = alternatives(max(setting.line, 1.5 * reference))
        self.raised = alternatives(max(2.0 * setting.limit, 1.5 * reference))
        self.bar_steady = -math.log(setting.alpha_each)
        self.bar_raised = -math.log(HOLD_EASE * setting.alpha_each)
        self.bar_clumped = -math.log(setting.alpha_clumped)
        self.bar_clumped_hold = -math.log(HOLD_CLUMPED)
        self.steps: dict[tuple[float, float], tuple[Step, Step, Step]] = {}

    def learn(self, requests: float, failures: float) -> tuple[Step, Step, Step]:
        """Return the steps of a scrape for E1, for HOLD and for E2, and keep them."""
        reference, phi = self.setting.reference, self.setting.phi
        found = (
            Step.of([o / phi for o in log_ratios(self.steady, reference, requests, failures)]),
            Step.of([o / phi for o in log_ratios(self.raised, reference, requests, failures)]),
            Step.of([log_bet(reference, requests, failures)]),
        )
        if len(self.steps) >= _KEPT_STEPS:
            self.steps.clear()
        self.steps[requests, failures] = found
        return found


@lru_cache(maxsize=16)
def _model(setting: Setting) -> _Model:
    return _Model(setting)


def _log_of(above: float, below: float) -> float:
    return math.log(above / below)


def percent(ratio: float) -> str:
    """Return `3.5 %`, `3 %`, `0.04 %`: two figures."""
    return f"{100 * ratio:.2g} %" if ratio < 0.995 else "100 %"


def _seldom(alpha: float, clumped: float) -> str:
    return (
        f"on a healthy release below 1 in {_rounded(1 / alpha):,} if failures are independent, "
        f"1 in {_rounded(1 / clumped):,} however they clump within a scrape"
    )


def _rounded(value: float) -> int:
    """Two figures of a large number: 88,000."""
    unit = int(10 ** max(0, math.floor(math.log10(value)) - 1))
    return round(value / unit) * unit
