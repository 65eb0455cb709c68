"""What a window's verdicts come to, and whom they name."""

from slipway.verdicts import Kind, Reason, Verdict, gravest, weight

_TOLD = 3
"""Further verdicts whose sentences are told beside the gravest one's."""


def deciding(verdicts: list[Verdict]) -> Verdict | None:
    """Return the gravest verdict, in whose sentence the others are told as well: whoever accepts it
    accepts all of them. Where several services could not be read, none of them is to blame but
    what they are read from, so that none is named."""
    worst = gravest(verdicts)
    if worst is None:
        return None
    silent = {one.service for one in verdicts if one.reason is Reason.NOTHING_TO_READ}
    if worst.reason is Reason.NOTHING_TO_READ and len(silent) > 1:
        because = f"{len(silent)} services could not be read. {worst.because}"
        return worst.model_copy(update={"service": None, "because": because})
    others = [one for one in verdicts if one is not worst and weight(one.kind) > 0]
    if worst.kind is Kind.ROLLBACK or not others:
        return worst
    said = " ".join(one.because[:300] for one in others[:_TOLD])
    more = f" And {len(others) - _TOLD} more." if len(others) > _TOLD else ""
    return worst.model_copy(update={"because": f"{worst.because} Also: {said}{more}"[:1500]})
