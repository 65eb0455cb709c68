"""Rollback: stop, put back services newest first, then the data, verify from outside, write down
what happened. Nothing in here looks for aborts: putting back is not interrupted."""

import asyncio
from typing import Any

from temporalio import workflow
from temporalio.exceptions import ActivityError

with workflow.unsafe.imports_passed_through():
    from activities.checks import Checks
    from slipway.incident import incident_record, post_mortem
    from slipway.judgements.blame import Blame, blame
    from slipway.judgements.corruption import of_itself
    from slipway.messages.record import RestoreDatabase, RestoreService
    from slipway.messages.watch import Checked, RunFlows, RunProbes
    from slipway.states import (
        SETTLED,
        AbortState,
        Choice,
        Outcome,
        Phase,
        UndoState,
    )
    from slipway.verdicts import Kind, Reason, Signal, Verdict, gravest

from workflows.calls import Call, all_of
from workflows.endings import failed, sentence_of
from workflows.phases.put_data_back import Wanted, database_wanted, restore_database
from workflows.phases.put_services_back import come_back, restore_services
from workflows.phases.roll_out import SLOW, check_request
from workflows.steps import Steps
from workflows.undoing import ask_meanwhile, settle


async def roll_back(steps: Steps, verdict: Verdict, *, leave_database: str = "") -> None:
    """Put everything back that this run changed, and set the run's outcome. `leave_database`: why
    the data stays as it is; empty: it goes back."""
    run = steps.run
    implicated = blame(run, [verdict])  # now: services that were put back look untouched
    steps.enter(Phase.ROLL_BACK)
    run.verdict, run.waiting_for = verdict, []
    steps.controls.abort = steps.controls.rollback = steps.controls.pause = None  # overtaken
    steps.event(f"Rolling back: {verdict.because}")
    steps.notices.send("rolled_back", f"Rolling back {run.release.version}", verdict.because)
    while True:
        known = -1
        while known != len(run.undo):  # after a reset the record may show more while undoing
            known = len(run.undo)
            await _undo_all(steps, verdict, implicated, leave_database)
        trouble = await _trouble(steps)
        if trouble is None:
            steps.event("Verified: health, critical functions and smoke flows work as before.")
            run.outcome = Outcome.ROLLED_BACK
            break
        if not await _again(steps, trouble):
            run.outcome = Outcome.ROLLBACK_INCOMPLETE
            break
    run.verdict = verdict
    if run.abort is AbortState.REQUESTED:
        run.abort = AbortState.ACKNOWLEDGED
    await _write_down(steps)


async def _undo_all(steps: Steps, verdict: Verdict, implicated: Blame, leave_database: str) -> None:
    """Services first, newest first; then the data; then once more the services that did not come up
    on the data of the new version."""
    pending = [one for one in reversed(steps.run.undo) if one.state not in SETTLED]
    late, restored = await restore_services(steps, pending), False
    for step in pending:
        if not isinstance(step.undo, RestoreDatabase):
            continue
        wanted = Wanted.LEFT
        if not leave_database:
            wanted = await database_wanted(steps, step.undo, verdict, implicated)
        if wanted is Wanted.LEFT:
            because = leave_database or "left as it is, by the plan or by a person's decision"
            await settle(steps, step, UndoState.LEFT, because)
        else:
            await restore_database(steps, step, step.undo, wanted)
            restored = True
    await asyncio.gather(*(come_back(steps, one, again=restored) for one in late))


async def _trouble(steps: Steps) -> Verdict | None:
    """What is not back as it was, or None: undo steps, health, critical functions, smoke flows."""
    broken = [one for one in steps.run.undo if one.state is UndoState.FAILED]
    if broken:
        because = " ".join(f"{one.step}: {one.because}" for one in broken)
        return _incomplete(because[:1500])
    steps.say("verify:rollback", "Checking that everything works as before.")
    try:
        checked = await _check_everything(steps)
    except ActivityError as error:
        return failed(error)
    worst = gravest(checked)
    if worst is None or worst.kind is Kind.PROCEED:
        return None
    return _incomplete(f"After putting everything back: {worst.because}")


async def _check_everything(steps: Steps) -> list[Verdict]:
    run, plan = steps.run, steps.run.plan
    touched = [one.undo.service for one in run.undo if isinstance(one.undo, RestoreService)]
    checks: list[Checked] = await all_of(
        steps.call(
            Call(Checks.service, check_request(steps, plan.service(name)), SLOW, f"check {name}")
        )
        for name in touched
    )
    flows = RunFlows(flows=plan.smoke, services=plan.services, every=steps.lengths.probe)
    smoke: Checked = await steps.call(Call(Checks.flows, flows, SLOW, "smoke flows"))
    seen = [*checks, smoke]
    if run.database is not None and plan.corruption:  # else the data is left for a person
        probes = RunProbes(probes=of_itself(plan.corruption), probe_url=plan.database.probe_url)
        seen.append(await steps.call(Call(Checks.probes, probes, SLOW, "corruption probes")))
    return [verdict for one in seen for verdict in one.verdicts]


async def _again(steps: Steps, trouble: Verdict) -> bool:
    """Ask a person whether to try again; by default the rollback ends incomplete."""
    steps.event(trouble.because)
    choice = await ask_meanwhile(steps, "rollback", trouble, (Choice.RETRY, Choice.STOP))
    return choice is Choice.RETRY


async def _write_down(steps: Steps) -> None:
    """Incident record and post-mortem draft; those of another rollback of this deployment stay."""
    run = steps.run
    number = f"-{run.rollbacks + 1}" if run.rollbacks else ""
    documents: list[tuple[str, Any, str]] = [
        (f"incident{number}.json", incident_record(run), "application/json"),
        (f"post-mortem{number}.md", post_mortem(run), "text/markdown"),
    ]
    for name, content, media_type in documents:
        try:
            kept = await steps.records.attach(name, content, media_type)
        except ActivityError as error:
            steps.event(f"{name} was not kept: {sentence_of(error)}")
            continue
        steps.event(f"{name}: {kept.key}")


def _incomplete(because: str) -> Verdict:
    return Verdict(
        kind=Kind.HOLD, signal=Signal.ROLLOUT, reason=Reason.ROLLBACK_FAILED, because=because
    )
