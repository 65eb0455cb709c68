"""The status document: what `status --json` prints and the query `status` returns."""

from datetime import datetime
from typing import Any

from slipway.base import Message
from slipway.by_hand import by_hand
from slipway.judgements.rehearsal import summary
from slipway.messages.controls import Reply
from slipway.messages.record import Artefact
from slipway.run import Approval, Confirmation, Event, Run, UndoStep, Wait
from slipway.states import (
    AbortState,
    ItemState,
    MigrationState,
    Outcome,
    Phase,
    ServiceState,
    UndoState,
)
from slipway.trouble import Trouble
from slipway.verdicts import Verdict

"""How the reason begins where a rollback was told to leave the database alone."""


class Current(Message):
    """What happens now and, for a wait, until when."""

    step: str
    reason: str
    until: datetime | None = None
    progress: str = ""
    """How far a long piece of work has come, by its worker's last heartbeat; only Temporal knows
    it, so that a stored document has none."""


class ServiceStatus(Message):
    """One service."""

    name: str
    state: ServiceState
    image_before: str
    image_after: str
    verdict: str
    notes: list[str] = []


class BackupStatus(Message):
    """The backup this run relies on."""

    key: str
    sha256: str
    taken_at: datetime
    restored_ok: bool
    rows: int = 0
    size: int = 0
    side_database: str = ""
    follows: bool = False
    """The side database follows production, so that a rollback loses no later write."""
    not_followed: list[str] = []
    """Sentences: what of the database does not follow, or why nothing does."""
    not_covered: list[str] = []
    """What the proof does not speak for, a phrase each."""
    encrypted: bool = False


class MigrationStatus(Message):
    """One pending migration."""

    tag: str
    hash: str
    state: MigrationState


class ChecklistLine(Message):
    """One line of the final checklist. `age` is filled in by whoever shows it, in seconds."""

    item: str
    title: str
    state: ItemState
    by: str
    evidence: list[Artefact]
    at: datetime | None = None
    age: float | None = None
    note: str = ""


class UndoStatus(Message):
    """One recorded undo."""

    step: str
    state: UndoState
    because: str = ""
    by_hand: str = ""
    """How a person does it where slipway cannot."""
    left: bool = False
    """Whether things are left as they are: by the plan, by request or by a person."""

    @property
    def is_back(self) -> bool:
        """Whether everything is as it was before this change."""
        return self.state is UndoState.DONE

    @property
    def of_database(self) -> bool:
        """Whether the change was to the database, not to a service."""
        return not self.step.startswith("rollout:")


class StatusDocument(Message):
    """A deployment as it stands."""

    id: str
    workflow_id: str
    environment: str
    release: str
    requester: str
    started_at: datetime
    phase: Phase
    outcome: Outcome
    current: Current
    waiting_for: list[Wait]
    abort: AbortState
    paused_by: str = ""
    digest: str = ""
    verdict: Verdict | None = None
    services: list[ServiceStatus]
    backup: BackupStatus | None = None
    migrations: list[MigrationStatus]
    rehearsal: list[str] = []
    """What the rehearsal of the pending migrations saw, in sentences; empty without one."""
    lost_writes: dict[str, int] | None = None
    """Rows lost by a database rollback, table by table; null when nothing was restored."""
    followed: bool = False
    """The database was put back to its old schema with every later write."""
    conflicts: int = 0
    """Rows that the old schema could not take, or took altered, when later writes were kept."""
    aside: int = 0
    """Rows with values for which the old schema has no place; in the same file."""
    lost_file: str = ""
    """The object that holds the rows of `lost_writes`, and rows that differ in content."""
    conflict_file: str = ""
    """The object in the plan's bucket that holds them, row by row."""
    lost_sha256: str = ""
    conflict_sha256: str = ""
    """Digests of the two, by which `slipway backups reapply` knows them again."""
    kept_database: str = ""
    """Where the database that a rollback swapped out is kept for inspection."""
    write_outage: float | None = None
    """Seconds without writes while the database was put back; null when it was not."""
    checklist: list[ChecklistLine]
    approvals: list[Approval] = []
    confirmations: list[Confirmation] = []
    undo: list[UndoStatus]
    timeline: list[Event]
    replies: list[Reply] = []
    unchecked: list[str] = []
    overlay: dict[str, Any] = {}
    time_scale: float = 1.0
    aftercare: str = ""
    marks: list[str] = []
    """`demo` when the release's evidence was made for a demonstration."""
    trouble: list[Trouble] = []
    """What only the Temporal server knows; filled in by whoever asks the server as well."""

    @property
    def lossless(self) -> bool:
        """Whether the database was put back and no later write is missing in it."""
        return self.followed and not sum((self.lost_writes or {}).values())


