"""The command line as people use it: real processes, a real Temporal server, a world in memory."""

import asyncio
import json
import os
import sys
import uuid
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
import yaml
from temporalio import workflow
from temporalio.api.common.v1 import Payload, WorkflowExecution
from temporalio.api.workflowservice.v1 import DeleteWorkflowExecutionRequest
from temporalio.client import Client, WorkflowHandle
from temporalio.common import RawValue
from temporalio.service import RPCError

from slipway import names
from slipway.states import Phase
from slipway.status import StatusDocument, status_of
from tests.fakes.plans import small_plan, small_release
from tests.unit.examples import fresh_run
from tests.workflow.hall import until
from tests.workflow.harness import Harness
from tests.workflow.patient_cli import IMPATIENT, PATIENT
from tests.workflow.waiting import PATIENCE
from tests.workflow.workers import worker

ROOT = Path(__file__).parents[2]
_QUICK = dict.fromkeys(("settle", "monitor", "final_monitor", "probe", "slice"), "100ms")


@dataclass(frozen=True)
class Done:
    """What a command printed and its exit code."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        """What was printed, as data."""
        return json.loads(self.out)


class Cli:
    """The command line against one environment of its own."""

    def __init__(self, client: Client, folder: Path) -> None:
        plan = small_plan(timings=_QUICK, migrations={"watch": "100ms"})
        self.harness = Harness(client, plan, small_release())
        self.environment = f"c{uuid.uuid4().hex[:8]}"
        self._files = {
            "plan": plan.model_copy(update={"environment": self.environment}),
            "release": small_release(),
        }
        for name, document in self._files.items():
            data = document.model_dump(mode="json", exclude_unset=True)
            (folder / f"{name}.yaml").write_text(yaml.safe_dump(data))
        self.documents = (str(folder / "plan.yaml"), str(folder / "release.yaml"))
        self.command = PATIENT
        self.environ = {
            **os.environ,
            "PYTHONPATH": str(ROOT),
            "TEMPORAL_ADDRESS": client.service_client.config.target_host,
            "TEMPORAL_NAMESPACE": client.namespace,
            "SLIPWAY_TASK_QUEUE": self.harness.queue,
        }

    async def __call__(self, *arguments: str) -> Done:
        """Run a command."""
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            *self.command,
            *arguments,
            cwd=ROOT,
            env=self.environ,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        out, err = await asyncio.wait_for(process.communicate(), PATIENCE)
        assert b"Traceback" not in err
        return Done(process.returncode or 0, out.decode(), err.decode())

    async def start(self) -> str:
        """Start the deployment and return its ID."""
        done = await self("start", *self.documents, "--json")
        assert done.code == 0, done.err
        return str(done.json["id"])

    async def start_with_memo(self, memo: Any) -> WorkflowHandle[Any, Any]:
        """Start a workflow in the environment's place whose memo is this."""
        return await self.harness.client.start_workflow(
            names.DEPLOYMENT_TYPE,
            {},
            id=names.deployment_workflow_id(self.environment),
            task_queue=self.harness.queue,
            memo={names.MEMO_KEY: memo},
        )

    async def until(self, phase: str) -> Any:
        """Wait until the deployment is in a phase, with something to wait for."""
        for _ in range(60):
            seen = await self("status", self.environment, "--json")
            if seen.code == 0 and seen.json["phase"] == phase and seen.json["waiting_for"]:
                return seen.json
        raise AssertionError(f"{phase} was not reached: {seen}")

    async def release_it(self) -> None:
        """Confirm and approve as the plan's people."""
        await self.until("approval")
        for item, person in (
            ("stakeholders-notified", "pm@teei.example"),
            ("incident-team-on-standby", "oncall@teei.example"),
        ):
            done = await self("acknowledge", self.environment, item, "--person", person)
            assert done.code == 0, done.err
        done = await self(
            "approve", self.environment, "--role", "vp", "--person", "vp@teei.example", "--yes"
        )
        assert done.code == 0, done.err
        assert "Migration 0000_change" in done.out
        assert "Accepted" in done.out


@pytest_asyncio.fixture(loop_scope="session")
async def cli(client: Client, tmp_path: Path) -> AsyncIterator[Cli]:
    """The command line, with both workers running."""
    made = Cli(client, tmp_path)
    async with made.harness.workers():
        yield made


