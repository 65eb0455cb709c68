"""Asking a person about a step that cannot go on by itself: owner, reason, deadline, default."""

from typing import TYPE_CHECKING

from temporalio import workflow

with workflow.unsafe.imports_passed_through():
    from slipway.run import Run, Wait
    from slipway.states import Choice
    from slipway.verdicts import Verdict

from workflows.display import about

if TYPE_CHECKING:
    from workflows.steps import Steps


async def park(
    steps: "Steps",
    step: str,
    verdict: Verdict,
    choices: tuple[Choice, ...],
    *,
    deadline: float | None = None,
) -> Choice:
    """Wait for a person to decide; at the deadline roll back after a change, else stop.
    Returns RETRY, SKIP or RESUME; raises for the others."""
    default = Choice.ROLL_BACK if steps.run.changed else Choice.STOP
    while True:
        async with steps.asking:  # steps that run side by side ask one after the other
            choice = await ask(steps, step, verdict, (*choices, default), default, deadline)
        if choice in (Choice.ROLL_BACK, Choice.STOP):
            steps.leave(verdict)
        if choice is not None:
            return choice
        await steps.guard()


async def ask(
    steps: "Steps",
    step: str,
    verdict: Verdict,
    choices: tuple[Choice, ...],
    default: Choice,
    deadline: float | None = None,
) -> Choice | None:
    """Ask a person once. None: somebody interrupted instead."""
    seconds = deadline or steps.lengths.operator_deadline
    run, controls = steps.run, steps.controls
    wait = _wait(run, step, verdict, choices, default, seconds)
    controls.wait_for_decision(wait, step)
    run.waiting_for = [wait]
    steps.say(step, verdict.because, seconds=seconds)
    steps.notices.send("parked", f"Parked: {step}", verdict.because, next_=wait.command)
    try:
        ready = await steps.until(
            lambda: controls.decision is not None or controls.interrupts,
            seconds,
            f"parked {step}: {verdict.reason.value}",
        )
    finally:
        run.waiting_for = []
        decision = controls.unpark()
    if decision is not None:
        steps.event(f"{step}: {decision.choice.value}, {decision.reason}", by=decision.person)
        return decision.choice
    if ready:
        return None
    steps.event(f"{step}: nobody answered; {default.value} by default.")
    return default


def _wait(
    run: Run,
    step: str,
    verdict: Verdict,
    choices: tuple[Choice, ...],
    default: Choice,
    seconds: float,
) -> Wait:
    first = choices[0].value
    return Wait(
        kind="operator",
        who=[run.plan.contacts.on_call.name],
        what=f"a decision about {step}: {verdict.because}",
        until=workflow.now() + about(seconds),
        default=default.value,
        command=f"slipway resolve {run.id} {first} --step {step} --reason WHY",
        choices=list(dict.fromkeys(choices)),
        verdict=verdict,
    )
