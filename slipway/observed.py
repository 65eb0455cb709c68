"""What a team's own deployments say about slipway's verdicts: precision, recall, times.

Never a share alone: each has its counts and its 95 % interval (Wilson's, which stays honest for the
few rollouts a team makes in a month).
"""

import math
from collections.abc import Iterable
from statistics import NormalDist, median

from slipway.base import Instant, Message
from slipway.judgements.fates import truth_of
from slipway.messages.observe import Fate, Observation, ObserveState, Truth
from slipway.observed_words import STOPS
from slipway.verdicts import Kind

_Z = NormalDist().inv_cdf(0.975)


class Share(Message):
    """`hits` of `of`, with the 95 % interval of the true share."""

    hits: int
    of: int
    low: float
    high: float


class Times(Message):
    """Seconds from the beginning of the rollout to the verdict."""

    count: int
    median: float
    longest: float


class Score(Message):
    """How one way of reading the verdicts fares. None: there was nothing to count."""

    precision: Share | None
    recall: Share | None


class SignalScore(Message):
    """What one signal's stops were worth."""

    signal: str
    stops: int
    unknown: int
    precision: Share | None
    times: Times | None


class Mistake(Message):
    """A verdict that what happened afterwards contradicts."""

    id: str
    kind: Kind
    because: str
    happened: str


class Summary(Message):
    """Everything `slipway observe --summary` shows."""

    environment: str
    since: Instant
    rollouts: int
    services: int
    back: int
    """Rollouts back to an earlier version: shown, and in no count below."""
    judging: int
    cut_short: int
    open: int
    """Judged, and nothing has become of them yet."""
    unclear: int
    """Judged, and what became of them says nothing."""
    forgotten: int
    table: dict[Kind, dict[Truth, int]]
    rollback: Score
    """A verdict counts as an alarm when slipway would have rolled back."""
    stop: Score
    """... or held it for a person."""
    times: Times | None
    """Of all ROLLBACK verdicts."""
    signals: list[SignalScore]
    false_alarms: list[Mistake]
    missed: list[Mistake]


def summarise(state: ObserveState) -> Summary:
    """Return what the observations so far say."""
    seen = state.observations
    forward = [one for one in seen if not one.back]
    judged = [one for one in forward if one.verdict is not None and not one.cut_short]
    unknown = [one for one in judged if truth_of(one) is Truth.UNKNOWN]
    return Summary(
        environment=state.environment,
        since=state.since,
        rollouts=len(seen),
        services=len({one.service for one in seen}),
        back=len(seen) - len(forward),
        judging=sum(one.verdict is None for one in forward),
        cut_short=sum(one.cut_short for one in forward),
        open=sum(one.fate is Fate.OPEN for one in unknown),
        unclear=sum(one.fate is not Fate.OPEN for one in unknown),
        forgotten=state.forgotten,
        table=_table(judged),
        rollback=_score(judged, (Kind.ROLLBACK,)),
        stop=_score(judged, STOPS),
        times=_times(one for one in judged if _kind(one) is Kind.ROLLBACK),
        signals=_signals(judged),
        false_alarms=[
            _mistake(one) for one in judged if _kind(one) in STOPS and truth_of(one) is Truth.GOOD
        ],
        missed=[
            _mistake(one)
            for one in judged
            if _kind(one) not in STOPS and truth_of(one) is Truth.BAD
        ],
    )


def share(hits: int, of: int) -> Share | None:
    """Return a share with Wilson's 95 % interval; None of nothing."""
    if of == 0:
        return None
    ratio, square = hits / of, _Z * _Z
    middle = (ratio + square / (2 * of)) / (1 + square / of)
    half = _Z / (1 + square / of) * math.sqrt(ratio * (1 - ratio) / of + square / (4 * of * of))
    return Share(
        hits=hits,
        of=of,
        low=0.0 if hits == 0 else max(0.0, middle - half),
        high=1.0 if hits == of else min(1.0, middle + half),
    )


def _score(judged: list[Observation], alarms: tuple[Kind, ...]) -> Score:
    """INCONCLUSIVE is no alarm: a bad release that could not be judged was not caught."""
    known = [one for one in judged if truth_of(one) is not Truth.UNKNOWN]
    raised = [one for one in known if _kind(one) in alarms]
    right = sum(truth_of(one) is Truth.BAD for one in raised)
    bad = sum(truth_of(one) is Truth.BAD for one in known)
    return Score(precision=share(right, len(raised)), recall=share(right, bad))


def _table(judged: list[Observation]) -> dict[Kind, dict[Truth, int]]:
    table = {kind: dict.fromkeys(Truth, 0) for kind in Kind}
    for one in judged:
        table[_kind(one)][truth_of(one)] += 1
    return table


def _signals(judged: list[Observation]) -> list[SignalScore]:
    by: dict[str, list[Observation]] = {}
    for one in judged:
        if one.verdict is not None and one.verdict.kind in STOPS:
            by.setdefault(one.verdict.signal.value, []).append(one)
    return [_signal(name, stops) for name, stops in sorted(by.items())]


def _signal(name: str, stops: list[Observation]) -> SignalScore:
    truths = [truth_of(one) for one in stops]
    right, wrong = truths.count(Truth.BAD), truths.count(Truth.GOOD)
    return SignalScore(
        signal=name,
        stops=len(stops),
        unknown=truths.count(Truth.UNKNOWN),
        precision=share(right, right + wrong),
        times=_times(stops),
    )


def _times(observations: Iterable[Observation]) -> Times | None:
    """Rollouts that were under way already say nothing about how soon a verdict came."""
    took = [
        one.verdict_after
        for one in observations
        if one.verdict_after is not None and not one.under_way
    ]
    return Times(count=len(took), median=median(took), longest=max(took)) if took else None


def _mistake(one: Observation) -> Mistake:
    happened = f"{one.label.person}: {one.label.because}" if one.label else one.fate_because
    because = one.verdict.because if one.verdict else ""
    return Mistake(id=one.id, kind=_kind(one), because=because, happened=happened)


def _kind(one: Observation) -> Kind:
    return one.verdict.kind if one.verdict else Kind.INCONCLUSIVE
