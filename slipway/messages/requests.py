"""What workflows are started with and what they return."""

from datetime import datetime
from typing import Any

from slipway.base import Message, Person
from slipway.messages.preflight import EnvironmentReport, StagingReport
from slipway.messages.record import ArtefactState, Place, RecordSummary
from slipway.plan import Plan
from slipway.release import Release
from slipway.states import AbortState, Outcome, Phase
from slipway.verdicts import Reason


class DeploymentRequest(Message):
    """Start of `ProductionDeployment`."""

    deployment: str
    plan: Plan
    release: Release


class RollbackRequest(Message):
    """Start of `Rollback`: everything else stands in the record."""

    place: Place
    person: Person
    reason: str
    without_database: bool = False
    """Services only: asked for after the undo window."""


class DeploymentResult(Message):
    """How `ProductionDeployment` or `Rollback` ended."""

    deployment: str
    outcome: Outcome
    reason: Reason
    because: str
    status: dict[str, Any]
    """The last status document."""


class ReportRequest(Message):
    """Start of `Report`: reads the record and verifies every artefact again."""

    place: Place


class ReportResult(Message):
    """The last status document of the record, and what verification found."""

    status: dict[str, Any]
    states: list[ArtefactState]
    verified_at: datetime


class DoctorRequest(Message):
    """Start of `Doctor`: the environment checks of the preflight, on their own."""

    plan: Plan
    release: Release


class DoctorResult(Message):
    """What the doctor found."""

    environment: EnvironmentReport
    staging: StagingReport


class FindRequest(Message):
    """Start of `FindDeployments`: which deployments of an environment have a record."""

    place: Place


class FindResult(Message):
    """Records, newest first."""

    records: list[RecordSummary]


class MemoStatus(Message):
    """The short status kept in the memo (at most 4 KB): readable while no worker runs."""

    id: str
    environment: str
    release: str
    phase: Phase
    outcome: Outcome
    step: str
    reason: str
    until: datetime | None = None
    waiting_for: list[str] = []
    abort: AbortState = AbortState.NONE
    services: dict[str, str] = {}
    replies: list[str] = []
    digest: str = ""
