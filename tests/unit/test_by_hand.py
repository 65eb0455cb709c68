"""An undo as a person does it by hand."""

from slipway.by_hand import by_hand
from slipway.messages.record import RestoreDatabase
from slipway.plan import Plan
from tests.unit.examples import approved_run


def undo() -> tuple[Plan, RestoreDatabase]:
    run = approved_run()
    assert run.backup is not None
    return run.plan, RestoreDatabase(backup=run.backup)


def test_the_copy_is_swapped_in() -> None:
    plan, step = undo()
    said = by_hand(plan, step)
    assert said.startswith(f"swap {step.backup.database} for {step.backup.side_database}")
    assert step.backup.key in said


def test_a_copy_on_another_server_is_fetched_first() -> None:
    plan, step = undo()
    database = plan.database.model_copy(update={"restore_server": "env:COPIES"})
    said = by_hand(plan.model_copy(update={"database": database}), step)
    assert said.startswith(f"fetch {step.backup.side_database} from database.restore_server, then")
