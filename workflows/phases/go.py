"""4. Go: the window opens, and everything that can age is checked again."""

from temporalio import workflow
from temporalio.exceptions import ActivityError, FailureError

with workflow.unsafe.imports_passed_through():
    from activities.record import Records
    from activities.rollouts import Rollouts
    from activities.watch import Watch
    from slipway import names
    from slipway.approvals import approved
    from slipway.base import utc_text
    from slipway.messages.record import Captured, FindRecords, RecordList
    from slipway.messages.rollout import Capture
    from slipway.messages.watch import Before, ReadBefore
    from slipway.run import Wait
    from slipway.states import Outcome, Phase, ServiceState
    from slipway.verdicts import Kind, Reason, Signal, Verdict
    from slipway.window import until_open

from workflows.calls import Call, all_of
from workflows.display import about
from workflows.endings import Interrupted, StopRun, sentence_of
from workflows.keeping import let_go
from workflows.options import READ
from workflows.phases.backup import take_backup
from workflows.phases.preflight import prove_gates, prove_staging
from workflows.phases.rehearse import approved_anew
from workflows.steps import Steps
from workflows.watching import watched

_RETAKES = 2


async def go(steps: Steps) -> None:
    """Wait for the window, then check again what can age, directly before the first change."""
    steps.enter(Phase.GO)
    await _prove(steps)
    proved = workflow.now()

    async def again() -> None:
        """A pause or a parked step may have come between: prove it all again."""
        nonlocal proved
        while (workflow.now() - proved).total_seconds() > steps.lengths.settle:
            steps.event("Time has passed since everything was checked; checking it again.")
            await _prove(steps)
            proved = workflow.now()
            await steps.guard()

    steps.before_first_change = again
    await _supersede(steps)


async def _prove(steps: Steps) -> None:
    while True:
        await _wait_for_window(steps)
        await prove_gates(steps)
        await prove_staging(steps)
        await _capture_all(steps)
        # last: a pause or a parked step before it may take long
        if await _fresh_backup(steps):
            continue  # people were asked meanwhile: everything else has aged
        if _closed_for(steps) <= 0:
            break
        steps.event("The deployment window closed meanwhile; waiting for the next one.")
    _still_approved(steps)


async def _wait_for_window(steps: Steps) -> None:
    while True:
        await steps.guard()
        seconds = _closed_for(steps)
        if seconds <= 0:
            return
        steps.run.waiting_for = [
            Wait(
                kind="window",
                who=[steps.run.requester],
                what="the deployment window to open",
                until=workflow.now() + about(seconds),
                default="the run goes on",
                command=f"slipway abort {steps.run.id} --reason WHY",
            )
        ]
        steps.say("window", "Waiting for the deployment window.", seconds=seconds)
        opens = utc_text(workflow.now() + about(seconds))
        steps.notices.send(
            "waiting",
            "Waiting for the deployment window",
            f"{steps.run.release.version} goes on by itself at {opens}.",
            next_=f"slipway abort {steps.run.id} --reason WHY",
        )
        await steps.until(
            lambda: steps.controls.interrupts or steps.controls.pause is not None,
            seconds,
            "deployment window",
        )
        steps.run.waiting_for = []


def _closed_for(steps: Steps) -> float:
    """Seconds until the window opens with room for the run; 0: it may begin now."""
    plan = steps.run.plan
    if plan.window is None:
        return 0.0
    return until_open(plan.window, workflow.now(), plan.floor)


async def _fresh_backup(steps: Steps) -> bool:
    """Take the backup again while it is too old; a database that cannot be backed up within the
    limit stops the run instead of looping. True: approval was asked for again, since the rehearsal
    on the new backup found something that approvers did not know."""
    plan = steps.run.plan
    limit = plan.scale(plan.backup.max_age)
    for _ in range(_RETAKES):
        if _age(steps) <= limit:
            return False
        steps.event("The backup is too old for a change now; taking it again.")
        await take_backup(steps)
        if await approved_anew(steps):
            return True
    if _age(steps) > limit:
        because = (
            f"Taking the backup lasts longer than the plan's limit ({limit:.0f} s from snapshot "
            "to first change). Raise backup.max_age or make the backup faster."
        )
        raise StopRun(Outcome.STOPPED, _verdict(Reason.BACKUP_FAILED, because))
    return False


