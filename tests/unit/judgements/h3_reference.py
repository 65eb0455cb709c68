"""The detector's formula written out plainly, in logarithms, for comparison: nothing is shared with
the product."""

import math
from collections.abc import Iterable

LIMIT, LINE = 0.001, 0.01
ALPHA, ALPHA_CLUMPED = 0.001 / 88, 0.01


def logaddexp(a: float, b: float) -> float:
    top = max(a, b)
    return top if top == -math.inf else top + math.log(math.exp(a - top) + math.exp(b - top))


def log_e(steps: list[list[float]], planned: int) -> list[float]:
    """ln E after each scrape; `steps`: L[q] of each scrape."""
    m = len(steps[0]) if steps else 0
    r = [-math.inf] * m
    found = []
    for t, logs in enumerate(steps, start=1):
        weight = 0.5 if t == 1 else 0.5 / (planned - 1) if t <= planned else 0.0
        left = 0.5 * (planned - t) / (planned - 1) if t <= planned else 0.0
        total = -math.inf
        for q in range(m):
            r[q] = logaddexp(r[q], math.log(weight) if weight else -math.inf) + logs[q]
            total = logaddexp(total, r[q] - math.log(m))
        found.append(logaddexp(total, math.log(left) if left else -math.inf))
    return found


def grid(q0: float) -> list[float]:
    return [q for q in (q0 * 2**i for i in range(7)) if q < 0.95] + [0.95]


def e1(
    scrapes: list[tuple[int, int]], planned: int, q0: float, p0: float, phi: float = 1.0
) -> list[float]:
    steps = []
    for n, k in scrapes:
        steps.append(
            [
                (k * math.log(q / p0) + (n - k) * math.log((1 - q) / (1 - p0))) / phi
                for q in grid(q0)
            ]
        )
    return log_e(steps, planned)


def e2(scrapes: list[tuple[int, int]], planned: int, p0: float) -> list[float]:
    steps = []
    for n, k in scrapes:
        f = min(0.9, 1 - (1 - max(0.02, 2 * p0)) ** n)
        steps.append([min(math.log(25), math.log(1 + f * (k / n / p0 - 1))) if n else 0.0])
    return log_e(steps, planned)


def rolled_back_at(scrapes: list[tuple[int, int]], planned: int, interval: float) -> int | None:
    """The number of the scrape at which the formula rolls back; the first ends at `interval`."""
    one, two = e1(scrapes, planned, 0.01, LIMIT), e2(scrapes, planned, LIMIT)
    for t in range(len(scrapes)):
        at = (t + 1) * interval
        line = 0.05 if at < 25 else LINE
        parts = {
            "whole": scrapes[: t + 1],
            "recent": scrapes[max(0, t + 1 - round(120 / interval)) : t + 1],
            "now": scrapes[max(0, t + 1 - max(1, round(10 / interval))) : t + 1],
        }
        over = {
            name: sum(k for _, k in part) > line * sum(n for n, _ in part)
            for name, part in parts.items()
        }
        agreed = one[t] >= math.log(1 / ALPHA) and two[t] >= math.log(1 / ALPHA_CLUMPED)
        if agreed and (over["whole"] or over["recent"]) and over["now"]:
            return t + 1
    return None


def log_safe(requests: int, failures: int) -> float:
    return -math.log(5) + _sum(
        failures * math.log(q / 0.01) + (requests - failures) * math.log((1 - q) / 0.99)
        for q in (0.0002, 0.0005, 0.001, 0.002, 0.004)
    )


def _sum(logs: Iterable[float]) -> float:
    total = -math.inf
    for one in logs:
        total = logaddexp(total, one)
    return total
