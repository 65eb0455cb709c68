"""How `slipway observe --summary` looks: no share without its counts and its interval."""

from slipway.base import say_length, utc_text
from slipway.judgements.fates import truth_of
from slipway.messages.observe import ObserveState, Truth
from slipway.observed import Mistake, Score, Share, SignalScore, Summary, Times
from slipway.observed_words import say_fate, say_verdict
from slipway.verdicts import Kind

_LISTED = 20


def summary_lines(done: Summary, state: ObserveState) -> list[str]:
    """Return everything to print."""
    if not done.rollouts:
        lines = [f"{done.environment}: observed since {utc_text(done.since)}, no rollout seen yet."]
        return [*lines, *([f"Trouble: {state.trouble}"] if state.trouble else [])]
    lines = [_head(done), *_left_out(done)]
    if state.trouble:
        lines.append(f"Trouble: {state.trouble}")
    lines += ["", *_table(done), ""]
    lines += _score("Rolled back", done.rollback)
    lines += _score("Rolled back or held", done.stop)
    if done.times:
        lines.append(f"Time to ROLLBACK after a rollout began: {_times(done.times)}.")
    lines += [_signal(one) for one in done.signals]
    lines += _mistakes("False alarms", done.false_alarms)
    lines += _mistakes("Missed", done.missed)
    return [*lines, *_newest(state)]


def _head(done: Summary) -> str:
    forgotten = f" ({done.forgotten} older ones are not kept any more)" if done.forgotten else ""
    return (
        f"{done.environment}: {done.rollouts} rollouts of {done.services} services since "
        f"{utc_text(done.since)}{forgotten}."
    )


def _left_out(done: Summary) -> list[str]:
    counts = {
        "back to an earlier version": done.back,
        "being judged": done.judging,
        "over before a verdict": done.cut_short,
        "not old enough to tell": done.open,
        "with an outcome that says nothing": done.unclear,
    }
    said = [f"{count} {what}" for what, count in counts.items() if count]
    return [f"In no share below: {', '.join(said)}."] if said else []


def _table(done: Summary) -> list[str]:
    head = f"{'slipway / the version was':<26}" + "".join(f"{one.value:>9}" for one in Truth)
    rows = [
        f"{kind.value:<26}" + "".join(f"{done.table[kind][truth]:>9}" for truth in Truth)
        for kind in Kind
    ]
    return [head, *rows]


def _score(what: str, score: Score) -> list[str]:
    return [
        f"{what}: precision {say_share(score.precision)}; recall {say_share(score.recall)}.",
    ]


def say_share(share: Share | None) -> str:
    """Return a share with its counts and its interval."""
    if share is None:
        return "nothing to count yet"
    ratio = share.hits / share.of
    return f"{share.hits} of {share.of} ({ratio:.0%}; 95 %: {share.low:.0%} to {share.high:.0%})"


def _times(times: Times) -> str:
    median, longest = (say_length(max(1.0, round(one))) for one in (times.median, times.longest))
    return f"median {median}, longest {longest}, of {times.count}"


def _signal(one: SignalScore) -> str:
    unknown = f", {one.unknown} unknown" if one.unknown else ""
    times = f", {_times(one.times)}" if one.times else ""
    return f"  by {one.signal}: right in {say_share(one.precision)}{unknown}{times}"


def _mistakes(what: str, mistakes: list[Mistake]) -> list[str]:
    if not mistakes:
        return [f"{what}: none."]
    shown = [f"  {one.id} ({one.kind.value}): {one.because} {one.happened}" for one in mistakes]
    more = [f"  … and {len(shown) - _LISTED} more"] if len(shown) > _LISTED else []
    return [f"{what}: {len(mistakes)}.", *shown[-_LISTED:], *more]


def _newest(state: ObserveState) -> list[str]:
    lines = ["", "Newest:"]
    for one in state.observations[-_LISTED:]:
        lines.append(f"  {say_verdict(one)}")
        if one.label is not None:
            said = f"{one.label.person} says {truth_of(one).value}: {one.label.because}"
            lines.append(f"    {one.id}: {said}")
        elif one.fate_because:
            lines.append(f"    {say_fate(one)}")
    return lines
