"""Checks that traffic and baselines do what the table says of them: else nothing is compared."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np

from benchmarks.judgement.cells import INTERVALS, fault, named
from benchmarks.judgement.parts import LONG, SHORT
from benchmarks.judgement.results import Found

_SIGMAS = 5.0


class ClaimBroken(Exception):
    """A simulation or a baseline does not do what it is said to do."""


@dataclass(frozen=True)
class Claim:
    """What a rule must do on a cell."""

    cell: str
    rule: str
    what: str
    holds: Callable[[np.ndarray], bool]
    """Of the times at which it fires."""


def claims() -> list[Claim]:
    """Return what is claimed of the baselines."""
    found = []
    for interval in INTERVALS:
        short, long = (named(fault(20, 3, window), interval) for window in (SHORT, LONG))
        healthy = named("deployments at 0.1 %", interval)
        found += [
            Claim(short, "playbook, window end", "finds 3 %, at 120 s", _finds(0.99, 120, 120)),
            Claim(short, "playbook, every scrape", "finds 3 %", _finds(0.99)),
            Claim(short, "rate[1m]", "finds 3 %", _finds(0.99)),
            Claim(short, "Argo limit 0", "finds 3 %, not before 30 s", _finds(0.99, 30)),
            Claim(short, "Argo limit 3", "finds 3 %, not before 120 s", _finds(0.95, 120)),
            Claim(short, "Flagger", "cannot fire within 2 minutes", _never),
            Claim(long, "Flagger", "finds 3 %, not before 300 s", _finds(0.99, 300)),
            Claim(short, "b6s", "finds 3 %", _finds(0.99)),
            Claim(short, "b6s, 2 min", "finds 3 %", _finds(0.99)),
            Claim(
                healthy,
                "playbook, every scrape",
                "rolls most healthy deployments back",
                lambda times: bool(np.isfinite(times).mean() > 0.5),
            ),
        ]
    return found


def check(results: Mapping[str, Found]) -> int:
    """Check the mean of each cell's traffic and what is claimed of the baselines, where measured;
    return how many checks that were. Raises ClaimBroken."""
    count = 0
    for found in results.values():
        if found.cell.mean is not None:
            _check_mean(found, found.cell.mean)
            count += 1
    for claim in claims():
        if claim.cell in results:
            if not claim.holds(results[claim.cell].times[claim.rule]):
                raise ClaimBroken(f"{claim.rule} on {claim.cell}: it must be that it {claim.what}")
            count += 1
    return count


def _check_mean(found: Found, mean: float) -> None:
    """The traffic fails as often as it is said to, within five standard errors of the runs."""
    excess = found.failures - mean * found.requests
    error = float(np.std(excess)) / np.sqrt(found.runs)
    if abs(float(excess.mean())) > _SIGMAS * error + 1e-9:
        seen = found.failures.sum() / found.requests.sum()
        raise ClaimBroken(f"{found.cell.name}: {seen:.4%} of its requests fail, not {mean:.4%}")


def _finds(share: float, earliest: float = 0.0, latest: float = np.inf) -> Callable[..., bool]:
    def holds(times: np.ndarray) -> bool:
        seen = times[np.isfinite(times)]
        within = bool(((seen >= earliest) & (seen <= latest)).all())
        return len(seen) >= share * len(times) and within

    return holds


def _never(times: np.ndarray) -> bool:
    return not np.isfinite(times).any()