async def test_a_release_from_start_to_report_and_back(cli: Cli, tmp_path: Path) -> None:
    deployment = await cli.start()
    second = await cli("start", *cli.documents)
    assert second.code == 2
    assert f"{cli.environment} is held by {deployment}" in second.err
    assert f"slipway status {deployment}" in second.err

    await cli.release_it()
    watched = await cli("watch", deployment)
    assert watched.code == 0
    assert "Nothing failed: the release is deployed" in watched.out

    status = (await cli("status", deployment, "--json")).json
    assert status["outcome"] == "deployed"
    assert status["source"] == "result"

    report = await cli("report", deployment, "--format", "json")
    assert report.json["checklist"] == "10 of 10 done"
    assert report.json["aftercare"]["phase"] == "first day"
    target = tmp_path / "report.md"
    assert (await cli("report", cli.environment, "--output", str(target))).code == 0
    assert "## Checklist: 10 of 10 done" in target.read_text()
    assert "## Aftercare" in target.read_text()
    page = await cli("report", deployment, "--format", "html")
    assert page.out.startswith("<!DOCTYPE html>")
    assert f"{cli.environment} runs {report.json['status']['release']}: 2 services" in page.out
    unwritable = await cli("report", deployment, "--output", str(tmp_path))
    assert unwritable.code == 2
    assert "it cannot be written: Is a directory." in unwritable.err

    late = await cli("abort", deployment)
    assert late.code == 2
    assert "has ended (deployed)" in late.err

    back = await cli("rollback", deployment, "--reason", "reports are wrong")
    assert back.code == 0, back.err
    assert cli.harness.world.schema == "old"
    assert (await cli("status", deployment, "--exit-code")).code == 3
    after = (await cli("report", deployment, "--format", "json")).json
    assert after["production"].startswith(f"{cli.environment} is back as it was before")
    assert [one["did"] for one in after["people"]][-1] == "asked for the rollback"
    assert {"approved", "confirmed stakeholders-notified"} < {one["did"] for one in after["people"]}
    assert after["checklist"] == "10 of 10 done"
    assert [one["step"] for one in after["rollback"]["not_undone"]] == []
    again = await cli("rollback", deployment)
    assert again.code == 2
    assert "rolled back already" in again.err


async def test_approvals_that_do_not_count_are_refused_with_a_sentence(cli: Cli) -> None:
    await cli.start()
    await cli.until("approval")
    meanwhile = await cli("report", cli.environment)
    assert meanwhile.code == 0, meanwhile.err
    assert f"**{cli.environment} is not changed so far: " in meanwhile.out
    assert "> The run goes on: this is how it stood at " in meanwhile.out
    assert "NOT read again: the deployment is still running" in meanwhile.out
    assert "Waits for approval of digest" in meanwhile.out
    place = ("approve", cli.environment, "--role", "vp")
    unasked = await cli(*place, "--person", "vp@teei.example")
    assert unasked.code == 2
    assert "add --yes" in unasked.err
    requester = await cli(*place, "--person", "dev@teei.example", "--yes")
    assert requester.code == 2
    assert "dev@teei.example" in requester.err
    stale = await cli(*place, "--person", "vp@teei.example", "--yes", "--digest", "0" * 64)
    assert stale.code == 2
    assert "is not what is to be approved" in stale.err
    assert (await cli("status", cli.environment, "--exit-code")).code == 7
    reason = ("--reason", "not on a Friday")
    person = ("--role", "cto", "--person", "cto@teei.example")
    rejected = await cli("reject", cli.environment, *person, *reason)
    assert rejected.code == 0, rejected.err
    ended = await cli("watch", cli.environment)
    assert ended.code == 5
    assert "not on a Friday" in ended.out


async def test_pause_resume_and_abort_answer_and_the_run_ends_6(cli: Cli) -> None:
    deployment = await cli.start()
    await cli.until("approval")
    not_paused = await cli("resume", deployment)
    assert not_paused.code == 2
    assert "not paused" in not_paused.out
    paused = await cli("pause", deployment, "--reason", "looking")
    assert paused.code == 0, paused.err
    assert (await cli("resume", deployment)).code == 0
    nothing = await cli("resolve", deployment, "retry")
    assert nothing.code == 2
    assert "no parked step" in nothing.err
    aborted = await cli("abort", deployment, "--reason", "wrong release", "--json")
    assert aborted.code == 0, aborted.err
    assert aborted.json["accepted"] is True
    assert (await cli("watch", deployment)).code == 6
    pointless = await cli("rollback", deployment)
    assert pointless.code == 2
    assert "before it changed anything" in pointless.err


async def test_start_and_wait_shows_whom_it_waits_for_and_ends_with_the_outcome(cli: Cli) -> None:
    waiting = asyncio.create_task(cli("start", *cli.documents, "--wait"))
    await cli.release_it()
    done = await waiting
    assert done.code == 0, done.err
    assert f"answer:  slipway approve {cli.environment}-" in done.out
    assert "Phase roll_out began." in done.out


async def test_without_a_worker_status_reads_the_memo_and_says_so(
    client: Client, tmp_path: Path
) -> None:
    cli = Cli(client, tmp_path)
    cli.command = IMPATIENT
    deployment = await cli.start()
    done = await cli("status", deployment)
    assert done.code == 0
    assert f"No worker listens on task queue {cli.harness.queue}." in done.out
    assert "this is what stands in its memo" in done.out
    assert "Waiting for a worker to begin." in done.out
    report = await cli("doctor", *cli.documents)
    assert report.code == 8
    assert "No worker listens" in report.err
    untold = await cli("report", deployment)
    assert untold.code == 8
    assert "No worker answered" in untold.err
    assert f"slipway status {deployment}" in untold.err
    unheard = await cli("abort", deployment)
    assert unheard.code == 8
    assert "is kept" in unheard.err
    await client.get_workflow_handle(f"deploy-{cli.environment}").terminate()
    ended = await cli("why", deployment)
    assert "The run was terminated in Temporal" in ended.out
    assert (await cli("status", deployment, "--exit-code")).code == 7


