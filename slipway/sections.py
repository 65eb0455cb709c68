"""The parts that reports and post-mortems are made of, each from the status document alone."""

from collections.abc import Iterable

from slipway.account import RollbackAccount, account_of, people_of, say_moments, say_spent
from slipway.base import utc_text
from slipway.checklist import mark_of
from slipway.course import Course, Stretch, course_of
from slipway.markdown import say_age, say_size, short
from slipway.messages.aftercare import AftercareState
from slipway.page import (
    Bar,
    Bars,
    Block,
    Bullets,
    Check,
    Checks,
    Code,
    Heading,
    Paragraph,
    Section,
    Table,
    Text,
)
from slipway.states import Outcome, Phase
from slipway.status import ChecklistLine, StatusDocument, UndoStatus

_WAITS = {Phase.APPROVAL.value, Phase.GO.value}
_MOST_TROUBLE = 20


def checklist(status: StatusDocument) -> tuple[Block, ...]:
    """Return the playbook's final checklist, with the folder that its artefacts are kept in."""
    folder = _folder(status)
    checks = Checks(tuple(_check(one, folder) for one in status.checklist))
    return (checks, Paragraph(("Artefacts are kept below ", Code(folder)))) if folder else (checks,)


def _folder(status: StatusDocument) -> str:
    keys = [one.key for line in status.checklist for one in line.evidence]
    folders = [key.rpartition("/")[0] + "/" for key in keys if "/artefacts/" in key]
    return folders[0] if folders else ""


def _check(line: ChecklistLine, folder: str) -> Check:
    return Check(
        mark=mark_of(line),
        title=line.title,
        by=line.by,
        proofs=tuple(
            (one.key.removeprefix(folder) or one.key, short(one.sha256)) for one in line.evidence
        ),
        age=say_age(line.age) if line.age is not None else "",
        note=line.note,
    )


def services(status: StatusDocument) -> Table:
    """Return every service with its images and what was judged of it."""
    rows = [
        (
            one.name,
            one.state.value,
            _image(one.image_before),
            _image(one.image_after),
            " ".join([one.verdict or "-", *one.notes]),
        )
        for one in status.services
    ]
    head = ("Service", "State", "Digest before", "Digest of the release", "Verdict")
    return Table(head, tuple(rows))


def _image(image: str) -> Text:
    return Code(short(image.rpartition("@")[2])) if image else "-"


def course(status: StatusDocument) -> Block:
    """Return phases, services and undo steps as bars over time."""
    run = course_of(status)
    length = (run.ended - run.began).total_seconds()
    if length <= 0 or not run.stretches:
        return Paragraph("Nothing has taken any time yet.")
    account = account_of(status)
    decided = account.moments.decided_at if account else None
    return Bars(
        begin=run.began,
        length=length,
        rows=tuple(_bar(run, one) for one in run.stretches),
        mark=(decided - run.began).total_seconds() if decided else None,
    )


def _bar(run: Course, one: Stretch) -> Bar:
    what = one.what.removeprefix("rollout:")
    labels = {
        "phase": one.what.replace("_", " "),
        "rollout": f"service {what}",
        "undo": f"put back {what}",
    }
    waits = one.kind == "phase" and one.what in _WAITS
    undoes = one.kind == "undo" or one.what == Phase.ROLL_BACK.value
    return Bar(
        label=labels[one.kind],
        began=utc_text(one.began)[11:],
        took=say_spent(one.seconds),
        start=(one.began - run.began).total_seconds(),
        end=(one.ended - run.began).total_seconds(),
        kind="wait" if waits else "undo" if undoes else "work",
    )


def backup(status: StatusDocument) -> Block:
    """Return the backup that the run relies on."""
    taken = status.backup
    if taken is None:
        return Paragraph("No backup was taken.")
    proved = "restored and equal" if taken.restored_ok else "NOT proved to restore"
    return Bullets(
        (
            ("Dump: ", Code(taken.key)),
            ("SHA-256: ", Code(taken.sha256)),
            f"Snapshot {utc_text(taken.taken_at)}, {say_size(taken.size)}, {taken.rows} rows, "
            f"{proved}",
            ("Restored copy: ", Code(taken.side_database)) if taken.side_database else "No copy",
            *(["It follows production: a rollback loses no later write"] if taken.follows else []),
            *(f"Does not follow: {one}" for one in taken.not_followed),
            *(["Encrypted after it was proved"] if taken.encrypted else []),
            *(f"Not covered: {one}" for one in taken.not_covered),
        )
    )


def migrations(status: StatusDocument) -> tuple[Block, ...]:
    """Return every pending migration of this run, and what their rehearsal saw."""
    rows = [(one.tag, Code(short(one.hash)), one.state.value) for one in status.migrations]
    table = Table(("Migration", "SHA-256", "State"), tuple(rows))
    if not status.rehearsal:
        return (table,)
    return table, Heading("Rehearsed on the restored backup"), Bullets(tuple(status.rehearsal))


