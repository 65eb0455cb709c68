"""Gates, staging, environment: everything proved before anything is changed."""

from typing import Literal

from slipway.base import Instant, Message
from slipway.messages.migration import MigrationReview
from slipway.plan import Plan
from slipway.release import Release

DOCTOR = "doctor"
"""Stands for the deployment's ID where there is none: somebody only wants to look."""

Group = Literal["cluster", "database", "staging", "bucket", "metrics", "worker", "addresses"]
"""Where a finding belongs."""


class Preflight(Message):
    """Check a release against its plan. Used by each of the preflight activities."""

    plan: Plan
    release: Release
    deployment: str

    @property
    def only_looks(self) -> bool:
        """Whether no deployment waits for the answer: what cannot be reached is told at once, and
        not tried again until it answers."""
        return self.deployment == DOCTOR


class GateResult(Message):
    """One gate: passed or not, in a sentence, with what was read."""

    gate: str
    """tests, staging, trivy, snyk, performance, documentation, release_notes, rollback_plan,
    change_request."""
    passed: bool
    because: str
    evidence: list[str] = []
    """`artifact:…` references."""
    sha256: list[str] = []
    produced_at: Instant | None = None


class GateResults(Message):
    """All gates of the playbook's pre-flight list."""

    results: list[GateResult]

    @property
    def failed(self) -> list[GateResult]:
        """Those that did not pass."""
        return [one for one in self.results if not one.passed]


class Finding(Message):
    """Something found in the environment: what, and the remedy as an imperative sentence."""

    severity: Literal["block", "note"]
    group: str = ""
    """A Group; empty in messages of older workers, and newer ones may know others."""
    what: str
    remedy: str = ""


class StagingReport(Message):
    """Whether staging is stable: health, digests, metrics and logs of the soak window."""

    stable: bool
    findings: list[Finding]
    because: str


class EnvironmentReport(Message):
    """Versions, rights, room, owners, unfinished records."""

    findings: list[Finding]
    server_version: str = ""
    database_size: int = 0
    """Bytes."""

    @property
    def blocking(self) -> list[Finding]:
        """Findings that keep the run from going on."""
        return [one for one in self.findings if one.severity == "block"]


class PreflightReport(Message):
    """All of it together, as approvers see it."""

    gates: GateResults
    staging: StagingReport
    environment: EnvironmentReport
    migrations: MigrationReview
