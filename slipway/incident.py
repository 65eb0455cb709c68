"""What is written down after a rollback: the incident record and the draft of its post-mortem."""

from datetime import datetime
from typing import Any

from slipway.base import say_length, utc_text
from slipway.markdown import bullets, cell, short, table
from slipway.messages.record import RestoreService
from slipway.run import Run
from slipway.states import ItemState, Outcome, Phase, UndoState

_UPDATE_PROCEDURE = "Update the deployment procedure so that this is found earlier or cannot happen"


def incident_record(run: Run) -> dict[str, Any]:
    """Return the incident as data that fits into JSON: what went wrong, what was undone, by whom.

    Times are UTC texts, lengths are seconds.
    """
    began, ended = _trigger_at(run), _ended_at(run)
    return {
        "deployment": run.id,
        "environment": run.plan.environment,
        "release": run.release.version,
        "outcome": run.outcome.value,
        "started_at": utc_text(run.started_at),
        "rollback_began_at": utc_text(began),
        "ended_at": utc_text(ended),
        "seconds_to_undo": (ended - began).total_seconds(),
        "trigger": _trigger(run),
        "services": _services(run),
        "migrations": [one.model_dump(mode="json") for one in run.migrations],
        "database": run.database.model_dump(mode="json") if run.database else None,
        "lost_rows": run.database.lost_rows if run.database else 0,
        "undo": [
            {"step": one.step, "state": one.state.value, "because": one.because} for one in run.undo
        ],
        "people": _people(run),
        "evidence": _evidence(run),
        "timeline": [one.model_dump(mode="json") for one in run.timeline],
        "not_checked": list(run.unchecked),
        "actions": _actions(run),
        "marks": list(run.release.marks),
        "time_scale": run.plan.time_scale,
    }


def post_mortem(run: Run) -> str:
    """Return the post-mortem's draft in Markdown; what people must fill in is marked `TODO`."""
    sections: list[tuple[str, list[str]]] = [
        ("Summary", _summary(run)),
        ("Impact", _impact(run)),
        ("Timeline (UTC)", _timeline(run)),
        ("Trigger", _trigger_lines(run)),
        ("Evidence", bullets(f"{one['key']} (SHA-256 {one['sha256']})" for one in _evidence(run))),
        ("What was undone", _undone(run)),
        ("Lost writes", _lost(run)),
        ("People", _people_lines(run)),
        ("What went well", ["- TODO: what was noticed quickly, what protected the users?"]),
        ("What went badly", ["- TODO: what came late, what was missing, what surprised?"]),
        ("Where we were lucky", ["- TODO: what could have made this worse and did not?"]),
        ("Actions", _action_lines(run)),
        ("Not checked by this version of slipway", bullets(run.unchecked)),
    ]
    lines = [f"# Post-mortem (draft): {cell(run.release.version)} in {run.plan.environment}", ""]
    if run.release.marks or run.plan.time_scale != 1:
        lines += [f"*{_staged(run)}*", ""]
    for title, body in sections:
        lines += [f"## {title}", "", *body, ""]
    return "\n".join(lines)


def _staged(run: Run) -> str:
    marks = [f"Evidence: {mark}." for mark in run.release.marks]
    if run.plan.time_scale != 1:
        marks.append(f"All lengths were divided by {run.plan.time_scale:g}.")
    return " ".join(marks)


def _trigger_at(run: Run) -> datetime:
    """When the rollback began: its first line of the timeline."""
    first = next((one.at for one in run.timeline if one.phase is Phase.ROLL_BACK), None)
    return first or _ended_at(run)


def _ended_at(run: Run) -> datetime:
    return run.timeline[-1].at if run.timeline else run.started_at


def _trigger(run: Run) -> dict[str, Any]:
    if run.verdict is None:
        return {"reason": "unknown", "because": "No verdict was recorded.", "service": None}
    return run.verdict.model_dump(mode="json")


def _services(run: Run) -> list[dict[str, str]]:
    return [
        {
            "name": one.name,
            "state": one.state.value,
            "image_before": one.image_before,
            "image_tried": one.image_after if one.name in _touched(run) else "",
            "verdict": one.verdict,
        }
        for one in run.services
    ]


def _touched(run: Run) -> list[str]:
    return [one.undo.service for one in run.undo if isinstance(one.undo, RestoreService)]


