"""What is written down after a rollback: the incident record and the draft of its post-mortem."""

from datetime import datetime
from typing import Any

from slipway import sections
from slipway.account import RollbackAccount, account_of, people_of, say_moments, say_spent
from slipway.base import utc_text
from slipway.course import Moments
from slipway.markdown import page_markdown
from slipway.page import Block, Bullets, Code, Page, Paragraph, Section, Table
from slipway.run import Run
from slipway.standing import production_now
from slipway.states import ItemState
from slipway.status import StatusDocument, status_of

_UPDATE_PROCEDURE = "Update the deployment procedure so that this is found earlier or cannot happen"
_TODO = "TODO"
"""What stands where people must write; a reader can search for it."""


def incident_record(run: Run) -> dict[str, Any]:
    """Return the incident as data that fits into JSON: what went wrong, what was undone, by whom.

    Times are UTC texts, lengths are seconds; null where nothing is known.
    """
    status = status_of(run)
    account = account_of(status)
    return {
        "deployment": run.id,
        "environment": run.plan.environment,
        "release": run.release.version,
        "outcome": run.outcome.value,
        "production": production_now(status),
        "started_at": utc_text(run.started_at),
        **_times(status, account),
        "trigger": _trigger(run),
        "services": _services(run),
        "migrations": [one.model_dump(mode="json") for one in run.migrations],
        "database": run.database.model_dump(mode="json") if run.database else None,
        "lost_rows": run.database.lost_rows if run.database else 0,
        "undo": [one.model_dump(mode="json") for one in status.undo],
        "verified": account.verified if account else "Not verified.",
        "people": _people(run, status),
        "evidence": _evidence(run),
        "timeline": [one.model_dump(mode="json") for one in run.timeline],
        "not_checked": list(run.unchecked),
        "actions": _actions(run),
        "marks": list(run.release.marks),
        "time_scale": run.plan.time_scale,
    }


def post_mortem(run: Run) -> str:
    """Return the post-mortem's draft in Markdown; what people must fill in is marked `TODO`."""
    status = status_of(run)
    page = Page(
        title=f"Post-mortem (draft), {run.release.version} in {run.plan.environment}",
        badge=run.outcome.value.replace("_", " "),
        tone="warn",
        lead=production_now(status),
        marks=(f"For people to fill in: every line with {_TODO}.", *_staged(run)),
        sections=tuple(_sections(run, status)),
    )
    return page_markdown(page)


def _sections(run: Run, status: StatusDocument) -> list[Section]:
    account = account_of(status)
    evidence = [(Code(one["key"]), " ", Code(one["sha256"])) for one in _evidence(run)]
    todo = (
        ("What went well", "what was noticed quickly, what protected the users?"),
        ("What went badly", "what came late, what was missing, what surprised?"),
        ("Where we were lucky", "what could have made this worse and did not?"),
    )
    return [
        Section("Summary", (Bullets(tuple(_summary(run))),)),
        Section("Impact", (Bullets(tuple(_impact(run, status, account))),)),
        Section("Trigger", (Bullets(tuple(_trigger_lines(run))),)),
        Section("Detection, decision, restoration", (_spent(account),)),
        *([sections.rollback(status, account)] if account else []),
        Section("Evidence", (Bullets(tuple(evidence)),)),
        Section("People", (sections.people(status), *_contacts(run))),
        *(Section(title, (Bullets((f"{_TODO}: {ask}",)),)) for title, ask in todo),
        Section("Actions", (_action_table(run),)),
        Section("Not checked by this version of slipway", (Bullets(tuple(run.unchecked)),)),
        Section("Timeline (UTC)", (sections.timeline(status),)),
    ]


def _staged(run: Run) -> tuple[str, ...]:
    marks = [f"Evidence: {mark}." for mark in run.release.marks]
    if run.plan.time_scale != 1:
        marks.append(f"All lengths were divided by {run.plan.time_scale:g}.")
    return (" ".join(marks),) if marks else ()


def _times(status: StatusDocument, account: RollbackAccount | None) -> dict[str, Any]:
    last = status.timeline[-1].at if status.timeline else status.started_at
    moments = account.moments if account else Moments(decided_at=last, ended_at=last)
    return {
        "culprit_began_at": _text(moments.culprit_at),
        "noticed_at": _text(moments.noticed_at),
        "rollback_began_at": utc_text(moments.decided_at),
        "restored_at": _text(moments.restored_at),
        "ended_at": utc_text(moments.ended_at),
        "seconds_to_detect": moments.to_detect,
        "seconds_to_decide": moments.to_decide,
        "seconds_to_restore": moments.to_restore,
        "seconds_to_undo": account.seconds if account else 0.0,
        "seconds_affected": moments.affected if moments.culprit_at else None,
        "seconds_without_writes": status.write_outage,
    }


def _text(at: datetime | None) -> str | None:
    return utc_text(at) if at else None


def _trigger(run: Run) -> dict[str, Any]:
    if run.verdict is None:
        return {"reason": "unknown", "because": "No verdict was recorded.", "service": None}
    return run.verdict.model_dump(mode="json")


