"""Which of a window's verdicts decides, and whom it names."""

from slipway.verdicts import Reason, Verdict, gravest


def deciding(verdicts: list[Verdict]) -> Verdict | None:
    """Return the gravest verdict. Where several services could not be read, none of them is to
    blame but what they are read from, so that none is named."""
    worst = gravest(verdicts)
    if worst is None or worst.reason is not Reason.NOTHING_TO_READ:
        return worst
    silent = {one.service for one in verdicts if one.reason is Reason.NOTHING_TO_READ}
    if len(silent) < 2:
        return worst
    because = f"{len(silent)} services could not be read. {worst.because}"
    return worst.model_copy(update={"service": None, "because": because})
