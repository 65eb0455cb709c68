"""What approvers approve, in full: asked for by the query `subject` before an approval is given."""

from datetime import datetime

from slipway.approvals import words_wanted
from slipway.base import Message
from slipway.judgements.rehearsal import summary
from slipway.messages.migration import MigrationFinding
from slipway.messages.preflight import GateResult
from slipway.run import Run


class PendingSql(Message):
    """A migration as it will be applied."""

    tag: str
    hash: str
    sql: str
    in_staging: bool


class Subject(Message):
    """Everything the digest stands for, and what was proved before."""

    deployment: str
    release: str
    summary: str
    requester: str
    digest: str
    images: dict[str, str]
    pending: list[PendingSql] = []
    rehearsal: list[str] = []
    """What the rehearsal on the restored backup saw, in sentences."""
    findings: list[MigrationFinding] = []
    """What linter, own rules and rehearsal say about the pending migrations."""
    accept: list[str] = []
    """Rules that an approver must accept by name."""
    schema_diff: str = ""
    """What the pending migrations change in the schema, as a unified diff."""
    gates: list[GateResult] = []
    staging: str = ""
    backup_key: str = ""
    backup_sha256: str = ""
    backup_taken_at: datetime | None = None
    backup_rows: int = 0
    unchecked: list[str] = []
    marks: list[str] = []


def subject_of(run: Run) -> Subject:
    """Return what is to be approved, as far as the run knows it by now."""
    preflight, backup = run.preflight, run.backup
    return Subject(
        deployment=run.id,
        release=run.release.version,
        summary=run.release.summary,
        requester=run.requester,
        digest=run.digest,
        images=dict(run.release.images),
        pending=[
            PendingSql(tag=one.tag, hash=one.hash, sql=one.sql, in_staging=one.in_staging)
            for one in (preflight.migrations.pending if preflight else [])
        ],
        rehearsal=summary(run.rehearsal) if run.rehearsal else [],
        findings=_findings(run),
        accept=words_wanted(run),
        schema_diff=run.rehearsal.schema_diff if run.rehearsal else "",
        gates=preflight.gates.results if preflight else [],
        staging=preflight.staging.because if preflight else "",
        backup_key=backup.key if backup else "",
        backup_sha256=backup.sha256 if backup else "",
        backup_taken_at=backup.taken_at if backup else None,
        backup_rows=backup.rows if backup else 0,
        unchecked=run.unchecked,
        marks=list(run.release.marks),
    )


def _findings(run: Run) -> list[MigrationFinding]:
    linted = run.preflight.migrations.findings if run.preflight else []
    seen = run.rehearsal.findings if run.rehearsal else []
    return [one for one in [*linted, *seen] if one.severity != "note"]
