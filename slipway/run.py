"""The state of one deployment: one serialisable value, kept by the workflow."""

from datetime import datetime
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict

from slipway.base import Message
from slipway.messages.controls import Reply
from slipway.messages.migration import DatabaseRolledBack
from slipway.messages.preflight import PreflightReport
from slipway.messages.record import Artefact, BackupTaken, Captured, LeaseHeld, Place, Undo
from slipway.messages.rehearsal import Rehearsal
from slipway.messages.watch import TrafficBefore
from slipway.plan import Plan
from slipway.release import Release
from slipway.states import (
    AbortState,
    Choice,
    ItemState,
    MigrationState,
    Outcome,
    Phase,
    ServiceState,
    UndoState,
)
from slipway.verdicts import Verdict


class _State(BaseModel):
    model_config = ConfigDict(extra="ignore", validate_assignment=False)


class Wait(Message):
    """What a run waits for: whom, until when, what happens then, the command to answer."""

    kind: Literal["approval", "acknowledge", "operator", "window", "resume", "timer"]
    who: list[str] = []
    what: str
    until: datetime | None = None
    default: str = ""
    """What happens at the deadline when nobody answers."""
    command: str = ""
    choices: list[Choice] = []
    verdict: Verdict | None = None
    """Of a parked step: what was judged, with its reason and numbers."""


class Event(Message):
    """One line of the timeline."""

    at: datetime
    phase: Phase
    text: str
    by: str = ""


_SERVING = (ServiceState.SETTLING, ServiceState.WATCHING, ServiceState.DEPLOYED)


class ServiceRun(_State):
    """One service in this run."""

    name: str
    state: ServiceState = ServiceState.WAITING
    image_before: str = ""
    image_after: str = ""
    verdict: str = ""
    captured: Captured | None = None
    pod_hash: str = ""
    """Of the ReplicaSet that should be serving now."""
    template: dict[str, Any] = {}
    before: TrafficBefore | None = None
    """Its traffic before the first change; None: not read."""
    notes: list[str] = []
    """What was not proved and accepted by the plan or by a named person."""

    @property
    def replaced(self) -> bool:
        """Whether pods of this run serve. Where the release names the image that ran before, they
        are those from before, with all that happened to them since."""
        before = self.captured.pod_hash if self.captured else ""
        return self.state in _SERVING and self.pod_hash != before


class MigrationRun(_State):
    """One pending migration in this run."""

    tag: str
    hash: str
    state: MigrationState = MigrationState.PENDING


class UndoStep(_State):
    """An undo that was recorded before its change."""

    step: str
    undo: Undo
    state: UndoState = UndoState.READY
    because: str = ""


class CheckItem(_State):
    """A line of the playbook's final checklist."""

    item: str
    title: str
    state: ItemState = ItemState.OPEN
    by: str = ""
    artefacts: list[Artefact] = []
    at: datetime | None = None
    note: str = ""


class Approval(Message):
    """An approval that counts, or a rejection."""

    person: str
    role: str
    digest: str
    reason: str
    at: datetime
    decision: Literal["approve", "reject"] = "approve"
    accepted: list[str] = []
    """Rules about the pending migrations that were accepted by name."""


class Confirmation(Message):
    """A person's confirmation of an item that no program can know."""

    item: str
    person: str
    note: str
    at: datetime


FINAL_CHECKLIST: tuple[tuple[str, str], ...] = (
    ("approval", "Approval received"),
    ("backup", "Backup completed"),
    ("migrations", "Migrations reviewed"),
    ("services", "Services deployed"),
    ("health", "Health checks passed"),
    ("smoke", "Smoke tests passed"),
    ("monitoring", "Monitoring active"),
    ("rollback-plan", "Rollback plan ready"),
    ("team", "Team notified"),
    ("documentation", "Documentation updated"),
)
"""The playbook's last section, line by line."""


class Run(_State):
    """Everything about one deployment."""

    id: str
    workflow_id: str
    plan: Plan
    release: Release
    requester: str
    started_at: datetime
    phase: Phase = Phase.PREFLIGHT
    outcome: Outcome = Outcome.RUNNING
    step: str = ""
    reason: str = ""
    until: datetime | None = None
    waiting_for: list[Wait] = []
    abort: AbortState = AbortState.NONE
    paused_by: str = ""
    lease: LeaseHeld | None = None
    turn: int = 0
    """At which turn of the deployment this workflow takes the environment (`AcquireLease`)."""
    sequence: int = 0
    """Entries of the record written so far."""
    services: list[ServiceRun] = []
    probes_before: dict[str, str] = {}
    """Values of the corruption probes that compare, before the first change."""
    migrations: list[MigrationRun] = []
    backup: BackupTaken | None = None
    backups_taken: int = 0
    rehearsal: Rehearsal | None = None
    """Of the pending migrations, on the backup this run relies on."""
    findings_shown: list[str] = []
    """Names of the blocking findings about migrations that stood for approval."""
    approvals_asked: int = 0
    """How often approval was asked for: again when a later rehearsal found something new."""
    preflight: PreflightReport | None = None
    digest: str = ""
    """What approvers approve."""
    approvals: list[Approval] = []
    confirmations: list[Confirmation] = []
    undo: list[UndoStep] = []
    verdict: Verdict | None = None
    """The judgement that decided, where one did."""
    database: DatabaseRolledBack | None = None
    rollbacks: int = 0
    """Rollbacks of this deployment that ended before."""
    changed: bool = False
    """Whether anything in production was, or may have been, changed."""
    checklist: list[CheckItem] = []
    timeline: list[Event] = []
    replies: list[Reply] = []
    unchecked: list[str] = []
    """What this version of slipway does not check, in sentences, for the report."""
    aftercare: str = ""
    """Workflow ID of the aftercare."""

    @property
    def place(self) -> Place:
        """Where the record is kept."""
        backup = self.plan.backup
        return Place(
            bucket=backup.bucket,
            prefix=backup.prefix,
            environment=self.plan.environment,
            deployment=self.id,
        )

    def service(self, name: str) -> ServiceRun:
        """Return the run of that service. Raises KeyError when the plan has none."""
        for service in self.services:
            if service.name == name:
                return service
        raise KeyError(name)

    def tick(self, item: str, *, at: datetime, by: str, artefacts: list[Artefact]) -> None:
        """Mark a line of the final checklist as done, with its artefacts."""
        for line in self.checklist:
            if line.item == item:
                line.state, line.at, line.by = ItemState.DONE, at, by
                line.artefacts = artefacts


NOT_CHECKED = (
    "Approvals are claims: names and roles are not proved by signatures.",
    "Where no copy follows, a database rollback loses writes made after the backup; the report "
    "counts them and keeps the rows.",
)
"""What stands in every report until it is built."""


def new_run(
    *, deployment: str, workflow_id: str, plan: Plan, release: Release, started_at: datetime
) -> Run:
    """Return the state of a run that has not begun."""
    return Run(
        id=deployment,
        workflow_id=workflow_id,
        plan=plan,
        release=release,
        requester=release.requester,
        started_at=started_at,
        services=[
            ServiceRun(name=one.name, image_after=release.images.get(one.name, ""))
            for one in plan.services
        ],
        checklist=[CheckItem(item=item, title=title) for item, title in FINAL_CHECKLIST],
        unchecked=list(NOT_CHECKED),
    )
