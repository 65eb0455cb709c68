"""The playbook's final checklist, verified again: a line counts only while its artefacts stand."""

from collections.abc import Mapping, Sequence
from datetime import datetime

from slipway.messages.record import ArtefactState
from slipway.page import Mark
from slipway.states import ItemState
from slipway.status import ChecklistLine, StatusDocument

_MARKS: dict[ItemState, Mark] = {
    ItemState.DONE: "x",
    ItemState.OPEN: " ",
    ItemState.MISSING: "!",
}


def verified(
    status: StatusDocument, states: Sequence[ArtefactState], now: datetime
) -> StatusDocument:
    """Return the status with every checklist line judged again and its age (seconds) filled in.

    A line that was done is MISSING when one of its artefacts is gone, altered or was not verified.
    """
    by_key = {one.key: one for one in states}
    lines = [aged(_judge(line, by_key), now) for line in status.checklist]
    return status.model_copy(update={"checklist": lines})


def aged(line: ChecklistLine, now: datetime) -> ChecklistLine:
    """Return the line with the age of what it stands on, in seconds."""
    if line.at is None:
        return line
    return line.model_copy(update={"age": max(0.0, (now - line.at).total_seconds())})


def mark_of(line: ChecklistLine) -> Mark:
    """Return what stands in the box: `x` done, `!` missing, blank open."""
    return _MARKS[line.state]


def tally(lines: Sequence[ChecklistLine]) -> str:
    """Return `9 of 10 done`."""
    done = sum(line.state is ItemState.DONE for line in lines)
    return f"{done} of {len(lines)} done"


def _judge(line: ChecklistLine, states: Mapping[str, ArtefactState]) -> ChecklistLine:
    if line.state is not ItemState.DONE:
        return line
    if not line.evidence:
        return _missing(line, "no artefact proves this line")
    for artefact in line.evidence:
        state = states.get(artefact.key)
        if state is None:
            return _missing(line, f"{artefact.key} was not verified")
        if not state.intact:
            return _missing(line, f"{artefact.key}: {state.because}")
    return line


def _missing(line: ChecklistLine, because: str) -> ChecklistLine:
    return line.model_copy(update={"state": ItemState.MISSING, "note": because})
