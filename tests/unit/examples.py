"""Runs and status documents for tests: two services, one migration, one approver."""

from datetime import UTC, datetime, timedelta
from typing import Any

from slipway.messages.migration import DatabaseRolledBack
from slipway.messages.record import (
    Artefact,
    BackupTaken,
    Captured,
    RestoreDatabase,
    RestoreService,
    TableFingerprint,
)
from slipway.plan import Plan
from slipway.release import Release
from slipway.run import Approval, Confirmation, Event, MigrationRun, Run, UndoStep, new_run
from slipway.states import MigrationState, Outcome, Phase, ServiceState, UndoState
from slipway.verdicts import Kind, Reason, Signal, Verdict
from tests.fakes.plans import SERVICES, small_plan, small_release

START = datetime(2026, 11, 23, 20, 0, tzinfo=UTC)
ID = "demo-20261123T200000Z-1a2b3c"


def after(seconds: float) -> datetime:
    """Return an instant so many seconds after the run's start."""
    return START + timedelta(seconds=seconds)


def image(service: str, digit: str) -> str:
    """Return an image reference whose digest repeats one digit."""
    return f"registry.example/{service}@sha256:{digit * 64}"


def plan(**changes: Any) -> Plan:
    """Return a plan of two services, api-gateway and analytics."""
    olga = {"name": "Olga", "reach": "+49 1"}
    base: dict[str, Any] = {
        "environment": "demo",
        "approvals": {
            "roles": {"vp": ["vera"], "cto": ["carl"]},
            "confirm": {"stakeholders-notified": ["olga"], "incident-team-on-standby": ["olga"]},
        },
        "contacts": dict.fromkeys(("on_call", "vp_engineering", "cto", "database_admin"), olga),
    }
    return small_plan(**{**base, **changes})


def release(**changes: Any) -> Release:
    """Return a release of both services with one migration."""
    base: dict[str, Any] = {
        "version": "2026.11.3",
        "requester": "rita",
        "images": {name: image(name, "b") for name in SERVICES},
    }
    return small_release(**{**base, **changes})


def backup() -> BackupTaken:
    """Return a proved backup."""
    return BackupTaken(
        key="demo/prod-backup-20261123-200100-1a2b3c.dump.zst",
        manifest_key="demo/prod-backup-20261123-200100-1a2b3c.json",
        sha256="4" * 64,
        size=51_200_000,
        taken_at=after(60),
        database="teei",
        side_database="teei_slipway_1a2b3c_1",
        server_version="18.4",
        schema_sha256="5" * 64,
        tables=[TableFingerprint(table="public.users", rows=1200, hash="7")],
        restored_ok=True,
        seconds=4.2,
    )


def artefact(name: str, digit: str = "6") -> Artefact:
    """Return an artefact kept a minute after the start."""
    return Artefact(name=name, key=f"demo/records/{name}", sha256=digit * 64, size=10, at=after(60))


def verdict(
    reason: Reason = Reason.ERROR_RATE_TOO_HIGH,
    service: str | None = "analytics",
    kind: Kind = Kind.ROLLBACK,
) -> Verdict:
    """Return a verdict with numbers."""
    return Verdict(
        kind=kind,
        signal=Signal.TRAFFIC,
        reason=reason,
        service=service,
        because="analytics failed 31 of 1,020 requests (3.04 %) in 6 scrapes; the limit is 1 %.",
        numbers={"requests": 1020, "failures": 31},
    )


def fresh_run(**changes: Any) -> Run:
    """Return a run that has just begun."""
    made = new_run(
        deployment=ID,
        workflow_id="deploy-demo",
        plan=plan(),
        release=release(),
        started_at=START,
    )
    for name, value in changes.items():
        setattr(made, name, value)
    return made


def approved_run(**changes: Any) -> Run:
    """Return a run that is backed up, approved, and about to change production."""
    run = fresh_run(backup=backup(), digest="a" * 64, phase=Phase.GO)
    run.migrations = [MigrationRun(tag="0002_report_language", hash="3" * 64)]
    run.approvals = [
        Approval(person="vera", role="vp", digest="a" * 64, reason="go", at=after(120))
    ]
    run.confirmations = [
        Confirmation(item="stakeholders-notified", person="olga", note="mailed", at=after(110))
    ]
    proof = artefact("backup").model_copy(update={"key": backup().key, "sha256": "4" * 64})
    run.tick("backup", at=after(60), by="slipway", artefacts=[proof])
    run.tick("approval", at=after(120), by="vera (vp)", artefacts=[artefact("approval.json")])
    run.timeline = [Event(at=after(120), phase=Phase.APPROVAL, text="Approved by vera (vp).")]
    for name, value in changes.items():
        setattr(run, name, value)
    return run


def _timeline_of_a_rollback(because: str) -> list[Event]:
    """As the workflow writes it; a test compares with real histories."""
    lines = (
        (0, Phase.PREFLIGHT, "Phase preflight began."),
        (40, Phase.BACKUP, "Phase backup began."),
        (90, Phase.APPROVAL, "Phase approval began."),
        (120, Phase.APPROVAL, "Approved by vera (vp)."),
        (120, Phase.GO, "Phase go began."),
        (130, Phase.MIGRATE, "Phase migrate began."),
        (131, Phase.MIGRATE, "Applied 1 migration(s) in 0.1 s."),
        (150, Phase.ROLL_OUT, "Phase roll_out began."),
        (280, Phase.ROLL_OUT, f"HOLD in monitor:analytics: {because}"),
        (295, Phase.ROLL_OUT, f"ROLLBACK in monitor:analytics: {because}"),
        (300, Phase.ROLL_BACK, "Phase roll_back began."),
        (300, Phase.ROLL_BACK, f"Rolling back: {because}"),
        (308, Phase.ROLL_BACK, "Put back rollout:analytics: 2 of 2"),
        (314, Phase.ROLL_BACK, "Put back migrate: Swapped to the side database."),
        (320, Phase.ROLL_BACK, "incident.json: demo/records/incident.json"),
    )
    return [Event(at=after(at), phase=phase, text=text) for at, phase, text in lines]


def rolled_back_run(**changes: Any) -> Run:
    """Return a run that was rolled back because of analytics, with three rows lost."""
    run = approved_run(outcome=Outcome.ROLLED_BACK, phase=Phase.ENDED, changed=True)
    captured = Captured(
        uid="u",
        generation=1,
        template={},
        image=image("analytics", "a"),
        replicas=2,
        replica_set="analytics-1",
        pod_hash="1",
    )
    restore = RestoreService(
        service="analytics", namespace="demo", deployment="analytics", captured=captured
    )
    run.undo = [
        UndoStep(step="migrate", undo=RestoreDatabase(backup=backup()), state=UndoState.DONE),
        UndoStep(step="rollout:analytics", undo=restore, state=UndoState.DONE, because="2 of 2"),
    ]
    service = run.service("analytics")
    service.state, service.image_before = ServiceState.REVERTED, captured.image
    run.migrations[0].state = MigrationState.ROLLED_BACK
    run.verdict = verdict()
    run.database = DatabaseRolledBack(
        changed=True,
        schema_equal=True,
        rows_equal=True,
        kept_as="teei_bad",
        lost=[TableFingerprint(table="public.ingestion_events", rows=3, hash="")],
        outage=1.5,
        because="Swapped to the side database; equal to the backup.",
    )
    run.timeline = _timeline_of_a_rollback(run.verdict.because)
    for name, value in changes.items():
        setattr(run, name, value)
    return run
