"""7. Verify: every service, the smoke flows, and at least 15 minutes of watching."""

from temporalio import workflow

with workflow.unsafe.imports_passed_through():
    from activities.checks import Checks
    from slipway.messages.watch import Checked, RunFlows, SliceSeen
    from slipway.run import Run
    from slipway.states import Choice, Phase
    from slipway.verdicts import Kind, gravest

from workflows.asking import park
from workflows.calls import Call, all_of
from workflows.endings import RollBackRun
from workflows.phases.roll_out import SLOW, verify_service
from workflows.steps import Steps
from workflows.watching import watch


async def verify(steps: Steps) -> None:
    """Prove the whole release, then watch it."""
    steps.enter(Phase.VERIFY)
    run = steps.run
    await all_of(verify_service(steps, service) for service in run.plan.services)
    health = await steps.keep("health.json", {one.name: one.verdict for one in run.services})
    run.tick("health", at=workflow.now(), by="slipway", artefacts=[health])
    flows = await smoke(steps)
    kept = await steps.keep("smoke.json", flows.model_dump(mode="json"))
    run.tick("smoke", at=workflow.now(), by="slipway", artefacts=[kept])
    seen = await watch(steps, "monitor:all", steps.lengths.final_monitor, full=True)
    services = await steps.keep("services.json", _services(run))
    run.tick("services", at=workflow.now(), by="slipway", artefacts=[services])
    monitoring = await steps.keep("monitoring.json", _monitoring(run, seen))
    run.tick("monitoring", at=workflow.now(), by="slipway", artefacts=[monitoring])


async def smoke(steps: Steps) -> Checked:
    """Run the smoke flows; one that fails three times is rolled back."""
    plan = steps.run.plan
    while True:
        checked: Checked = await steps.forward(
            "smoke",
            f"Running {len(plan.smoke)} smoke flows.",
            lambda: Call(
                Checks.flows,
                RunFlows(flows=plan.smoke, services=plan.services, every=steps.lengths.probe),
                SLOW,
                "smoke flows",
            ),
        )
        worst = gravest(checked.verdicts)
        if worst is None or worst.kind is Kind.PROCEED:
            return checked
        steps.run.verdict = worst
        if worst.kind is Kind.ROLLBACK:
            raise RollBackRun(worst)
        await park(steps, "smoke", worst, (Choice.RETRY,))


def _services(run: Run) -> dict[str, dict[str, object]]:
    return {
        one.name: {
            "before": one.image_before,
            "after": one.image_after,
            "pod_hash": one.pod_hash,
            "notes": one.notes,
        }
        for one in run.services
    }


def _monitoring(run: Run, seen: SliceSeen | None) -> dict[str, object]:
    return {
        "window_seconds": run.plan.lengths.final_monitor,
        "readings": [one.model_dump(mode="json") for one in seen.readings] if seen else [],
        "scrapes": seen.used if seen else {},
        "connections": seen.connections if seen else None,
        "external": seen.external if seen else None,
        "verdicts": [one.model_dump(mode="json") for one in seen.verdicts] if seen else [],
    }
