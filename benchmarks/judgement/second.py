"""h3 a second time, written from its formula for many windows at once.

It shares nothing with `slipway.judgements.detector`; that both agree to 1e-9 in ln E, and in every
decision, is a test of either (tests/unit/judgements).
"""

from dataclasses import dataclass

import numpy as np

from benchmarks.judgement.scrapes import Counts, Flags, Floats, Scrapes, running, since

ALLOWED = 0.001
LIMIT = 0.01
ALPHA = 0.001 / 88
CLUMPED = 0.01
HOLD_CLUMPED = 0.05
EARLY = 25.0
EARLY_LIMIT = 0.05
NOW = 10.0
RECENT = 120.0
CAP = np.log(25.0)
SAFE_ERRORS = np.array([0.02, 0.05, 0.1, 0.2, 0.4]) / 100


@dataclass(frozen=True)
class Trace:
    """Of each run, at each scrape (runs x scrapes)."""

    independent: Floats
    """ln E1 of ROLLBACK."""
    held: Floats
    """ln E1 of HOLD."""
    clumped: Floats
    """ln E2."""
    rollback: Floats
    """Seconds since the window began, without lag; infinity: never (one for each run)."""
    hold: Floats


def traced(scrapes: Scrapes, p0: float = ALLOWED, phi: float = 1.0, alpha: float = ALPHA) -> Trace:
    """Return both e-processes of each window, and when it is held and rolled back first."""
    n, k = scrapes.requests, scrapes.failures
    independent = _evidence(_bets(n, k, max(LIMIT, 1.5 * p0), p0, phi), scrapes.planned)
    held = _evidence(_bets(n, k, max(2 * ALLOWED, 1.5 * p0), p0, phi), scrapes.planned)
    clumped = _evidence(_ratio_bet(n, k, p0)[..., None], scrapes.planned)
    fires = (independent >= -np.log(alpha)) & (clumped >= -np.log(CLUMPED)) & _lines(scrapes, p0)
    holds = (held >= -np.log(10 * alpha)) & (clumped >= -np.log(HOLD_CLUMPED))
    rollback, hold = (_first(one, scrapes.at) for one in (fires, holds))
    return Trace(independent, held, clumped, rollback, hold)


def safe(requests: Counts, failures: Counts) -> Flags:
    """Whether a failure probability of 1 % or more is rejected at 95 %, from totals."""
    q = SAFE_ERRORS
    bets = failures[:, None] * np.log(q / LIMIT)
    bets = bets + (requests - failures)[:, None] * np.log((1 - q) / (1 - LIMIT))
    certain: Flags = np.logaddexp.reduce(bets, axis=1) - np.log(len(q)) >= np.log(20)
    return certain


def _bets(n: Counts, k: Counts, lowest: float, p0: float, phi: float) -> Floats:
    """The likelihood ratio of each alternative, in logarithms (runs x scrapes x alternatives)."""
    q = lowest * 2.0 ** np.arange(7)
    q = np.append(q[q < 0.95], 0.95)
    good, bad = (n - k)[..., None], k[..., None]
    found: Floats = (bad * np.log(q / p0) + good * np.log((1 - q) / (1 - p0))) / phi
    return found


def _ratio_bet(n: Counts, k: Counts, p0: float) -> Floats:
    """What a bet on the ratio of one scrape returns, in logarithms."""
    stake = np.minimum(0.9, 1 - (1 - max(0.02, 2 * p0)) ** n)
    ratio = np.divide(k, n, out=np.zeros(n.shape), where=n > 0)
    return np.where(n > 0, np.minimum(CAP, np.log1p(stake * (ratio / p0 - 1))), 0.0)


def _evidence(bets: Floats, planned: int) -> Floats:
    """ln E after each scrape: half the belief is on a fault from the start, the other half on one
    that begins at any later scrape."""
    runs, columns, alternatives = bets.shape
    total = np.full((runs, alternatives), -np.inf)
    found = np.empty((runs, columns))
    later = np.log(0.5) - np.log(planned - 1)
    with np.errstate(divide="ignore"):
        for column in range(columns):
            weight = np.log(0.5) if column == 0 else later if column < planned else -np.inf
            total = np.logaddexp(total, weight) + bets[:, column]
            left = np.log(max(0.0, 0.5 * (planned - column - 1) / (planned - 1)))
            mixed = np.logaddexp.reduce(total, axis=1) - np.log(alternatives)
            found[:, column] = np.logaddexp(mixed, left)
    return found


def _lines(scrapes: Scrapes, p0: float) -> Flags:
    """Whether the ratio is above the line: over the window or two minutes, and right now."""
    n, k, at = scrapes.requests, scrapes.failures, scrapes.at
    line = np.where(at < EARLY, max(EARLY_LIMIT, LIMIT, p0), max(LIMIT, p0))

    def over(requests: Counts, failures: Counts) -> Flags:
        above: Flags = failures > line * requests
        return above

    early = scrapes.interval / 4  # scrapes may come a little early or late
    recent, now = (
        over(since(at, at - seconds + early, n), since(at, at - seconds + early, k))
        for seconds in (RECENT, NOW)
    )
    breaks: Flags = (over(running(n), running(k)) | recent) & now
    return breaks


def _first(fires: Flags, at: Floats) -> Floats:
    times: Floats = np.where(fires & np.isfinite(at), at, np.inf).min(axis=1)
    return times
