"""What was noticed, decided and became of a rollout, in one line each."""

from slipway.base import say_length
from slipway.judgements.fates import tag_of, truth_of
from slipway.messages.observe import Observation, Truth
from slipway.verdicts import Kind

STOPS = (Kind.ROLLBACK, Kind.HOLD)
"""Verdicts that would have kept a release from going on by itself."""
_WORDS = {
    Kind.PROCEED: "would have gone on",
    Kind.HOLD: "would have held it for a person",
    Kind.ROLLBACK: "would have rolled it back",
    Kind.INCONCLUSIVE: "could not have judged it",
}


def say_noticed(one: Observation) -> str:
    """Return who rolls out what."""
    what = f"{tag_of(one.image_before)} → {tag_of(one.image)}" if one.image_before else one.image
    who = f" by {one.by}" if one.by else ""
    cause = f" ({one.cause})" if one.cause else ""
    back = ", back to an earlier version" if one.back else ""
    when = (
        "was under way"
        if one.under_way
        else f"noticed {_seconds(one.noticed_after)} after it began"
    )
    return f"{one.id}: {what}{who}{cause}{back}; {when}."


def say_verdict(one: Observation) -> str:
    """Return what slipway would have decided, when, and why."""
    verdict = one.verdict
    if verdict is None:
        return f"{one.id} is being judged."
    if one.cut_short:
        return f"{one.id}: no verdict. {verdict.because}"
    when = f" {_seconds(one.verdict_after)} after it began" if one.verdict_after is not None else ""
    return f"{one.id}: slipway {_WORDS[verdict.kind]}{when}. {verdict.because}"


def say_fate(one: Observation) -> str:
    """Return what became of it, and what that says of the verdict."""
    return f"{one.id}: {one.fate.value}. {one.fate_because}{_comparison(one)}"


def _comparison(one: Observation) -> str:
    truth, verdict = truth_of(one), one.verdict
    if verdict is None or one.cut_short or one.back or truth is Truth.UNKNOWN:
        return ""
    if verdict.kind is Kind.INCONCLUSIVE:
        return " slipway could not judge it."
    right = (verdict.kind in STOPS) is (truth is Truth.BAD)
    return f" {verdict.kind.value} was {'right' if right else 'wrong'}."


def _seconds(seconds: float) -> str:
    return say_length(max(1.0, round(seconds)))
