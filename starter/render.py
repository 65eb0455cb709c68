"""How a deployment looks in a terminal: plain lines, made from the status document alone."""

import re
from datetime import datetime

from slipway.base import say_length, utc_text
from slipway.checklist import mark_of, tally
from slipway.markdown import say_age, say_size, short
from slipway.run import Event, Wait
from slipway.states import ENDINGS, Outcome, ServiceState
from slipway.status import ServiceStatus, StatusDocument

_WIDEST = 300
_DIGEST = re.compile(r"(sha256:[0-9a-f]{12})[0-9a-f]{52}")
_SIGNS = {
    ServiceState.WAITING: "·",
    ServiceState.CAPTURED: "·",
    ServiceState.ROLLING_OUT: "…",
    ServiceState.SETTLING: "…",
    ServiceState.WATCHING: "…",
    ServiceState.DEPLOYED: "✔",
    ServiceState.REVERTING: "…",
    ServiceState.REVERTED: "↩",
    ServiceState.REVERT_FAILED: "✘",
}


def printable(text: object) -> str:
    """Return a text as one line without control characters, so that it cannot steer a terminal."""
    return "".join(one if one.isprintable() else " " for one in str(text))


def clean(text: object) -> str:
    """Return a printable line, cut to what a person reads."""
    return _cut(printable(text))


def brief(text: object) -> str:
    """Return a clean line in which digests are cut to what people compare."""
    return _cut(_DIGEST.sub(r"\1", printable(text)))


def _cut(line: str) -> str:
    return line if len(line) <= _WIDEST else line[: _WIDEST - 1] + "…"


def frame(status: StatusDocument, now: datetime, *, events: int = 5) -> list[str]:
    """Return the live view: head, countdown, services, waits, the last lines of the timeline."""
    lines = [head(status), now_line(status, now), *trouble_lines(status), ""]
    lines += [service_line(one) for one in status.services]
    for wait in status.waiting_for:
        lines += ["", *wait_lines(wait, now)]
    if status.timeline and events:
        lines += ["", *[event_line(one) for one in status.timeline[-events:]]]
    return [brief(line) for line in lines]


def full(status: StatusDocument, now: datetime) -> list[str]:
    """Return everything `status` shows of a deployment."""
    lines = frame(status, now, events=0)
    lines += _facts(status)
    if status.undo:
        lines += ["", "Undo, newest first:"]
        lines += [f"  {one.state.value:<8} {one.step} {one.because}" for one in status.undo[::-1]]
    lines += ["", f"Checklist: {tally(status.checklist)}", *checklist(status, now)]
    if status.timeline:
        lines += ["", "Timeline:", *[f"  {event_line(one)}" for one in status.timeline[-12:]]]
    return [clean(line) for line in lines]


def head(status: StatusDocument) -> str:
    """Return who, what, where and how it stands."""
    notes = [one.kind.value for one in status.trouble if one.kind in ENDINGS]
    notes += [f"abort {status.abort.value}"] if status.abort.value != "none" else []
    notes += [f"paused by {status.paused_by}"] if status.paused_by else []
    notes += list(status.marks)
    notes += [f"time x{status.time_scale:g}"] if status.time_scale != 1 else []
    notes += [f"overlay of {len(status.overlay)}"] if status.overlay else []
    return (
        f"{status.id}  {status.release} to {status.environment}  "
        f"{status.phase.value}, {status.outcome.value}{''.join(f'  [{one}]' for one in notes)}"
    )


def now_line(status: StatusDocument, now: datetime) -> str:
    """Return what happens now, with the seconds left of a wait."""
    current = status.current
    left = ""
    if current.until is not None and status.outcome is Outcome.RUNNING:
        left = f" ({countdown(current.until, now)})"
    step = f"{current.step}: " if current.step else ""
    progress = f" [{current.progress}]" if current.progress else ""
    return f"{step}{current.reason or 'nothing yet'}{left}{progress}"


def trouble_lines(status: StatusDocument) -> list[str]:
    """Return what only the Temporal server knows, and the command that helps."""
    lines = []
    for one in status.trouble[:4]:
        because = f" {one.because}" if one.because else ""
        lines.append(f"Trouble: {one.what}{because}")
        lines.append(f"  next:    {one.command or one.next}")
    return lines


def countdown(until: datetime, now: datetime) -> str:
    """Return how long is left of a wait, or by how much it is over."""
    seconds = round((until - now).total_seconds())
    return f"{say_length(float(seconds))} left" if seconds > 0 else "any moment now"


def service_line(one: ServiceStatus) -> str:
    """Return one service: sign, name, state, verdict."""
    noted = f"  ! {'; '.join(one.notes)}" if one.notes else ""
    return f"  {_SIGNS[one.state]} {one.name:<20} {one.state.value:<13} {one.verdict}{noted}"


def wait_lines(wait: Wait, now: datetime) -> list[str]:
    """Return what is waited for, whom, until when, and the command to answer."""
    until = ""
    if wait.until is not None:
        until = f", {countdown(wait.until, now)}, then {wait.default or 'it goes on'}"
    who = f" of {', '.join(wait.who)}" if wait.who else ""
    lines = [f"Waits for {wait.what}{who}{until}"]
    if wait.choices:
        lines.append(f"  choices: {', '.join(choice.value for choice in wait.choices)}")
    if wait.command:
        lines.append(f"  answer:  {wait.command}")
    return lines


def event_line(event: Event) -> str:
    """Return one line of the timeline."""
    by = f" ({event.by})" if event.by else ""
    return f"{utc_text(event.at)[11:]} {event.phase.value:<10} {event.text}{by}"


def checklist(status: StatusDocument, now: datetime) -> list[str]:
    """Return the checklist with artefact, digest and age."""
    lines = []
    for line in status.checklist:
        age = f", {say_age((now - line.at).total_seconds())} old" if line.at else ""
        kept = ", ".join(f"{_file(one.key)} {short(one.sha256)}" for one in line.evidence)
        shown = f"  {kept}{age}" if kept else ""
        by = f"  by {line.by}" if line.by else ""
        note = f"  {line.note}" if line.note else ""
        lines.append(f"  [{mark_of(line)}] {line.title}{by}{shown}{note}")
    return lines


def _file(key: str) -> str:
    return key.rpartition("/")[2]


def _facts(status: StatusDocument) -> list[str]:
    lines = [""]
    if status.digest:
        lines.append(f"Digest to approve: {status.digest}")
    if status.backup is not None:
        backup = status.backup
        proved = "restored and equal" if backup.restored_ok else "NOT proved to restore"
        lines.append(
            f"Backup: {backup.key}, {say_size(backup.size)}, {backup.rows} rows, "
            f"taken {utc_text(backup.taken_at)}, {proved}"
        )
    if status.migrations:
        tags = ", ".join(f"{one.tag} ({one.state.value})" for one in status.migrations)
        lines.append(f"Migrations: {tags}")
    if status.lost_writes is not None:
        lines.append(f"Lost writes: {sum(status.lost_writes.values())} rows")
    if status.conflict_file:
        count = status.conflicts + status.aside
        lines.append(f"Did not fit the old schema: {count} rows, {status.conflict_file}")
    if status.verdict is not None:
        lines.append(f"Verdict: {status.verdict.kind.value}: {status.verdict.because}")
    if status.overlay:
        changed = ", ".join(f"{key}={value}" for key, value in sorted(status.overlay.items()))
        lines.append(f"Overlay: {changed}")
    return lines if len(lines) > 1 else []
