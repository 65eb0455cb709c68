"""The one watch over all services, each by the version it should be running.

A window is a row of slices: a workflow timer beside one heartbeating activity that reads every
scrape and returns early on ROLLBACK.
"""

import asyncio

from temporalio import workflow
from temporalio.exceptions import ActivityError

with workflow.unsafe.imports_passed_through():
    from activities.watch import Watch
    from slipway.judgements.blame import Blame, blame
    from slipway.judgements.deciding import deciding
    from slipway.judgements.readings import say_failures, say_reading
    from slipway.messages.watch import Mark, SliceSeen, Watched, WatchSlice
    from slipway.plan import Service
    from slipway.states import Choice
    from slipway.verdicts import Kind, Reason, Signal, Verdict, gravest

from workflows.asking import park
from workflows.calls import Call
from workflows.display import for_length
from workflows.endings import Interrupted, RollBackRun, sentence_of
from workflows.options import WATCHING
from workflows.steps import Steps


class _WatchAnew(Exception):
    """A person has said that an alarm's cause lay outside: the window begins again, since what was
    counted in this one would raise the same alarm again."""


async def watch(
    steps: Steps,
    window: str,
    length: float,
    *,
    focus: str | None = None,
    leave_out: str | None = None,
    full: bool = False,
) -> SliceSeen | None:
    """Watch for `length` seconds. HOLD and INCONCLUSIVE at the end park the run; ROLLBACK at any
    moment rolls it back. `focus` is the service whose traffic must be enough to judge (all with
    `full`); `leave_out` settles and is not judged yet. Returns the last slice's readings."""
    while True:
        await steps.guard()
        begun = workflow.now()
        try:
            seen, missed = await _window(steps, window, length, focus, leave_out, full)
        except _WatchAnew:
            continue
        if seen is None and steps.controls.interrupts:
            await steps.guard()
            continue
        if await _accepted(steps, window, seen, missed):
            took = for_length((workflow.now() - begun).total_seconds())
            steps.event(f"Watched {window} {took}: {_seen(steps, seen, focus)}")
            return seen


async def _window(
    steps: Steps,
    window: str,
    length: float,
    focus: str | None,
    leave_out: str | None,
    full: bool,
) -> tuple[SliceSeen | None, str]:
    mark: Mark | None = None
    seen: SliceSeen | None = None
    missed = ""
    left, synthetic = length, list[str]()
    steps.say(window, f"Watching all services {for_length(length)}.", seconds=length)
    while left > 1e-6:
        if steps.controls.interrupts or steps.controls.pause is not None:
            await steps.guard()
        stretch = min(steps.lengths.slice, left)
        left -= stretch
        request = _request(steps, window, mark, stretch, length, focus, leave_out, full, synthetic)
        request = request.model_copy(update={"last": left <= 1e-6})
        try:
            seen = await _slice(steps, request)
        except Interrupted:
            return None, ""
        except ActivityError as error:
            missed = sentence_of(error)
            continue
        mark = seen.mark
        await _act(steps, window, seen)
        if seen.more is not None and not missed:
            left, length, synthetic = (
                seen.more.length - length,
                seen.more.length,
                seen.more.synthetic,
            )
            steps.event(f"{window} goes on: {seen.more.because}")
            steps.say(window, seen.more.because, seconds=left)
    return seen, missed


async def _slice(steps: Steps, request: WatchSlice) -> SliceSeen:
    call = Call(
        Watch.slice,
        request,
        WATCHING.lasting(request.length),
        f"{request.window}: watch {for_length(request.length)}",
    )
    reading = asyncio.create_task(steps.interruptible(call))
    try:
        await steps.until(
            lambda: (reading.done() and _early(reading)) or steps.controls.interrupts,
            request.length,
            f"{request.window} {for_length(request.length)}",
        )
        seen: SliceSeen = await reading
    except asyncio.CancelledError:
        reading.cancel()
        await asyncio.gather(reading, return_exceptions=True)
        raise
    return seen


def _early(reading: "asyncio.Task[SliceSeen]") -> bool:
    if reading.cancelled() or reading.exception() is not None:
        return reading.cancelled() or isinstance(reading.exception(), Interrupted)
    worst = gravest(reading.result().verdicts)
    return worst is not None and worst.kind is Kind.ROLLBACK


