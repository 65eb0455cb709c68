"""1. Preflight: gates from evidence, staging, environment, pending migrations."""

from temporalio import workflow

with workflow.unsafe.imports_passed_through():
    from activities.gates import Gates
    from activities.migrations import DatabaseMigrations
    from activities.preflight import EnvironmentChecks
    from slipway.base import say_length
    from slipway.messages.migration import MigrationReview, ReviewMigrations
    from slipway.messages.preflight import (
        EnvironmentReport,
        GateResults,
        Preflight,
        PreflightReport,
        StagingReport,
    )
    from slipway.run import MigrationRun
    from slipway.states import Outcome, Phase
    from slipway.verdicts import Kind, Reason, Signal, Verdict

from workflows.calls import Call, all_of
from workflows.endings import StopRun
from workflows.options import READ
from workflows.steps import Steps

SLOW_READ = READ.lasting(240)


async def preflight(steps: Steps) -> None:
    """Prove everything that can be proved before anything is changed."""
    steps.enter(Phase.PREFLIGHT)
    run = steps.run
    steps.notices.send(
        "started", f"{run.release.version} to {run.plan.environment}", _rollback(steps)
    )
    gates = await prove_gates(steps)
    staging = await prove_staging(steps)
    environment = await _environment(steps)
    migrations = await review_migrations(steps)
    run.preflight = PreflightReport(
        gates=gates, staging=staging, environment=environment, migrations=migrations
    )
    run.migrations = [MigrationRun(tag=one.tag, hash=one.hash) for one in migrations.pending]
    await _keep(steps, run.preflight)


async def prove_gates(steps: Steps) -> GateResults:
    """Judge the evidence; a failed gate stops the run."""
    results: GateResults = await steps.forward(
        "gates",
        "Reading the evidence.",
        lambda: Call(Gates.evaluate, _request(steps), READ, "evidence gates", privileged=False),
    )
    if results.failed:
        because = " ".join(f"{one.gate}: {one.because}" for one in results.failed)
        stop(steps, Reason.GATE_FAILED, because)
    return results


async def prove_staging(steps: Steps) -> StagingReport:
    """Look at staging itself; an unstable one stops the run."""
    report: StagingReport = await steps.forward(
        "staging",
        "Looking at staging: health, images, metrics, logs.",
        lambda: Call(EnvironmentChecks.staging, _request(steps), SLOW_READ, "staging stable?"),
    )
    if not report.stable:
        stop(steps, Reason.STAGING_NOT_STABLE, report.because)
    return report


async def review_migrations(steps: Steps) -> MigrationReview:
    """Compare journal and ledgers; what must not be applied stops the run."""
    plan, release = steps.run.plan, steps.run.release
    review: MigrationReview = await steps.forward(
        "migrations:review",
        "Comparing migrations with the ledgers of production and staging.",
        lambda: Call(
            DatabaseMigrations.review,
            ReviewMigrations(
                database=plan.database,
                staging=plan.staging,
                migrations=plan.migrations,
                release=release.migrations,
            ),
            SLOW_READ,
            "review migrations",
        ),
    )
    if review.refused:
        stop(steps, Reason.MIGRATION_REFUSED, " ".join(review.refused))
    for note in review.notes:
        steps.event(f"Note: {note}")
    return review


def stop(steps: Steps, reason: Reason, because: str) -> None:
    """End the run before any change."""
    verdict = Verdict(
        kind=Kind.ROLLBACK, signal=Signal.ROLLOUT, reason=reason, because=because[:1500]
    )
    steps.run.verdict = verdict
    raise StopRun(Outcome.STOPPED, verdict)


async def _environment(steps: Steps) -> EnvironmentReport:
    report: EnvironmentReport = await steps.forward(
        "environment",
        "Checking rights, versions, owners and room.",
        lambda: Call(
            EnvironmentChecks.environment, _request(steps), SLOW_READ, "environment ready?"
        ),
    )
    if report.blocking:
        because = " ".join(f"{one.what} {one.remedy}" for one in report.blocking)
        stop(steps, Reason.ENVIRONMENT_NOT_READY, because)
    for finding in report.findings:
        steps.event(f"Note: {finding.what} {finding.remedy}".strip())
    return report


async def _keep(steps: Steps, report: PreflightReport) -> None:
    run, now = steps.run, workflow.now()
    documents = [one for one in report.gates.results if "documentation" in one.gate]
    documents += [one for one in report.gates.results if one.gate == "release_notes"]
    plans = [one for one in report.gates.results if one.gate == "rollback_plan"]
    ready = {
        "would_do": _rollback(steps),
        "evidence": [one.model_dump(mode="json") for one in plans],
    }
    reviewed, documentation, rollback_plan = await all_of(
        [
            steps.keep("migrations-review.json", report.migrations),
            steps.keep("documentation.json", [one.model_dump(mode="json") for one in documents]),
            steps.keep("rollback-plan.json", ready),
        ]
    )
    run.tick("migrations", at=now, by="slipway", artefacts=[reviewed])
    run.tick("documentation", at=now, by="slipway", artefacts=[documentation])
    run.tick("rollback-plan", at=now, by="slipway", artefacts=[rollback_plan])


def _rollback(steps: Steps) -> str:
    plan = steps.run.plan
    return (
        "A rollback stops deploying, puts back each service this run touched, newest first, to "
        f"its captured template, and treats the database as `{plan.rollback.database}`; possible "
        f"until {say_length(plan.rollback.undo_window)} after the end: "
        f"slipway rollback {steps.run.id}"
    )


def _request(steps: Steps) -> Preflight:
    return Preflight(plan=steps.run.plan, release=steps.run.release, deployment=steps.run.id)
