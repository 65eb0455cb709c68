"""`slipway observe` as a person runs it: start, follow, join, label, end, start again."""

import asyncio
import json
import os
import sys
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import pytest_asyncio
from temporalio.client import Client

from slipway import names
from slipway.messages.observe import ObserveState
from slipway.verdicts import Kind, Reason
from tests.fakes.observing import BEGAN, looked, rollout
from tests.fakes.plans import small_plan
from tests.fakes.world import says
from tests.workflow.case import ROOT
from tests.workflow.hall import Done
from tests.workflow.observed import QUICK, Observed
from tests.workflow.patient_cli import PATIENT
from tests.workflow.waiting import PATIENCE


@dataclass
class Terminal:
    """Somebody's shell, with the plan in a file."""

    seen: Observed
    file: Path

    @property
    def settings(self) -> dict[str, str]:
        client = self.seen.client
        return {
            "PATH": os.environ["PATH"],
            "PYTHONPATH": str(ROOT),
            "TEMPORAL_ADDRESS": client.service_client.config.target_host,
            "TEMPORAL_NAMESPACE": client.namespace,
            "SLIPWAY_TASK_QUEUE": self.seen.queue.removesuffix("-observe"),
            "SLIPWAY_PERSON": "sre@teei.example",
        }

    async def begins(self, *options: str) -> asyncio.subprocess.Process:
        """Start the command."""
        return await asyncio.create_subprocess_exec(
            sys.executable,
            *PATIENT,
            *("observe", str(self.file), *options),
            cwd=ROOT,
            env=self.settings,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )

    async def slipway(self, *options: str) -> Done:
        """Run the command to its end."""
        running = await self.begins(*options)
        out, err = await asyncio.wait_for(running.communicate(), PATIENCE)
        return Done(running.returncode or 0, out.decode(), err.decode())


def _terminal(client: Client, folder: Path) -> Terminal:
    seen = Observed(client, small_plan(timings=QUICK))
    seen.handle = client.get_workflow_handle(
        names.observe_workflow_id(seen.plan.environment), result_type=ObserveState
    )
    file = folder / "plan.yaml"
    file.write_text(json.dumps(seen.plan.model_dump(mode="json", exclude_unset=True)))
    return Terminal(seen, file)


@pytest_asyncio.fixture(loop_scope="session")
async def terminal(client: Client, tmp_path: Path) -> AsyncIterator[Terminal]:
    """A shell while the observing worker runs."""
    one = _terminal(client, tmp_path)
    async with one.seen.working():
        yield one
        if (await one.seen.handle.describe()).close_time is None:
            await one.seen.handle.terminate("the test is over")


async def test_it_is_followed_line_by_line_until_somebody_ends_it(terminal: Terminal) -> None:
    seen = terminal.seen
    seen.world.trouble["observe:analytics"] = [
        says(Kind.ROLLBACK, Reason.ERROR_RATE_TOO_HIGH, "analytics", "41 of 1180 failed")
    ]
    following = await terminal.begins()
    assert following.stdout is not None
    async with asyncio.timeout(PATIENCE):
        first = (await following.stdout.readline()).decode()
        assert "2 services in namespace small-production; nothing is written." in first
        await seen.meets()
        await seen.sees(looked(2, rollout("analytics", "1.1.0", "1.0.0")))
        noticed = (await following.stdout.readline()).decode()
        verdict = (await following.stdout.readline()).decode()
        assert "noticed  analytics-1: analytics:1.0.0 → analytics:1.1.0 by kubectl-set" in noticed
        assert "slipway would have rolled it back" in verdict
        assert "41 of 1180 failed" in verdict

        joined = await terminal.begins("--json")  # as somebody else, who sees what has been
        assert joined.stdout is not None
        lines = [json.loads(await joined.stdout.readline()) for _ in range(2)]
        assert [one["kind"] for one in lines] == ["noticed", "verdict"]

        undo = rollout("analytics", "1.0.0", "1.1.0", born=0.0, began=BEGAN + 100, back=True)
        await seen.sees(looked(101, undo))
        outcome = (await following.stdout.readline()).decode()
        assert "rolled back. It was taken back to analytics:1.0.0 after 1m40s." in outcome
        assert outcome.rstrip().endswith("ROLLBACK was right.")

        ended = await terminal.slipway("--stop")
        assert (ended.code, "Observing ends" in ended.out) == (0, True)
        assert (await following.wait(), await joined.wait()) == (0, 0)


async def test_it_goes_on_where_it_was_ended(terminal: Terminal) -> None:
    seen = terminal.seen
    done = await terminal.slipway("--detach", "--json")
    assert json.loads(done.out)["environment"] == seen.plan.environment
    await seen.meets()
    await seen.sees(looked(2, rollout("analytics", "1.1.0", "1.0.0")))
    await seen.judged()
    said = await terminal.slipway("--label", "analytics-1", "bad", "--because", "wrong totals")
    assert said.out.startswith("Accepted: analytics-1 was bad, says sre@teei.example: wrong totals")
    unknown = await terminal.slipway("--label", "analytics-7", "bad", "--because", "x", "--json")
    assert unknown.code == 2
    assert json.loads(unknown.out)["accepted"] is False

    summary = await terminal.slipway("--summary")
    assert summary.code == 0
    assert "recall 0 of 1 (0%; 95 %: 0% to 79%)" in summary.out
    assert "Missed: 1." in summary.out

    assert (await terminal.slipway("--stop")).code == 0
    again = await terminal.slipway("--stop")
    assert again.code == 2
    assert "is not observed" in again.err
    assert "Missed: 1." in (await terminal.slipway("--summary")).out
    begun = await terminal.slipway("--detach")
    assert "it goes on from 1 rollouts seen before" in begun.out
    assert "Missed: 1." in (await terminal.slipway("--summary")).out


async def test_another_state_of_the_plan_is_told(terminal: Terminal) -> None:
    await terminal.slipway("--detach")
    await terminal.seen.meets()
    await terminal.seen.reaches(lambda one: bool(one.known))
    data = json.loads(terminal.file.read_text())
    terminal.file.write_text(json.dumps({**data, "observe": {"horizon": "12h"}}))
    joined = await terminal.slipway("--detach")
    assert "judged by another state of the plan" in joined.out


async def test_without_a_worker_it_says_which_one_to_start(client: Client, tmp_path: Path) -> None:
    terminal = _terminal(client, tmp_path)
    done = await terminal.slipway("--detach")
    assert done.code == 8
    assert "python -m worker --role observe" in done.err
    nothing = await terminal.slipway("--summary")
    assert nothing.code == 2
    assert f"slipway observe {terminal.file}" in nothing.err
