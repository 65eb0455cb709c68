"""What is left of a status document in the memo, when no worker answers."""

from slipway.run import Wait
from slipway.states import Phase
from starter.stand import from_memo, waits_for_person
from tests.unit.examples import ID, after, approved_run, fresh_run
from workflows.display import memo_of

COMMANDS = {
    "approval": f"slipway approve {ID} --role vp",
    "acknowledge": f"slipway acknowledge {ID} stakeholders-notified",
    "operator": f"slipway resolve {ID} retry --step smoke --reason WHY",
    "resume": f"slipway resume {ID}",
    "window": f"slipway abort {ID} --reason WHY",
}


def test_every_kind_of_wait_keeps_its_kind_and_its_command() -> None:
    for kind, command in COMMANDS.items():
        wait = Wait(kind=kind, what="something", until=after(60), command=command)
        memo = memo_of(fresh_run(waiting_for=[wait], until=after(60)))
        (read,) = from_memo(memo, "deploy-demo").waiting_for
        assert (read.kind, read.what, read.command) == (kind, "something", command)


def test_a_wait_for_the_window_waits_for_no_person() -> None:
    waits = [Wait(kind="window", what="the window", command=COMMANDS["window"])]
    assert not waits_for_person(from_memo(memo_of(fresh_run(waiting_for=waits)), "deploy-demo"))


def test_a_wait_without_a_command_is_still_told() -> None:
    memo = memo_of(fresh_run(waiting_for=[Wait(kind="operator", what="x" * 400)]))
    (read,) = from_memo(memo, "deploy-demo").waiting_for
    assert read.what.startswith("xxx")
    assert read.command == ""


def test_phase_step_and_start_are_known() -> None:
    run = approved_run(phase=Phase.ROLL_OUT, step="wait:analytics", reason="Waiting.")
    status = from_memo(memo_of(run), "deploy-demo")
    assert status.phase is Phase.ROLL_OUT
    assert (status.current.step, status.current.reason) == ("wait:analytics", "Waiting.")
    assert status.started_at == after(0)
