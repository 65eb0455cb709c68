"""The report of a deployment, as data and as a page: what was done, proved, kept and lost."""

from datetime import datetime
from typing import Any

from slipway import sections
from slipway.account import RollbackAccount, account_of, people_of
from slipway.base import Message, say_length, utc_text
from slipway.checklist import tally
from slipway.html_page import page_html
from slipway.markdown import page_markdown
from slipway.messages.aftercare import AftercareState
from slipway.messages.record import ArtefactState
from slipway.page import Bullets, Code, Page, Paragraph, Section, Text, Tone
from slipway.standing import production_now
from slipway.states import Outcome
from slipway.status import StatusDocument

_TONES: dict[Outcome, Tone] = {
    Outcome.DEPLOYED: "good",
    Outcome.ROLLED_BACK: "warn",
    Outcome.ROLLBACK_INCOMPLETE: "bad",
}
_MOST_KEYS = 6
"""Changed values of a plan that are named one by one."""


class Findings(Message):
    """Everything a report is made from."""

    status: StatusDocument
    verified_at: datetime | None = None
    """When the artefacts were read again; None when they were not."""
    artefacts: list[ArtefactState] = []
    """What was found then."""
    because: str = ""
    """Why they were not."""
    note: str = ""
    """What the reader must know beside it, such as a workflow that was cut off."""
    cut_off: bool = False
    """The run has not finished and will not."""
    aftercare: AftercareState | None = None


def report_data(found: Findings) -> dict[str, Any]:
    """Return the report as data that fits into JSON. Times are UTC texts, lengths seconds."""
    status = found.status
    account = account_of(status)
    return {
        "production": production_now(status, cut_off=found.cut_off),
        "cut_off": found.cut_off,
        "note": found.note,
        "rollback": _account_data(account) if account else None,
        "verified_at": utc_text(found.verified_at) if found.verified_at else None,
        "not_verified_because": found.because,
        "checklist": tally(status.checklist),
        "lost_rows": sum((status.lost_writes or {}).values()),
        "people": [one.model_dump(mode="json") for one in people_of(status)],
        "aftercare": found.aftercare.model_dump(mode="json") if found.aftercare else None,
        "status": status.model_dump(mode="json"),
        "artefacts": [one.model_dump(mode="json") for one in found.artefacts],
    }


def _account_data(account: RollbackAccount) -> dict[str, Any]:
    moments = account.moments
    spent = {
        "to_detect": moments.to_detect,
        "to_decide": moments.to_decide,
        "to_restore": moments.to_restore,
        "affected": moments.affected,
    }
    return {**account.model_dump(mode="json"), "seconds_spent": spent}


def report_markdown(found: Findings) -> str:
    """Return the report in Markdown."""
    return page_markdown(report_page(found))


def report_html(found: Findings) -> str:
    """Return the report as one HTML file that needs nothing else."""
    return page_html(report_page(found))


def report_page(found: Findings) -> Page:
    """Return the report as a page."""
    status = found.status
    return Page(
        title=f"{status.release} to {status.environment}",
        badge="cut off" if found.cut_off else status.outcome.value.replace("_", " "),
        tone="bad" if found.cut_off else _TONES.get(status.outcome, "calm"),
        lead=production_now(status, cut_off=found.cut_off),
        marks=tuple(_marks(found)),
        sections=tuple(_sections(found)),
    )


def _sections(found: Findings) -> list[Section]:
    status, account = found.status, account_of(found.status)
    return [
        Section("Summary", (Bullets(tuple(_summary(status))),)),
        *([sections.rollback(status, account)] if account else []),
        Section(
            f"Checklist: {tally(status.checklist)}",
            (*sections.checklist(status), Paragraph(_verified(found))),
        ),
        Section("Services", (sections.services(status),)),
        Section("The run over time", (sections.course(status),)),
        Section("Backup", (sections.backup(status),)),
        Section("Migrations", sections.migrations(status)),
        Section("People", (sections.people(status),)),
        *([] if account or not status.undo else [_undo(status)]),
        *([sections.aftercare(found.aftercare)] if found.aftercare else []),
        Section("Not checked by this version of slipway", (Bullets(tuple(status.unchecked)),)),
        Section("Timeline (UTC)", (sections.timeline(status),)),
    ]


def _undo(status: StatusDocument) -> Section:
    said = Paragraph("What a rollback would undo, newest change first:")
    return Section("Undo", (said, sections.undo_table(reversed(status.undo))))


def _verified(found: Findings) -> str:
    if found.verified_at is None:
        return f"The artefacts were NOT read again: {found.because}"
    at = utc_text(found.verified_at)
    return f"Every artefact was read again and its digest compared at {at}."


def _marks(found: Findings) -> list[str]:
    status = found.status
    marks = [found.note] if found.note else []
    if status.outcome is Outcome.RUNNING and not found.cut_off:
        marks.append(f"The run goes on: this is how it stood at {utc_text(_last(status))}.")
    if "demo" in status.marks:
        marks.append("Demo: the release's evidence was made for a demonstration.")
    if status.time_scale != 1:
        marks.append(f"Every length was divided by {status.time_scale:g} (local stack).")
    if status.overlay:
        marks.append(f"The plan was changed by an overlay: {_overlay(sorted(status.overlay))}.")
    return marks


def _overlay(keys: list[str]) -> str:
    """The keys that were changed, or the parts of the plan where they are many."""
    if len(keys) <= _MOST_KEYS:
        return ", ".join(keys)
    parts = dict.fromkeys(key.partition(".")[0] for key in keys)
    return f"{len(keys)} values of {', '.join(parts)}"


def _last(status: StatusDocument) -> datetime:
    return max((one.at for one in status.timeline), default=status.started_at)


def _summary(status: StatusDocument) -> list[Text]:
    last = _last(status)
    lasted = say_length(max(0.0, (last - status.started_at).total_seconds()))
    lines: list[Text] = [
        ("Deployment: ", Code(status.id)),
        f"Outcome: {status.outcome.value}, in phase {status.phase.value}",
        f"Began {utc_text(status.started_at)}, last event {utc_text(last)} ({lasted} later)",
        ("Approved digest: ", Code(status.digest)) if status.digest else "Approved digest: none",
    ]
    if status.verdict is not None:
        verdict = status.verdict
        lines.append(f"Verdict: {verdict.kind.value}, {verdict.reason.value}: {verdict.because}")
    if status.outcome is Outcome.RUNNING and status.current.step:
        lines.append(f"Now: {status.current.step}: {status.current.reason}")
    for wait in status.waiting_for:
        until = f" until {utc_text(wait.until)}, then {wait.default}" if wait.until else ""
        answer = (": ", Code(wait.command)) if wait.command else ()
        lines.append((f"Waits for {wait.what}{until}", *answer))
    if status.aftercare:
        lines.append(("Aftercare: ", Code(status.aftercare)))
    return lines
