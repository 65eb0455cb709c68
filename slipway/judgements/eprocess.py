"""An e-process over a window's scrapes: evidence that something broke, at whichever scrape.

Under the hypothesis "nothing broke" its mean never exceeds 1, so that by Ville's inequality it ever
reaches 1/alpha with a probability of at most alpha, however often one looks.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

_MOST = 1e200
_EXPONENT = 700.0
"""Of the largest factor that is a plain number."""


def starts(scrapes: int) -> tuple[tuple[float, float], ...]:
    """Return for each planned scrape how much belief is put on "it broke at this one", and how much
    is left for later ones: half on the first, the rest in equal parts on the others."""
    planned = max(2, scrapes)
    rest = 0.5 / (planned - 1)
    later = [(rest, (planned - number) * rest) for number in range(2, planned + 1)]
    return ((0.5, 0.5), *later)


@dataclass(frozen=True)
class Step:
    """What one scrape says for each alternative: logarithms of its factors, and the factors."""

    logs: tuple[float, ...]
    factors: tuple[float, ...]

    @classmethod
    def of(cls, logs: Sequence[float]) -> "Step":
        """Return the step of these logarithms."""
        factors = (math.exp(one) if one < _EXPONENT else math.inf for one in logs)
        return cls(tuple(logs), tuple(factors))


class EProcess:
    """Mixes alternatives and starts: R[q] = (R[q] + w_t) e^L[q]; E = mean of R + weight left.

    Masses are plain numbers at first: a step costs a multiplication an alternative, and one that
    vanishes is nothing beside the weight that the next scrape adds. Where they would overflow, or
    no more weight comes, they go on as logarithms.
    """

    __slots__ = ("_logs", "_masses", "log")

    def __init__(self, alternatives: int) -> None:
        self._masses = [0.0] * alternatives
        self._logs: list[float] | None = None
        self.log = 0.0
        """The logarithm of E."""

    def add(self, step: Step, weight: float, left: float) -> None:
        """Take one scrape in. `weight`, `left`: of `starts`; 0 after the planned scrapes."""
        if self._logs is None and left > 0.0:
            grown = [
                (mass + weight) * factor
                for mass, factor in zip(self._masses, step.factors, strict=True)
            ]
            total = sum(grown)
            if total < _MOST:
                self._masses = grown
                self.log = math.log(total / len(grown) + left) if grown else 0.0
                return
        self._add_logs(step.logs, _log(weight), left)

    def _add_logs(self, logs: Sequence[float], weight: float, left: float) -> None:
        if not self._masses:
            return
        before = [_log(mass) for mass in self._masses] if self._logs is None else self._logs
        self._logs = [
            log_sum((one, weight)) + grown for one, grown in zip(before, logs, strict=True)
        ]
        self.log = log_sum((log_sum(self._logs) - math.log(len(logs)), _log(left)))


def log_sum(logs: Sequence[float]) -> float:
    """Return the logarithm of the sum of numbers given by their logarithms."""
    top = max(logs, default=-math.inf)
    if top == -math.inf:
        return top
    return top + math.log(math.fsum(math.exp(one - top) for one in logs))


def _log(value: float) -> float:
    return math.log(value) if value > 0.0 else -math.inf
