"""6. Roll out one service: capture, apply, wait, settle, verify, watch."""

from temporalio import workflow

with workflow.unsafe.imports_passed_through():
    from activities.checks import Checks
    from activities.rollouts import Rollouts
    from slipway.judgements.workload import grace_of
    from slipway.messages.record import Captured, RestoreService
    from slipway.messages.rollout import Applied, Apply, AwaitRollout, RolledOut
    from slipway.messages.watch import Checked, CheckService
    from slipway.plan import Service
    from slipway.run import ServiceRun
    from slipway.states import Choice, Phase, ServiceState
    from slipway.verdicts import Kind, Signal, gravest

from workflows.asking import park
from workflows.calls import Call
from workflows.endings import RollBackRun
from workflows.options import READ, WATCHING, WRITE
from workflows.phases.go import capture
from workflows.steps import Steps
from workflows.watching import watch


async def roll_out(steps: Steps, name: str) -> None:
    """Replace one service and judge it."""
    if steps.run.phase is not Phase.ROLL_OUT:
        steps.enter(Phase.ROLL_OUT)
    service, state = steps.run.plan.service(name), steps.run.service(name)
    await capture(steps, name)
    applied = await _apply(steps, service)
    await _wait(steps, service, state, applied)
    state.state = ServiceState.SETTLING
    await watch(steps, f"settle:{name}", steps.lengths.settle, leave_out=name)
    await verify_service(steps, service)
    state.state = ServiceState.WATCHING
    await watch(steps, f"monitor:{name}", steps.lengths.monitor, focus=name)
    state.state = ServiceState.DEPLOYED
    await steps.note("done", f"rollout:{name}", {"pod_hash": state.pod_hash})
    steps.event(f"{name} is deployed: {state.image_after}")


async def verify_service(steps: Steps, service: Service) -> None:
    """Check health and critical functions; what fails three times is rolled back."""
    state = steps.run.service(service.name)
    while True:
        checked: Checked = await steps.forward(
            f"verify:{service.name}",
            f"Checking {service.name}: health and critical functions.",
            lambda: Call(
                Checks.service, check_request(steps, service), SLOW, f"check {service.name}"
            ),
        )
        worst = gravest(checked.verdicts)
        for seen in checked.verdicts:
            if seen.signal is Signal.LOGS:  # for people: it decides nothing
                steps.event(seen.because)
        if worst is None or worst.kind is Kind.PROCEED:
            if state.state is not ServiceState.DEPLOYED:  # its traffic says more
                state.verdict = worst.because if worst else ""
            return
        steps.run.verdict = worst
        state.verdict = worst.because
        if worst.kind is Kind.ROLLBACK:
            raise RollBackRun(worst)
        await park(steps, f"verify:{service.name}", worst, (Choice.RETRY,))


def check_request(steps: Steps, service: Service) -> CheckService:
    """Return the check of one service."""
    return CheckService(
        service=service,
        every=steps.lengths.probe,
        workload=steps.workload(service),
        log_templates=_known_errors(steps.run.service(service.name)),
        addresses={one.name: one.url for one in steps.run.plan.services if one.url},
    )


def _known_errors(state: ServiceRun) -> list[str] | None:
    """Kinds of error lines from before, where this run's version is the one that is checked."""
    replaced = state.state in (ServiceState.SETTLING, ServiceState.DEPLOYED)
    return state.captured.log_templates if state.captured and replaced else None


def _captured(state: ServiceRun) -> Captured:
    """The newest capture: directly before the first change everything is captured once more."""
    if state.captured is None:
        raise RuntimeError(f"{state.name} was not captured")
    return state.captured


async def _apply(steps: Steps, service: Service) -> Applied:
    run, state = steps.run, steps.run.service(service.name)
    state.state = ServiceState.ROLLING_OUT

    def make() -> Call:
        if run.lease is None:
            raise RuntimeError("a rollout needs the lease")
        request = Apply(
            workload=steps.workload(service),
            captured=_captured(state),
            image=state.image_after,
            fence=run.lease.do_fence,
            op_id=f"{run.id}/rollout:{service.name}",
            cause=f"slipway {run.id}: {run.release.version}",
        )
        return Call(Rollouts.apply, request, WRITE, f"apply {service.name}")

    def undo() -> RestoreService:
        return RestoreService(
            service=service.name,
            namespace=run.plan.kubernetes.namespace,
            deployment=service.workload,
            captured=_captured(state),
        )

    applied: Applied = await steps.forward(
        f"rollout:{service.name}", f"Deploying {service.name}.", make, undo=undo
    )
    state.template = applied.template
    return applied


async def _wait(steps: Steps, service: Service, state: ServiceRun, applied: Applied) -> None:
    deadline = steps.lengths.rollout_deadline
    request = AwaitRollout(
        workload=steps.workload(service),
        template=applied.template,
        image=state.image_after,
        deadline=max(deadline, 30.0),  # pods need their own time, whatever the scale
        uid=_captured(state).uid,
        captured=_captured(state),
    )
    longest = request.deadline + grace_of(request.template)
    rolled: RolledOut = await steps.forward(
        f"wait:{service.name}",
        f"Waiting for {service.name} to run everywhere.",
        lambda: Call(Rollouts.wait, request, WATCHING.lasting(longest), f"await {service.name}"),
    )
    state.verdict = rolled.verdict.because
    if rolled.verdict.kind is not Kind.PROCEED:
        steps.run.verdict = rolled.verdict
        raise RollBackRun(rolled.verdict)
    state.pod_hash = rolled.pod_hash


SLOW = READ.lasting(120)
