"""Slow requests and error lines, simulated: `python -m benchmarks.forms [WINDOWS]`.

For each traffic the share of windows that a rule alarms in: the share or count by itself, E1, and
both e-processes (slipway/judgements/forms.py, as shipped). Where something is wrong it also says
after how many seconds. Decision 0014 tells what follows from it.
"""

import math
import random
import sys
from collections.abc import Callable, Sequence
from statistics import mean

from slipway.judgements.detector import ALPHA, HOLD_EASE
from slipway.judgements.forms import SLOW_SHARE, expected_events, judge_events, judge_slow

_LOOK = 6
"""Steps of 5 s between two looks at logs."""
_LENGTH = 120.0
_HOUR = 3600.0
Share = Callable[[random.Random], float]

SLOW: dict[str, Share] = {
    "5 % slow, exactly the limit": lambda rng: 0.05,
    "2 %, and 60 % in one scrape of 20": lambda rng: 0.6 if rng.random() < 0.05 else 0.02,
    "4 %, gamma by scrape": lambda rng: min(1.0, rng.gammavariate(1.0, 0.04)),
    "fault: 11 % (p95 of 700 ms)": lambda rng: 0.11,
}
LINES: dict[str, tuple[float, float, int]] = {
    "60 an hour, as before": (60, 60, 1),
    "36 an hour, six at once": (36, 36, 6),
    "120 an hour, twenty at once": (120, 120, 20),
    "fault: 0 to 15 a minute": (0, 900, 1),
    "fault: 6 an hour to 6 a minute": (6, 360, 1),
}
"""Lines an hour before and now, and how many come at once."""


def poisson(rng: random.Random, average: float) -> int:
    """Draw a count; by a normal distribution above 200."""
    if average > 200:
        return max(0, round(rng.gauss(average, math.sqrt(average))))
    count, left, floor = 0, rng.random(), math.exp(-average)
    while left > floor:
        count, left = count + 1, left * rng.random()
    return count


def slow_rules(scrapes: Sequence[tuple[int, int]]) -> dict[str, bool]:
    """Whether each rule holds a window at its end."""
    requests, slow = sum(n for n, _ in scrapes), sum(k for _, k in scrapes)
    found, over = judge_slow(scrapes, len(scrapes)), slow > SLOW_SHARE * requests
    return {
        "at the end": over and requests >= 300,
        "E1": over and found.log_e1 >= -math.log(HOLD_EASE * ALPHA),
        "both": over and found.holds,
    }


def slow_windows(rate: float, interval: float, share: Share, count: int) -> dict[str, float]:
    """Return the share of windows that each rule holds."""
    rng, found = random.Random(7), list[dict[str, bool]]()
    for _ in range(count):
        scrapes = []
        for _ in range(round(_LENGTH / interval)):
            ratio = share(rng)
            slow = poisson(rng, rate * interval * ratio)
            scrapes.append((slow + poisson(rng, rate * interval * (1 - ratio)), slow))
        found.append(slow_rules(scrapes))
    return {rule: mean(one[rule] for one in found) for rule in found[0]}


def line_rules(steps: Sequence[int], hour: int) -> dict[str, int | None]:
    """Return the second at which each rule rolls back, looking every 30 s."""
    seconds: dict[str, int | None] = {"by count": None, "E1": None, "both": None}
    expected = expected_events(hour, _HOUR, 5.0)
    for number in range(_LOOK, len(steps) + 1, _LOOK):
        part, usual = steps[:number], hour / _HOUR * 5 * number
        found = judge_events(part, len(steps), expected)
        plain = sum(part) >= 5 and sum(part) > 3 * usual
        now = {
            "by count": plain,
            "E1": plain and found.log_e1 >= -math.log(ALPHA / 2),
            "both": plain and found.rolls_back,
        }
        for rule, alarms in now.items():
            if alarms and seconds[rule] is None:
                seconds[rule] = 5 * number
    return seconds


def line_windows(before: float, now: float, at_once: int, count: int) -> dict[str, list[int]]:
    """Return the seconds of all alarms, rule by rule."""
    rng, found = random.Random(11), dict[str, list[int]]()
    for _ in range(count):
        hour = at_once * poisson(rng, before / at_once)
        average = now / _HOUR * 5 / at_once
        steps = [at_once * poisson(rng, average) for _ in range(round(_LENGTH / 5))]
        for rule, second in line_rules(steps, hour).items():
            found.setdefault(rule, []).extend([second] if second else [])
    return found


def main() -> None:
    """Print both tables."""
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 400
    for rate in (2, 20):
        for interval in (5.0, 15.0):
            for name, share in SLOW.items():
                rules = slow_windows(rate, interval, share, count)
                said = ", ".join(f"{rule} {value:.1%}" for rule, value in rules.items())
                print(f"slow, {rate}/s, {interval:.0f} s, {name}: {said}")
    for name, (before, now, at_once) in LINES.items():
        found = line_windows(before, now, at_once, count)
        said = ", ".join(
            f"{rule} {len(ats) / count:.1%}" + (f" after {mean(ats):.0f} s" if ats else "")
            for rule, ats in found.items()
        )
        print(f"lines, {name}: {said}")


if __name__ == "__main__":
    main()