def _age(steps: Steps) -> float:
    backup = steps.run.backup
    if backup is None:
        raise StopRun(Outcome.STOPPED, _verdict(Reason.BACKUP_FAILED, "There is no backup."))
    return (workflow.now() - backup.taken_at).total_seconds()


def _still_approved(steps: Steps) -> None:
    if not approved(steps.run, workflow.now()):
        because = "The approval is older than the plan allows; start the deployment again."
        raise StopRun(Outcome.EXPIRED, _verdict(Reason.APPROVAL_EXPIRED, because))


async def _capture_all(steps: Steps) -> None:
    """Know which version of every service is serving now: the watch needs it."""
    await steps.guard()
    services = steps.run.plan.services
    steps.say("capture", f"Capturing {len(services)} services as they are.")
    await all_of(capture(steps, service.name) for service in services)
    await _read_before(steps)


async def _read_before(steps: Steps) -> None:
    """Read the traffic before the first change. Without it the plan's limits stand alone."""
    run = steps.run
    request = ReadBefore(
        watched=[watched(steps, service, focus=False) for service in run.plan.services],
        metrics=run.plan.metrics,
        length=steps.lengths.baseline,
        quiet_length=steps.lengths.quiet_baseline,
        time_scale=run.plan.time_scale,
        corruption=[one for one in run.plan.corruption if one.compare is not None],
        probe_url=run.plan.database.probe_url,
    )
    call = Call(Watch.before, request, READ.lasting(60), "traffic before")
    while True:
        await steps.guard()
        try:
            found: Before = await steps.interruptible(call)
            break
        except Interrupted:
            continue
        except ActivityError as error:
            steps.event(f"The traffic before is not known: {sentence_of(error)}")
            return
    for one in run.services:
        one.before = found.before.get(one.name)
    run.probes_before = found.probes
    if found.missing:
        steps.event(f"Probes without a value to compare with: {'; '.join(found.missing)}."[:1000])
    missing = [f"{name} ({one.because})" for name, one in found.before.items() if one.because]
    if missing:
        steps.event(f"Without traffic before to compare with: {', '.join(missing)}."[:1000])


async def capture(steps: Steps, name: str) -> Captured:
    """Read a service's Deployment before any write."""
    service = steps.run.plan.service(name)
    patience = max(steps.lengths.rollout_deadline, 30.0)  # an autoscaler may just have added a pod
    captured: Captured = await steps.forward(
        f"capture:{name}",
        f"Capturing {name} as it is.",
        lambda: Call(
            Rollouts.capture,
            Capture(
                workload=steps.workload(service),
                logs=steps.run.plan.logs,
                loki=steps.run.plan.loki,
                baseline=steps.lengths.baseline,
                patience=patience,
            ),
            READ.lasting(patience),
            f"capture {name}",
        ),
    )
    state = steps.run.service(name)
    state.captured, state.image_before = captured, captured.image
    state.pod_hash, state.state = captured.pod_hash, ServiceState.CAPTURED
    return captured


async def _supersede(steps: Steps) -> None:
    """Tell the aftercare of the release before that its watch is over, and let go of what it kept
    for being taken back."""
    run = steps.run
    request = FindRecords(place=run.place, limit=5)
    try:
        found: RecordList = await steps.call(Call(Records.find, request, READ, "releases before"))
    except FailureError:  # nobody knows: nothing depends on it
        return
    for one in found.records:
        if one.deployment != run.id and one.outcome == Outcome.DEPLOYED.value:
            await let_go(one.deployment, f"{run.id} came after")
            before = names.aftercare_workflow_id(one.deployment)
            try:
                await workflow.get_external_workflow_handle(before).signal("superseded", run.id)
            except FailureError:  # it has ended
                continue
            steps.event(f"{before} is superseded.")


def _verdict(reason: Reason, because: str) -> Verdict:
    return Verdict(kind=Kind.ROLLBACK, signal=Signal.ROLLOUT, reason=reason, because=because)