def _services(run: Run) -> list[dict[str, str]]:
    touched = {one.step.removeprefix("rollout:") for one in run.undo}
    return [
        {
            "name": one.name,
            "state": one.state.value,
            "image_before": one.image_before,
            "image_tried": one.image_after if one.name in touched else "",
            "verdict": one.verdict,
        }
        for one in run.services
    ]


def _people(run: Run, status: StatusDocument) -> dict[str, Any]:
    return {
        "requester": run.requester,
        "approvals": [one.model_dump(mode="json") for one in run.approvals],
        "confirmations": [one.model_dump(mode="json") for one in run.confirmations],
        "parts": [one.model_dump(mode="json") for one in people_of(status)],
        "contacts": run.plan.contacts.model_dump(mode="json"),
        "claims": "Names and roles are claims; they are not proved by signatures.",
    }


def _evidence(run: Run) -> list[dict[str, str]]:
    kept = [one for line in run.checklist for one in line.artefacts]
    return [{"name": one.name, "key": one.key, "sha256": one.sha256} for one in kept]


def _actions(run: Run) -> list[dict[str, str]]:
    contacts = run.plan.contacts
    actions = [{"action": _UPDATE_PROCEDURE, "owner": contacts.vp_engineering.name}]
    cause = f"Find and fix the cause: {_because(run)}"
    actions.append({"action": cause[:500], "owner": run.requester})
    if run.database is not None and run.database.changed:
        inspect = f"Inspect the database kept as {run.database.kept_as or 'unknown'}"
        if run.database.lost_rows:
            inspect += f" and bring back {run.database.lost_rows} lost rows where they matter"
        actions.append({"action": inspect, "owner": contacts.database_admin.name})
    for step in status_of(run).undo:
        if not step.is_back:
            todo = f"Put back {step.step} with: slipway rollback {run.id}; or {step.by_hand}"
            actions.append({"action": todo, "owner": contacts.on_call.name})
    return actions


def _because(run: Run) -> str:
    return run.verdict.because if run.verdict else "not recorded"


def _summary(run: Run) -> list[str | tuple[str | Code, ...]]:
    return [
        ("Deployment: ", Code(run.id)),
        f"Release: {run.release.version}, {run.release.summary}",
        f"Cause as measured: {_because(run)}",
        f"{_TODO}: one sentence for people outside the team.",
    ]


def _impact(run: Run, status: StatusDocument, account: RollbackAccount | None) -> list[str]:
    touched = [one.name for one in run.services if any(one.name in u.step for u in run.undo)]
    lines = [f"{len(touched)} of {len(run.services)} services had been touched"]
    if touched:
        lines[0] += f": {', '.join(touched)}"
    if run.migrations:
        tags = ", ".join(f"{one.tag} ({one.state.value})" for one in run.migrations)
        lines.append(f"Migrations: {tags}")
    if account is not None:
        lines += say_moments(status, account)[1:]
        lines.append(f"Rows lost: {account.lost_rows}")
    return [*lines, f"{_TODO}: who noticed, how many users, for how long?"]


def _trigger_lines(run: Run) -> list[str]:
    verdict = run.verdict
    if verdict is None:
        return ["No verdict was recorded."]
    return [
        f"Verdict: {verdict.kind.value}, {verdict.reason.value} ({verdict.signal.value})",
        f"Service: {verdict.service or 'none in particular'}",
        f"Sentence: {verdict.because}",
        *[f"{name}: {value:g}" for name, value in sorted(verdict.numbers.items())],
    ]


def _spent(account: RollbackAccount | None) -> Block:
    if account is None:
        return Paragraph("No rollback began.")
    moments = account.moments
    rows = (
        ("To detect", "what was at fault began", "it was judged", moments.to_detect),
        ("To decide", "it was judged", "the rollback began", moments.to_decide),
        ("To restore", "the rollback began", "the last step was put back", moments.to_restore),
        ("To verify", "the last step was put back", "the rollback ended", _to_verify(account)),
        ("Without writes", "the database was closed", "it was open", account.write_outage),
    )
    return Table(
        ("Time", "From when", "Until", "Took"),
        tuple((*words, "-" if spent is None else say_spent(spent)) for *words, spent in rows),
    )


def _to_verify(account: RollbackAccount) -> float | None:
    """None as long as nothing was recorded after the last step."""
    restored, ended = account.moments.restored_at, account.moments.ended_at
    return (ended - restored).total_seconds() if restored and ended > restored else None


def _contacts(run: Run) -> tuple[Block, ...]:
    contacts = run.plan.contacts
    lines = [
        f"{title}: {one.name}, {one.reach}"
        for title, one in (
            ("On call", contacts.on_call),
            ("VP Engineering", contacts.vp_engineering),
            ("CTO", contacts.cto),
            ("Database admin", contacts.database_admin),
        )
    ]
    open_items = [line.title for line in run.checklist if line.state is ItemState.OPEN]
    if open_items:
        lines.append(f"Checklist lines still open: {', '.join(open_items)}")
    return (Bullets(tuple(lines)),)


def _action_table(run: Run) -> Table:
    rows = [(one["action"], one["owner"], f"{_TODO}: date") for one in _actions(run)]
    return Table(("Action", "Owner", "Until"), tuple(rows))