async def test_a_run_that_temporal_ended_is_reported_from_its_record_as_cut_off(
    cli: Cli, client: Client
) -> None:
    deployment = await cli.start()
    await cli.until("approval")
    await client.get_workflow_handle(f"deploy-{cli.environment}").terminate()
    done = await cli("report", deployment)
    assert done.code == 0, done.err
    assert done.out.splitlines()[0].endswith(": cut off")
    assert f"**{cli.environment} was not changed as far as the record tells.**" in done.out
    assert "Temporal ended its workflow as TERMINATED" in done.out
    assert f"slipway rollback {deployment}" in done.out
    data = (await cli("report", deployment, "--format", "json")).json
    assert data["cut_off"] is True


async def test_what_nobody_knows_is_refused_with_a_remedy(cli: Cli) -> None:
    for arguments in (
        ("status", "nowhere"),
        ("status", "nowhere-20261123T200000Z-1a2b3c"),
        ("abort", "nowhere"),
        ("report", "nowhere"),
    ):
        done = await cli(*arguments)
        assert done.code == 2
        assert "Temporal knows no deployment" in done.err
        assert "--plan PLAN" in done.err


async def test_a_namespace_that_is_not_there_is_one_sentence_and_exit_8(cli: Cli) -> None:
    cli.environ["TEMPORAL_NAMESPACE"] = "nowhere"
    for command in ("status", "why"):
        done = await cli(command, cli.environment)
        assert done.code == 8
        assert "nowhere" in done.err
        assert "Check TEMPORAL_NAMESPACE" in done.err
        assert len(done.err.strip().splitlines()) == 1


_BYTES = RawValue(Payload(metadata={"encoding": b"binary/of-tomorrow"}, data=b"\xff\x00"))


@pytest.mark.parametrize(
    "garbage", [{"phase": "on the moon"}, "text", _BYTES], ids=["fields", "text", "bytes"]
)
async def test_a_memo_of_garbage_is_one_sentence_and_exit_2(
    client: Client, tmp_path: Path, garbage: Any
) -> None:
    cli = Cli(client, tmp_path)
    cli.command = IMPATIENT
    handle = await cli.start_with_memo(garbage)
    for command in ("status", "why"):
        done = await cli(command, cli.environment)
        assert done.code == 2
        assert f"The memo of workflow deploy-{cli.environment} cannot be read" in done.err
        assert "newest slipway" in done.err
        assert len(done.err.strip().splitlines()) == 1
    await handle.terminate()


@workflow.defn(name=names.DEPLOYMENT_TYPE, sandboxed=False)
class Newer:
    """A deployment whose memo this slipway cannot read, but whose status it can."""

    @workflow.run
    async def run(self, request: Any) -> None:
        """Wait for ever."""
        await workflow.wait_condition(lambda: False)

    @workflow.query(name="status")
    def status(self) -> StatusDocument:
        """Return a status document."""
        return status_of(fresh_run(phase=Phase.GO))


async def test_where_the_memo_is_garbage_the_worker_is_asked(
    client: Client, tmp_path: Path
) -> None:
    cli = Cli(client, tmp_path)
    handle = await cli.start_with_memo({"phase": "on the moon"})
    async with worker(
        client, cli.harness.queue, cli.harness.world, privileged=False, workflows=[Newer]
    ):
        done = await cli("why", cli.environment)
    assert done.code == 0, done.err
    assert "running, phase go" in done.out
    await handle.terminate()


async def test_a_record_that_is_not_there_is_refused(cli: Cli) -> None:
    lost = f"{cli.environment}-20261123T200000Z-1a2b3c"
    for command in ("report", "status", "rollback"):
        done = await cli(command, lost, "--plan", cli.documents[0])
        assert done.code == 2, done.err
        assert "does not begin with its opening" in done.err


async def test_the_record_is_found_by_the_plan_when_temporal_has_lost_the_run(
    cli: Cli, client: Client
) -> None:
    deployment = await cli.start()
    await cli.until("approval")
    assert (await cli("abort", deployment)).code == 0
    assert (await cli("watch", deployment)).code == 6
    await client.workflow_service.delete_workflow_execution(
        DeleteWorkflowExecutionRequest(
            namespace=client.namespace,
            workflow_execution=WorkflowExecution(workflow_id=f"deploy-{cli.environment}"),
        )
    )
    handle = client.get_workflow_handle(f"deploy-{cli.environment}")
    await _forgotten(handle)
    plan = ("--plan", cli.documents[0])
    by_id = await cli("status", deployment, *plan, "--json")
    assert by_id.json["outcome"] == "stopped"
    assert by_id.json["source"] == "record"
    newest = await cli("why", cli.environment, *plan)
    assert deployment in newest.out


async def _forgotten(handle: WorkflowHandle[Any, Any]) -> None:
    async def look() -> bool:
        try:
            await handle.describe()
        except RPCError:
            return True
        return False

    await until(look)
