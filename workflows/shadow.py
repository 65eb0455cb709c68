"""Judging a rollout that somebody else makes, as a deployment by slipway would be judged: the same
activities, windows and judgements, and no write."""

from functools import partial

from temporalio import workflow
from temporalio.exceptions import ActivityError, is_cancelled_exception

with workflow.unsafe.imports_passed_through():
    from activities.checks import Checks
    from activities.rollouts import Rollouts
    from activities.watch import Watch
    from slipway.checks import Flow, HtmlPage
    from slipway.judgements.deciding import deciding
    from slipway.judgements.readings import say_reading
    from slipway.judgements.workload import grace_of
    from slipway.messages.observe import Rollout
    from slipway.messages.rollout import AwaitRollout, RolledOut, workload_of
    from slipway.messages.watch import (
        Before,
        Checked,
        CheckService,
        Mark,
        ReadBefore,
        SliceSeen,
        TrafficBefore,
        Watched,
        WatchSlice,
    )
    from slipway.plan import Plan, Service
    from slipway.verdicts import Kind, Reason, Signal, Verdict, gravest

from workflows.calls import Call, start_activity
from workflows.display import about, for_length
from workflows.endings import sentence_of
from workflows.options import READ, WATCHING

_call = partial(Call, privileged=False)
"""On the observer's own queue: its worker serves workflow and activities, and can only read."""
_SHORTEST = 30.0
"""Seconds that a rollout may take at least: pods need their own time, whatever the scale."""


def rollout_deadline(plan: Plan) -> float:
    """Return the seconds that a rollout may take."""
    return max(plan.lengths.rollout_deadline, _SHORTEST)


def unchecked(plan: Plan, rollout: Rollout) -> list[str]:
    """Return what a deployment by slipway would check and an observer does not."""
    left = [
        f"critical function {flow.name!r}: it sends more than GETs"
        for flow in plan.service(rollout.service).critical
        if not _may_run(plan, flow)
    ]
    page = plan.service(rollout.service).page
    if page and page.rendered:
        left.append("page in a browser: an observer runs no scripts")
    if plan.corruption:
        left.append("data corruption: an observer has no access to the database")
    if rollout.log_rates is None:
        left.append("error lines: no pod of the version before was left to compare with")
    return left


async def judge(plan: Plan, rollout: Rollout) -> Verdict:
    """Wait until it is rolled out, settle, verify, watch: what slipway would have decided.

    Raises ActivityError when the rollout is overtaken by another one.
    """
    service = plan.service(rollout.service)
    before = await _before(plan, service, rollout)
    rolled = await _rolled_out(plan, service, rollout)
    if rolled.verdict.kind is not Kind.PROCEED:
        return rolled.verdict
    settle = plan.lengths.settle
    await workflow.sleep(settle, summary=f"{service.name} settles {for_length(settle)}")
    return await _verified(plan, service) or await _watched(plan, service, rollout, before)


async def _before(plan: Plan, service: Service, rollout: Rollout) -> TrafficBefore | None:
    """Read the traffic of the version before; None where it cannot be read: then the plan's limits
    stand alone."""
    request = ReadBefore(
        watched=[_of(plan, service, rollout.pod_hash_before)],
        metrics=plan.metrics,
        length=plan.lengths.baseline,
        quiet_length=plan.lengths.quiet_baseline,
        time_scale=plan.time_scale,
    )
    call = _call(Watch.before, request, READ.lasting(60), f"traffic of {service.name} before")
    try:
        found: Before = await start_activity(call)
    except ActivityError as error:
        if is_cancelled_exception(error):
            raise
        return None
    return found.before.get(service.name)


async def _rolled_out(plan: Plan, service: Service, rollout: Rollout) -> RolledOut:
    request = AwaitRollout(
        workload=workload_of(plan, service),
        template=rollout.template,
        image=rollout.image,
        deadline=rollout_deadline(plan),
        uid=rollout.uid,
    )
    options = WATCHING.lasting(request.deadline + grace_of(request.template))
    call = _call(Rollouts.wait, request, options, f"await {service.name}")
    rolled: RolledOut = await start_activity(call)
    return rolled


