"""The time before a release without its incidents: an outage in it is not how the service fails.

Left in, five minutes of outage in the hour before make 8 % of failures the usual thing, and the
detector blind. What is left out must stand out, so that no service loses failures of its own: one
stretch of a minute, or several of three and more, far above three quarters of the time, more than
the spread of the rest explains, and no more than a quarter of the time in all.
"""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from slipway.judgements.bounds import dispersion
from slipway.judgements.counters import Scrape
from slipway.messages.watch import TrafficBefore

_BLOCKS = 120
_LEAST_BLOCKS = 20
_SCRAPES = 2
"""Scrapes that a block has at least, on average."""
_USUAL = 0.75
"""The share of all blocks, those with the lowest ratios, that tell what is usual."""
_ABOVE = 3.0
"""How many times the highest usual ratio an incident's blocks are above."""
_ADJACENT = 3
"""Blocks in a row, more than half a minute of an hour: bursts are shorter."""
_LONG = 7
"""Blocks in a row of which there may be more than one stretch: what comes again, and is shorter, is
how the service fails."""
_FAILURES = 20.0
"""An incident has so many failures at least: fewer do not tell it from chance."""
_FELT = 6.0
"""Failures of a stretch that is one at all, and no chance."""
_SPREADS = 10.0
"""Standard deviations of the rest by which it is above what the rest would have had."""
_MOST = 0.25
"""The share of all blocks that may be left out. What is more than that is how the service is."""


@dataclass(frozen=True)
class Usual:
    """The scrapes that are left, and what was left out."""

    scrapes: tuple[Scrape, ...]
    seconds: float = 0.0
    requests: float = 0.0
    failures: float = 0.0


@dataclass(frozen=True)
class _Block:
    scrapes: tuple[Scrape, ...]

    @property
    def requests(self) -> float:
        return sum(max(one.requests, one.failures) for one in self.scrapes)

    @property
    def failures(self) -> float:
        return sum(one.failures for one in self.scrapes)

    @property
    def ratio(self) -> float:
        return self.failures / self.requests if self.requests else 0.0


def condensed(scrapes: Sequence[Scrape], seconds: float) -> TrafficBefore:
    """Return the numbers of so many `seconds` before, which windows are compared with."""
    usual = without_incidents(scrapes)
    return TrafficBefore(
        requests=round(sum(one.requests for one in usual.scrapes)),
        failures=round(sum(one.failures for one in usual.scrapes)),
        phi=dispersion((one.requests, one.failures) for one in usual.scrapes),
        seconds=seconds,
        left_out=usual.seconds,
        left_requests=usual.requests,
        left_failures=usual.failures,
    )


def without_incidents(scrapes: Sequence[Scrape]) -> Usual:
    """Return the scrapes of a time before (in order of time) without those of its incidents."""
    everything = Usual(tuple(scrapes))
    count = min(_BLOCKS, len(scrapes) // _SCRAPES)
    if count < _LEAST_BLOCKS or sum(one.failures for one in scrapes) < _FAILURES:
        return everything
    width = (scrapes[-1].at - scrapes[0].at) / count
    blocks = _cut(scrapes, count, width)
    hot = _stretches(_high(blocks))
    felt = [one for one in hot if _failures(blocks, one) >= _FELT]
    rest = [block for number, block in enumerate(blocks) if not _within(number, hot)]
    may = felt if len(felt) == 1 else [one for one in felt if len(one) >= _LONG]
    out = [one for one in may if _stands_out([blocks[number] for number in one], rest)]
    wider = {beside for one in out for beside in range(one.start - 1, one.stop + 1)}
    left = [block for number, block in enumerate(blocks) if number in wider]
    if not left or len(left) > _MOST * count:
        return everything
    return Usual(
        tuple(one for number, b in enumerate(blocks) if number not in wider for one in b.scrapes),
        seconds=width * len(left),
        requests=sum(block.requests for block in left),
        failures=sum(block.failures for block in left),
    )


def _cut(scrapes: Sequence[Scrape], count: int, width: float) -> list[_Block]:
    found: list[list[Scrape]] = [[] for _ in range(count)]
    for one in scrapes:
        place = int((one.at - scrapes[0].at) / width) if width > 0 else 0
        found[min(place, count - 1)].append(one)
    return [_Block(tuple(one)) for one in found]


def _high(blocks: Sequence[_Block]) -> list[bool]:
    """Whether each block is far above what is usual."""
    ratios = sorted(block.ratio for block in blocks if block.requests)
    usual = ratios[min(len(ratios) - 1, math.floor(_USUAL * len(ratios)))] if ratios else 0.0
    return [block.ratio > _ABOVE * usual for block in blocks]


def _stretches(high: Sequence[bool]) -> list[range]:
    found, begun = [], 0
    for number, one in enumerate([*high, False]):
        if not one:
            if number - begun >= _ADJACENT:
                found.append(range(begun, number))
            begun = number + 1
    return found


def _failures(blocks: Sequence[_Block], stretch: range) -> float:
    return sum(blocks[number].failures for number in stretch)


def _within(number: int, stretches: Iterable[range]) -> bool:
    return any(number in one for one in stretches)


def _stands_out(stretch: Sequence[_Block], rest: Sequence[_Block]) -> bool:
    """Whether a stretch failed more than the spread of the rest, block by block, explains."""
    failures = sum(block.failures for block in stretch)
    requests = sum(block.requests for block in rest)
    if failures < _FAILURES or not requests:
        return False
    ratio = (sum(block.failures for block in rest) + 1.0) / requests
    phi = dispersion((block.requests, block.failures) for block in rest)
    expected = ratio * sum(block.requests for block in stretch)
    return failures - expected > _SPREADS * math.sqrt(expected * phi)
