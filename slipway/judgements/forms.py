"""The detector's two e-processes for slow requests and for events such as error lines."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from slipway.judgements.bounds import upper_bound
from slipway.judgements.detector import ALPHA, ALPHA_CLUMPED, HOLD_CLUMPED, HOLD_EASE, log_bet
from slipway.judgements.detector import log_ratios as of_ratios
from slipway.judgements.eprocess import EProcess, Step, starts

SLOW_SHARE = 0.05
"""p95 below the limit means that at most 5 % are slower."""
SLOW_RATIOS = (0.07, 0.10, 0.14, 0.20, 0.28, 0.40, 0.56, 0.80)
EVENT_FACTORS = (2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0)
_AIMED = 8.0
"""The rise of events that the second e-process is quickest at."""
_CAP = math.log(25.0)
_MOST_BET = 0.9
_MANY = 1e6


@dataclass(frozen=True)
class Raised:
    """How far the two e-processes came, and whether they agreed at any step."""

    log_e1: float
    log_e2: float
    holds: bool
    rolls_back: bool


def judge_slow(scrapes: Sequence[tuple[float, float]], planned: int) -> Raised:
    """Fold (requests, slow ones) scrapes: is the share of slow ones above 5 %?"""

    steps = []
    for requests, slow in scrapes:
        ratios = of_ratios(SLOW_RATIOS, SLOW_SHARE, max(requests, slow), slow)
        bet = log_bet(SLOW_SHARE, max(requests, slow), slow)
        steps.append((Step.of(ratios), Step.of([bet])))
    return _fold(steps, planned, len(SLOW_RATIOS))


def judge_events(counts: Sequence[float], planned: int, expected: float) -> Raised:
    """Fold the events of equal steps of time: are there more than `expected` in each? That must be
    above 0; `expected_events` gives it.

    E1: a Poisson likelihood ratio. E2: a bet on each step's count, which holds however events clump
    within a step.
    """
    bet = min(_MOST_BET, -math.expm1(-_AIMED * expected))

    steps = []
    for count in counts:
        logs = [count * math.log(factor) - (factor - 1) * expected for factor in EVENT_FACTORS]
        second = min(_CAP, math.log1p(bet * (count / expected - 1.0)))
        steps.append((Step.of(logs), Step.of([second])))
    return _fold(steps, planned, len(EVENT_FACTORS))


def expected_events(count: float, seconds: float, step: float) -> float:
    """Return how many events `step` seconds may have, after `count` in `seconds`: the upper bound
    of a Poisson mean, as the limit of Clopper and Pearson's."""
    bound = upper_bound(count, max(_MANY, 1e3 * count), ALPHA / 2) * max(_MANY, 1e3 * count)
    return bound / seconds * step


def _fold(steps: Sequence[tuple[Step, Step]], planned: int, alternatives: int) -> Raised:
    first, second = EProcess(alternatives), EProcess(1)
    weights = starts(planned)
    bar, bar_clumped = -math.log(ALPHA / 2), -math.log(ALPHA_CLUMPED)
    hold, hold_clumped = -math.log(HOLD_EASE * ALPHA), -math.log(HOLD_CLUMPED)
    holds = rolls_back = False
    for number, (one, two) in enumerate(steps):
        weight, left = weights[number] if number < len(weights) else (0.0, 0.0)
        first.add(one, weight, left)
        second.add(two, weight, left)
        holds = holds or (first.log >= hold and second.log >= hold_clumped)
        rolls_back = rolls_back or (first.log >= bar and second.log >= bar_clumped)
    return Raised(first.log, second.log, holds, rolls_back)