async def _act(steps: Steps, window: str, seen: SliceSeen) -> None:
    """Roll back at once on ROLLBACK; where the cause may be shared, ask for a moment first."""
    for verdict in seen.verdicts:
        if verdict.service:
            steps.run.service(verdict.service).verdict = verdict.because
    worst = gravest(seen.verdicts)
    if worst is None or worst.kind is not Kind.ROLLBACK:
        return
    steps.run.verdict = worst
    steps.event(f"{worst.kind.value} in {window}: {worst.because}")
    if blame(steps.run, seen.verdicts) is Blame.SHARED:
        shared = worst.model_copy(
            update={"because": f"The cause may lie outside this release. {worst.because}"}
        )
        deadline = steps.lengths.shared_cause_deadline
        await park(steps, window, shared, (Choice.RETRY,), deadline=deadline)
        raise _WatchAnew
    raise RollBackRun(worst)


async def _accepted(steps: Steps, window: str, seen: SliceSeen | None, missed: str) -> bool:
    """Whether the window lets the release go on; False: watch again."""
    against = [one for one in seen.verdicts if one.kind is not Kind.PROCEED] if seen else []
    if missed:
        against.append(_unwatched(missed))
    worst = deciding(against)
    if worst is None:
        return True
    if worst.kind is Kind.ROLLBACK:
        return False
    steps.run.verdict = worst
    steps.event(f"{worst.kind.value} in {window}: {worst.because}")
    choice = await park(steps, window, worst, _choices(against))
    if choice is not Choice.SKIP:
        return False
    for one in against:
        if one.service:
            steps.run.service(one.service).notes.append(f"accepted by a person: {one.because}")
    return True


def _seen(steps: Steps, seen: SliceSeen | None, focus: str | None) -> str:
    """What was read, in numbers: of the service in focus, else of all together."""
    readings = seen.readings if seen else []
    for one in readings:
        if one.service == focus:
            steps.run.service(one.service).verdict = say_reading(one)
            return say_reading(one)
    requests, failures = (
        sum(one.requests for one in readings),
        sum(one.failures for one in readings),
    )
    return f"{len(readings)} services, {say_failures(requests, failures)}."


def _unwatched(missed: str) -> Verdict:
    return Verdict(
        kind=Kind.INCONCLUSIVE,
        signal=Signal.TRAFFIC,
        reason=Reason.NOTHING_TO_READ,
        because=f"Part of the window could not be watched: {missed}",
    )


def _choices(against: list[Verdict]) -> tuple[Choice, ...]:
    """A named person may accept a HOLD or too little traffic, never a missing measurement."""
    if all(one.kind is Kind.HOLD or one.reason is Reason.TOO_LITTLE_TRAFFIC for one in against):
        return (Choice.RETRY, Choice.SKIP)
    return (Choice.RETRY,)


def _request(
    steps: Steps,
    window: str,
    mark: Mark | None,
    stretch: float,
    length: float,
    focus: str | None,
    leave_out: str | None,
    full: bool,
    synthetic: list[str],
) -> WatchSlice:
    plan = steps.run.plan
    return WatchSlice(
        window=window,
        watched=[
            watched(steps, service, focus=full or service.name == focus)
            for service in plan.services
            if service.name != leave_out
        ],
        metrics=plan.metrics,
        limits=plan.limits,
        logs=plan.logs,
        loki=plan.loki,
        baseline=steps.lengths.baseline,
        probe_every=steps.lengths.probe,
        length=stretch,
        window_length=length,
        last=False,
        mark=mark,
        corruption=plan.corruption,
        probe_url=plan.database.probe_url,
        probes_before=steps.run.probes_before,
        full=full,
        time_scale=plan.time_scale,
        synthetic=synthetic,
    )


def watched(steps: Steps, service: Service, *, focus: bool) -> Watched:
    """Return a service with the version it should be running now."""
    state = steps.run.service(service.name)
    return Watched(
        service=service,
        workload=steps.workload(service),
        pod_hash=state.pod_hash,
        replaced=state.replaced,
        focus=focus,
        log_rates=state.captured.log_rates if state.captured else None,
        before=state.before,
    )