def people(status: StatusDocument) -> Table:
    """Return who did what, and what they said."""
    rows = [(one.person, one.did, utc_text(one.at), one.said or "-") for one in people_of(status)]
    return Table(("Who", "What", "When", "In their words"), tuple(rows))


def rollback(status: StatusDocument, account: RollbackAccount) -> Section:
    """Return what was undone, what was not, what was lost, how long it took, how it was checked."""
    verdict = status.verdict
    why = [Paragraph(f"Why: {verdict.reason.value}. {verdict.because}")] if verdict else []
    documents = (
        (
            Heading("Written down"),
            Bullets(tuple(Code(one) for one in account.documents)),
        )
        if account.documents
        else ()
    )
    blocks: tuple[Block, ...] = (
        *why,
        Heading("What was undone, newest change first"),
        undo_table(account.undone),
        Heading("What was NOT undone"),
        *_not_undone(status, account.not_undone),
        Heading("What was lost"),
        *lost(status),
        *conflicts(status),
        Heading("How long, and how it was verified"),
        Bullets((*say_moments(status, account), f"Verified: {account.verified}")),
        *documents,
    )
    return Section("Rollback", blocks)


def _not_undone(status: StatusDocument, steps: list[UndoStatus]) -> list[Block]:
    if not steps:
        return [Paragraph("Nothing is left to undo.")]
    lines: list[Text] = []
    if status.outcome is not Outcome.RUNNING and not all(one.left for one in steps):
        lines.append(("All of it, with slipway: ", Code(f"slipway rollback {status.id}")))
    for one in steps:
        state = "left" if one.left else one.state.value
        found = f"{one.step} ({state}): {one.because or 'not reached'}"
        hand: tuple[str | Code, ...] = (" By hand: ", Code(one.by_hand)) if one.by_hand else ()
        lines.append((found, *hand))
    return [Bullets(tuple(lines))]


def undo_table(steps: Iterable[UndoStatus]) -> Table:
    """Return undo steps as a table."""
    rows = [(one.step, one.state.value, one.because or "-") for one in steps]
    return Table(("Step", "State", "What was found"), tuple(rows))


def lost(status: StatusDocument) -> list[Block]:
    """Return what a rollback of the database has lost, and where it can be read."""
    if status.lost_writes is None:
        return [Paragraph("Nothing: the database was not restored.")]
    kept = (
        ("The database that was swapped out is kept as ", Code(status.kept_database), ".")
        if status.kept_database
        else ()
    )
    if status.lossless:
        return [Paragraph(("Nothing: the copy that was swapped in had every later write. ", *kept))]
    rows = [(name, f"{rows:,}") for name, rows in sorted(status.lost_writes.items()) if rows]
    if not rows:
        return [Paragraph(("No row written after the backup is missing. ", *kept))]
    total = sum(status.lost_writes.values())
    if status.lost_file:
        kept = (*kept, " Each row stands in ", Code(status.lost_file), ".")
    return [
        Paragraph((f"{total:,} rows written after the backup. ", *kept)),
        Table(("Table", "Rows lost"), tuple(rows)),
    ]


def conflicts(status: StatusDocument) -> list[Block]:
    """Return where the rows are that the old schema could not take."""
    if not status.conflict_file:
        return []
    text = (
        f"{status.conflicts:,} rows did not fit the old schema as they were written, "
        f"{status.aside:,} have values in added columns or tables. Each stands, whole, in "
    )
    return [Paragraph((text, Code(status.conflict_file), ", and in the database that is kept."))]


def aftercare(seen: AftercareState) -> Section:
    """Return what aftercare has seen so far: its trouble, its last look, what people owe."""
    bad = [one for one in seen.looks if not one.healthy]
    lines = [f"Phase: {seen.phase}", f"{len(seen.looks)} looks, {len(bad)} of them found trouble"]
    if seen.superseded_by:
        lines.append(f"Ended early: superseded by {seen.superseded_by}")
    lines += [f"{item}: {state}" for item, state in seen.items.items()]
    shown = bad[-_MOST_TROUBLE:] + [one for one in seen.looks[-1:] if one.healthy]
    rows = [
        (utc_text(one.at), one.kind, "well" if one.healthy else "trouble", one.because)
        for one in shown
    ]
    table = (Table(("When", "Look", "Found", "What"), tuple(rows)),) if rows else ()
    return Section("Aftercare", (Bullets(tuple(lines)), *table))


def timeline(status: StatusDocument) -> Table:
    """Return everything that happened, in order."""
    rows = [(utc_text(one.at), one.phase.value, one.text, one.by or "-") for one in status.timeline]
    return Table(("When", "Phase", "What", "By"), tuple(rows))