def _people(run: Run) -> dict[str, Any]:
    contacts = run.plan.contacts
    return {
        "requester": run.requester,
        "approvals": [one.model_dump(mode="json") for one in run.approvals],
        "confirmations": [one.model_dump(mode="json") for one in run.confirmations],
        "contacts": contacts.model_dump(mode="json"),
        "claims": "Names and roles are claims; they are not proved by signatures.",
    }


def _evidence(run: Run) -> list[dict[str, Any]]:
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
    for step in run.undo:
        if step.state is not UndoState.DONE:
            todo = f"Put back {step.step} by hand or with: slipway rollback {run.id}"
            actions.append({"action": todo, "owner": contacts.on_call.name})
    return actions


def _because(run: Run) -> str:
    return run.verdict.because if run.verdict else "not recorded"


def _summary(run: Run) -> list[str]:
    ended = {
        Outcome.ROLLED_BACK: "was rolled back completely",
        Outcome.ROLLBACK_INCOMPLETE: "could NOT be rolled back completely",
    }.get(run.outcome, f"ended as {run.outcome.value}")
    spent = (_ended_at(run) - _trigger_at(run)).total_seconds()
    return [
        f"{cell(run.release.version)} ({cell(run.release.summary)}) {ended} in "
        f"{run.plan.environment}, {say_length(max(spent, 0.0))} after the decision. "
        f"Deployment: `{run.id}`. Cause as measured: {cell(_because(run))}",
        "",
        "TODO: one sentence for people outside the team.",
    ]


def _impact(run: Run) -> list[str]:
    touched, total = _touched(run), len(run.services)
    lines = [f"- {len(touched)} of {total} services had been touched: {', '.join(touched) or '-'}"]
    if run.migrations:
        tags = ", ".join(f"{one.tag} ({one.state.value})" for one in run.migrations)
        lines.append(f"- Migrations: {cell(tags)}")
    if run.database is not None and run.database.changed:
        lines.append(
            f"- Writes were refused for {run.database.outage:.1f} s while the database was put "
            f"back; {run.database.lost_rows} rows written after the backup were lost."
        )
    return [*lines, "- TODO: who noticed, how many users, for how long?"]


def _timeline(run: Run) -> list[str]:
    rows = [(utc_text(one.at), one.phase.value, one.text, one.by or "-") for one in run.timeline]
    return table(("When", "Phase", "What", "By"), rows)


def _trigger_lines(run: Run) -> list[str]:
    verdict = run.verdict
    if verdict is None:
        return ["No verdict was recorded."]
    return [
        f"- Verdict: {verdict.kind.value}, {verdict.reason.value} ({verdict.signal.value})",
        f"- Service: {verdict.service or 'none in particular'}",
        f"- Sentence: {cell(verdict.because)}",
        *[f"- {cell(name)}: {value:g}" for name, value in sorted(verdict.numbers.items())],
    ]


def _undone(run: Run) -> list[str]:
    rows = [(one.step, one.state.value, one.because or "-") for one in reversed(run.undo)]
    return table(("Step", "State", "What was found"), rows)


def _lost(run: Run) -> list[str]:
    if run.database is None:
        return ["The database was not touched by the rollback."]
    if not run.database.changed:
        return [f"None: {cell(run.database.because)}"]
    rows = [(one.table, one.rows) for one in run.database.lost if one.rows]
    kept = f"The database that was swapped out is kept as `{run.database.kept_as or 'unknown'}`."
    if not rows:
        return ["No row written after the backup is missing.", "", kept]
    return [*table(("Table", "Rows lost"), rows), "", kept]


def _people_lines(run: Run) -> list[str]:
    lines = [f"Asked for the release: {run.requester}"]
    lines += [
        f"{'Approved' if one.decision == 'approve' else 'Rejected'}: {one.person} ({one.role}), "
        f"digest {short(one.digest)}, {utc_text(one.at)}: {one.reason}"
        for one in run.approvals
    ]
    lines += [f"Confirmed {one.item}: {one.person}: {one.note}" for one in run.confirmations]
    contacts = run.plan.contacts
    lines += [
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
    return bullets(lines)


def _action_lines(run: Run) -> list[str]:
    rows = [(one["action"], one["owner"], "TODO") for one in _actions(run)]
    return table(("Action", "Owner", "Until"), rows)