async def _verified(plan: Plan, service: Service) -> Verdict | None:
    """Check health and the critical functions that only read; None when nothing is wrong."""
    reads = [flow for flow in service.critical if _may_run(plan, flow)]
    request = CheckService(
        service=service.model_copy(update={"critical": reads, "page": _without_scripts(service)}),
        every=plan.lengths.probe,
        workload=workload_of(plan, service),
        addresses={one.name: one.url for one in plan.services if one.url},
    )
    call = _call(Checks.service, request, READ.lasting(120), f"check {service.name}")
    try:
        checked: Checked = await start_activity(call)
    except ActivityError as error:
        if is_cancelled_exception(error):
            raise
        return _unreadable(service, Signal.HEALTH, sentence_of(error))
    worst = gravest(checked.verdicts)
    return None if worst is None or worst.kind is Kind.PROCEED else worst


async def _watched(
    plan: Plan, service: Service, rollout: Rollout, before: TrafficBefore | None
) -> Verdict:
    """Watch the service alone for the window after a service; the row of slices that the one watch
    of a deployment is."""
    left = length = plan.lengths.monitor
    missed, synthetic = "", list[str]()
    mark: Mark | None = None
    seen: SliceSeen | None = None
    while left > 1e-6:
        stretch = min(plan.lengths.slice, left)
        left -= stretch
        watched = _of(plan, service, rollout.pod_hash).model_copy(
            update={"replaced": True, "log_rates": rollout.log_rates, "before": before}
        )
        request = _slice(plan, watched, mark, (stretch, length)).model_copy(
            update={"last": left <= 1e-6, "synthetic": synthetic}
        )
        options = WATCHING.lasting(stretch)
        call = _call(
            Watch.slice, request, options, f"{request.window}: watch {for_length(stretch)}"
        )
        begun = workflow.now()
        try:
            seen = await start_activity(call)
        except ActivityError as error:
            if is_cancelled_exception(error):
                raise
            missed = sentence_of(error)
            await workflow.sleep(max(about(0), about(stretch) - (workflow.now() - begun)))
            continue
        mark, worst = seen.mark, gravest(seen.verdicts)
        if worst is not None and worst.kind is Kind.ROLLBACK:
            return worst
        if seen.more is not None and not missed:
            left, length = seen.more.length - length, seen.more.length
            synthetic = seen.more.synthetic
    return _at_the_end(service, seen, missed)


def _at_the_end(service: Service, seen: SliceSeen | None, missed: str) -> Verdict:
    worst = deciding(seen.verdicts) if seen is not None else None
    if missed and (worst is None or worst.kind is Kind.PROCEED):
        because = f"part of the window could not be watched: {missed}"
        return _unreadable(service, Signal.TRAFFIC, because)
    if worst is not None:
        return worst  # also a PROCEED: too little traffic to judge, which the plan allows
    readings = seen.readings if seen is not None else []
    said = next((say_reading(one) for one in readings if one.service == service.name), "all well.")
    return Verdict(
        kind=Kind.PROCEED,
        signal=Signal.TRAFFIC,
        service=service.name,
        because=f"{service.name}: {said}",
    )


def _of(plan: Plan, service: Service, pod_hash: str) -> Watched:
    return Watched(
        service=service,
        workload=workload_of(plan, service),
        pod_hash=pod_hash,
        replaced=False,
        focus=True,
    )


def _slice(
    plan: Plan, watched: Watched, mark: Mark | None, lengths: tuple[float, float]
) -> WatchSlice:
    """`lengths`: of the slice and of its window, in seconds."""
    length, window = lengths
    return WatchSlice(
        window=f"observe:{watched.service.name}",
        watched=[watched],
        metrics=plan.metrics,
        limits=plan.limits,
        logs=plan.logs if watched.log_rates is not None else [],
        loki=plan.loki,
        baseline=plan.lengths.baseline,
        probe_every=plan.lengths.probe,
        length=length,
        window_length=window,
        last=False,
        mark=mark,
        time_scale=plan.time_scale,
    )


def _without_scripts(service: Service) -> HtmlPage | None:
    """A page's scripts do what they like: nobody who only observes runs them."""
    return service.page.model_copy(update={"rendered": []}) if service.page else None


def _may_run(plan: Plan, flow: Flow) -> bool:
    reads = all(step.method == "GET" for step in flow.steps)
    return reads or flow.name in plan.observe.also_run


def _unreadable(service: Service, signal: Signal, because: str) -> Verdict:
    return Verdict(
        kind=Kind.INCONCLUSIVE,
        signal=signal,
        reason=Reason.NOTHING_TO_READ,
        service=service.name,
        because=f"{service.name}: {because}",
    )
