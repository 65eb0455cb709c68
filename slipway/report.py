"""The report of a deployment, as data and as Markdown: what was done, proved, kept and lost."""

from datetime import datetime
from typing import Any

from slipway.base import say_length, utc_text
from slipway.checklist import mark_of, tally
from slipway.markdown import bullets, cell, say_age, say_size, short, table
from slipway.status import ChecklistLine, StatusDocument


def report_data(
    status: StatusDocument, verified_at: datetime | None, *, because: str = ""
) -> dict[str, Any]:
    """Return the report as data that fits into JSON.

    `verified_at` is when the artefacts were read again, None when they were not; `because` says
    why not.
    """
    return {
        "verified_at": utc_text(verified_at) if verified_at else None,
        "not_verified_because": because,
        "checklist": tally(status.checklist),
        "lost_rows": sum((status.lost_writes or {}).values()),
        "status": status.model_dump(mode="json"),
    }


def report_markdown(
    status: StatusDocument, verified_at: datetime | None, *, because: str = ""
) -> str:
    """Return the report in Markdown; see `report_data`."""
    sections: list[tuple[str, list[str]]] = [
        ("Summary", _summary(status)),
        (f"Checklist: {tally(status.checklist)}", _checklist(status, verified_at, because)),
        ("Services", _services(status)),
        ("Backup", _backup(status)),
        ("Migrations", _migrations(status)),
        ("People", _people(status)),
    ]
    if status.undo:
        sections.append(("Rollback", _rollback(status)))
    sections += [
        ("Not checked by this version of slipway", bullets(status.unchecked)),
        ("Timeline (UTC)", _timeline(status)),
    ]
    lines = [f"# {cell(status.release)} to {status.environment}: {status.outcome.value}", ""]
    for mark in _marks(status):
        lines += [f"> {mark}", ""]
    for title, body in sections:
        lines += [f"## {title}", "", *body, ""]
    return "\n".join(lines)


def checklist_lines(lines: list[ChecklistLine]) -> list[str]:
    """Return the checklist as the playbook writes it: box, line, artefact, digest, age."""
    return [_checklist_line(line) for line in lines]


def _checklist_line(line: ChecklistLine) -> str:
    parts = [f"- [{mark_of(line)}] {line.title}"]
    if line.by:
        parts.append(f"by {cell(line.by)}")
    parts += [f"`{one.key}` sha256 `{short(one.sha256)}`" for one in line.evidence]
    if line.age is not None:
        parts.append(f"{say_age(line.age)} old")
    if line.note:
        parts.append(cell(line.note))
    return " · ".join(parts)


def _marks(status: StatusDocument) -> list[str]:
    marks = []
    if "demo" in status.marks:
        marks.append("Demo: the release's evidence was made for a demonstration.")
    if status.time_scale != 1:
        marks.append(f"Every length was divided by {status.time_scale:g} (local stack).")
    if status.overlay:
        marks.append(f"The plan was changed by an overlay: {', '.join(sorted(status.overlay))}.")
    return [cell(mark) for mark in marks]


def _summary(status: StatusDocument) -> list[str]:
    last = status.timeline[-1].at if status.timeline else status.started_at
    lasted = say_length(max(0.0, (last - status.started_at).total_seconds()))
    lines = [
        f"Deployment: `{status.id}`",
        f"Outcome: {status.outcome.value}, in phase {status.phase.value}",
        f"Began {utc_text(status.started_at)}, last event {utc_text(last)} ({lasted} later)",
        f"Approved digest: {status.digest or 'none'}",
    ]
    if status.verdict is not None:
        verdict = status.verdict
        lines.append(f"Verdict: {verdict.kind.value}, {verdict.reason.value}: {verdict.because}")
    if status.aftercare:
        lines.append(f"Aftercare: `{status.aftercare}`")
    return [f"- {' '.join(line.split())}" for line in lines]


def _checklist(status: StatusDocument, verified_at: datetime | None, because: str) -> list[str]:
    said = (
        f"Every artefact was read again and its digest compared at {utc_text(verified_at)}."
        if verified_at
        else f"The artefacts were NOT read again: {cell(because)}"
    )
    return [*checklist_lines(status.checklist), "", said]


def _services(status: StatusDocument) -> list[str]:
    rows = [
        (
            one.name,
            one.state.value,
            short(one.image_before.rpartition("@")[2]) or "-",
            short(one.image_after.rpartition("@")[2]) or "-",
            " ".join([one.verdict or "-", *one.notes]),
        )
        for one in status.services
    ]
    return table(("Service", "State", "Digest before", "Digest after", "Verdict"), rows)


def _backup(status: StatusDocument) -> list[str]:
    backup = status.backup
    if backup is None:
        return ["No backup was taken."]
    proved = "restored and equal" if backup.restored_ok else "NOT proved to restore"
    return [
        f"- `{backup.key}`, SHA-256 `{backup.sha256}`",
        f"- Snapshot {utc_text(backup.taken_at)}, {say_size(backup.size)}, {backup.rows} rows, "
        f"{proved}",
        f"- Restored copy: `{backup.side_database or 'none'}`",
    ]


def _migrations(status: StatusDocument) -> list[str]:
    rows = [(one.tag, short(one.hash), one.state.value) for one in status.migrations]
    return table(("Migration", "SHA-256", "State"), rows)


def _people(status: StatusDocument) -> list[str]:
    lines = [f"Asked for by {status.requester}"]
    lines += [
        f"{'Approved' if one.decision == 'approve' else 'Rejected'} by {one.person} ({one.role}) "
        f"at {utc_text(one.at)}: {one.reason}"
        for one in status.approvals
    ]
    lines += [
        f"{one.item} confirmed by {one.person} at {utc_text(one.at)}: {one.note}"
        for one in status.confirmations
    ]
    return bullets(lines)


def _rollback(status: StatusDocument) -> list[str]:
    rows = [(one.step, one.state.value, one.because or "-") for one in reversed(status.undo)]
    return [*table(("Undo", "State", "Because"), rows), "", *_lost(status)]


def _lost(status: StatusDocument) -> list[str]:
    if status.lost_writes is None:
        return ["The database was not restored; no write was lost."]
    rows = [(name, count) for name, count in sorted(status.lost_writes.items()) if count]
    if not rows:
        return ["The database was restored; no row written after the backup is missing."]
    total = sum(count for _, count in rows)
    return [
        f"{total} rows written after the backup were lost:",
        "",
        *table(("Table", "Rows lost"), rows),
    ]


def _timeline(status: StatusDocument) -> list[str]:
    rows = [(utc_text(one.at), one.phase.value, one.text, one.by or "-") for one in status.timeline]
    return table(("When", "Phase", "What", "By"), rows)