def status_of(run: Run) -> StatusDocument:
    """Return the status document of a run."""
    return StatusDocument(
        id=run.id,
        workflow_id=run.workflow_id,
        environment=run.plan.environment,
        release=run.release.version,
        requester=run.requester,
        started_at=run.started_at,
        phase=run.phase,
        outcome=run.outcome,
        current=Current(step=run.step, reason=run.reason, until=run.until),
        waiting_for=run.waiting_for,
        abort=run.abort,
        paused_by=run.paused_by,
        digest=run.digest,
        verdict=run.verdict,
        services=_services(run),
        backup=_backup(run),
        migrations=[
            MigrationStatus(tag=one.tag, hash=one.hash, state=one.state) for one in run.migrations
        ],
        rehearsal=summary(run.rehearsal) if run.rehearsal else [],
        lost_writes=_lost(run),
        followed=run.database is not None and run.database.followed,
        conflicts=run.database.conflicts if run.database else 0,
        aside=run.database.aside if run.database else 0,
        lost_file=run.database.lost_key if run.database else "",
        conflict_file=run.database.conflicts_key if run.database else "",
        lost_sha256=run.database.lost_sha256 if run.database else "",
        conflict_sha256=run.database.conflicts_sha256 if run.database else "",
        kept_database=run.database.kept_as if run.database else "",
        write_outage=run.database.outage if run.database and run.database.changed else None,
        checklist=_checklist(run),
        approvals=run.approvals,
        confirmations=run.confirmations,
        undo=[_undo(run, one) for one in run.undo],
        timeline=run.timeline,
        replies=run.replies[-20:],
        unchecked=run.unchecked,
        overlay=run.plan.overlay,
        time_scale=run.plan.time_scale,
        aftercare=run.aftercare,
        marks=list(run.release.marks),
    )


def _services(run: Run) -> list[ServiceStatus]:
    return [
        ServiceStatus(
            name=one.name,
            state=one.state,
            image_before=one.image_before,
            image_after=one.image_after,
            verdict=one.verdict,
            notes=one.notes,
        )
        for one in run.services
    ]


def _backup(run: Run) -> BackupStatus | None:
    if run.backup is None:
        return None
    fallback, why = run.backup.fallback, run.backup.no_fallback
    return BackupStatus(
        key=run.backup.key,
        sha256=run.backup.sha256,
        taken_at=run.backup.taken_at,
        restored_ok=run.backup.restored_ok,
        rows=run.backup.rows,
        size=run.backup.size,
        side_database=run.backup.side_database,
        follows=fallback is not None,
        not_followed=fallback.not_carried if fallback else list(filter(None, [why])),
        not_covered=run.backup.not_covered,
        encrypted=run.backup.encrypted,
    )


def _undo(run: Run, one: UndoStep) -> UndoStatus:
    return UndoStatus(
        step=one.step,
        state=one.state,
        because=one.because,
        by_hand=by_hand(run.plan, one.undo),
        left=one.state is UndoState.LEFT,
    )


def _lost(run: Run) -> dict[str, int] | None:
    if run.database is None or not run.database.changed:
        return None
    return {table.table: table.rows for table in run.database.lost}


def _checklist(run: Run) -> list[ChecklistLine]:
    return [
        ChecklistLine(
            item=line.item,
            title=line.title,
            state=line.state,
            by=line.by,
            evidence=line.artefacts,
            at=line.at,
            note=line.note,
        )
        for line in run.checklist
    ]
