"""What every undo needs: asking a person while one is under way, and settling a step."""

from temporalio import workflow
from temporalio.exceptions import FailureError

with workflow.unsafe.imports_passed_through():
    from slipway.run import UndoStep
    from slipway.states import Choice, UndoState
    from slipway.verdicts import Verdict

from workflows.asking import ask
from workflows.endings import told
from workflows.options import BEST_EFFORT
from workflows.steps import Steps


async def ask_meanwhile(
    steps: Steps, step: str, verdict: Verdict, choices: tuple[Choice, ...]
) -> Choice:
    """Ask a person; what else is asked meanwhile is under way already."""
    while True:
        choice = await ask(steps, step, verdict, choices, Choice.STOP)
        if choice is not None:
            return choice
        steps.controls.abort = steps.controls.rollback = None  # asked already: it is under way


async def undone(steps: Steps, step: UndoStep, because: str) -> None:
    """Say and record that a change is put back."""
    steps.event(f"Put back {step.step}: {because}")
    await settle(steps, step, UndoState.DONE, because)


async def not_undone(steps: Steps, step: UndoStep, because: str) -> None:
    """Say and record that a change could not be put back."""
    steps.event(f"Not put back {step.step}: {because}")
    await settle(steps, step, UndoState.FAILED, because)


async def settle(steps: Steps, step: UndoStep, state: UndoState, because: str) -> None:
    """The record follows as well as it can: a dead store must not hold up a rollback."""
    step.state, step.because = state, because
    data = {"state": step.state.value}
    try:
        await steps.records.write(
            "undone", step.step, because=step.because[:1000], data=data, options=BEST_EFFORT
        )
    except FailureError as error:
        steps.event(f"The record could not be written: {told(error)}")
