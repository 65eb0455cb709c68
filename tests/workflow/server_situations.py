"""Situations of which only the Temporal server knows."""

import signal
from datetime import timedelta
from typing import Any

from google.protobuf.duration_pb2 import Duration
from google.protobuf.field_mask_pb2 import FieldMask
from temporalio import workflow
from temporalio.api.activity.v1 import ActivityOptions
from temporalio.api.common.v1 import WorkflowExecution
from temporalio.api.enums.v1 import PendingActivityState
from temporalio.api.workflow.v1 import PendingActivityInfo
from temporalio.api.workflowservice.v1 import (
    DeleteWorkflowExecutionRequest,
    PauseActivityRequest,
    UpdateActivityOptionsRequest,
)
from temporalio.client import WorkflowExecutionStatus, WorkflowHandle
from temporalio.exceptions import ApplicationError
from temporalio.service import RPCError

from slipway import names
from slipway.errors import Unreachable
from slipway.messages.requests import DeploymentRequest, DeploymentResult, RollbackRequest
from slipway.states import Outcome, Phase
from starter.begin import first_memo, search_attributes
from tests.fakes.world import fails
from tests.workflow.case import Case
from tests.workflow.hall import Done, until
from tests.workflow.harness import reset_before
from tests.workflow.holds import Hold
from tests.workflow.situations import (
    SERVICE,
    Situation,
    approved_to_the_end,
    is_put_back,
    is_shown,
    stops,
)

_NO_ANSWER = fails(Unreachable("The API server does not answer.", "Look at it."))
_FIRST = "lease.acquire"
"""The first activity of every run."""


@workflow.defn(name=names.DEPLOYMENT_TYPE, sandboxed=False)
class Broken:
    """A deployment whose code has a bug."""

    @workflow.run
    async def run(self, request: DeploymentRequest) -> DeploymentResult:
        """Fail as a bug does: the workflow task fails, not the workflow."""
        raise KeyError("a bug in the workflow's code")


async def _pending(case: Case, attempt: int = 1) -> PendingActivityInfo:
    """Wait for an activity in flight that has come to this attempt."""
    found: list[PendingActivityInfo] = []

    async def look() -> bool:
        described = (await case.handle.describe()).raw_description
        found[:] = [
            one
            for one in described.pending_activities
            if one.attempt >= attempt and one.activity_type.name != "notice.send"
        ]
        return bool(found)

    await until(look)
    return found[0]


async def _ended_as(handle: WorkflowHandle[Any, Any], status: WorkflowExecutionStatus) -> None:
    async def look() -> bool:
        return (await handle.describe()).status is status

    await until(look)


async def _no_worker(case: Case) -> None:
    await case.begin()


async def _no_privileged_worker(case: Case) -> None:
    await case.works(privileged=False)
    await case.begin()
    await _pending(case)


async def _failing_code(case: Case) -> None:
    await case.works(privileged=False, workflows=[Broken])
    await case.begin()

    async def look() -> bool:
        described = (await case.handle.describe()).raw_description
        return described.pending_workflow_task.attempt >= 2

    await until(look)


async def _stopped_worker(case: Case) -> None:
    await case.works(privileged=False)
    await case.begin()
    await _pending(case)
    await case.stop_working()


async def _killed_worker(case: Case) -> None:
    started = await case.start_worker("--role", "workflow")
    await case.begin()
    await _pending(case)
    started.send_signal(signal.SIGKILL)
    await started.wait()


async def _retrying(case: Case) -> None:
    error = ApplicationError(
        "The API server does not answer. Look at it.",
        type="Unreachable",
        next_retry_delay=timedelta(hours=1),  # else it parks while the machine is busy
    )
    case.world.always[_FIRST] = fails(error)
    await case.begin()
    await _pending(case, attempt=2)


async def _paused_activity(case: Case) -> None:
    case.world.always[_FIRST] = _NO_ANSWER
    await case.begin()
    pending = await _pending(case, attempt=2)
    await case.client.workflow_service.pause_activity(
        PauseActivityRequest(
            namespace=case.client.namespace,
            execution=WorkflowExecution(workflow_id=case.handle.id),
            identity="sre@teei.example",
            id=pending.activity_id,
            reason="the API server is being upgraded",
        )
    )
    await until(lambda: _is_paused(case))  # its attempt in flight, if any, has failed too
    del case.world.always[_FIRST]


async def _is_paused(case: Case) -> bool:
    described = await case.handle.describe()
    pending = described.raw_description.pending_activities
    return any(one.state == PendingActivityState.PENDING_ACTIVITY_STATE_PAUSED for one in pending)


async def _changed_options(case: Case) -> None:
    hold = Hold()
    case.let_go = hold.released
    case.world.trouble[_FIRST] = [hold] * 8  # also what is tried again after its timeout
    await case.begin()
    await hold.met()
    pending = await _pending(case)
    await case.client.workflow_service.update_activity_options(
        UpdateActivityOptionsRequest(
            namespace=case.client.namespace,
            execution=WorkflowExecution(workflow_id=case.handle.id),
            identity="sre@teei.example",
            id=pending.activity_id,
            activity_options=ActivityOptions(start_to_close_timeout=Duration(seconds=47)),
            update_mask=FieldMask(paths=["start_to_close_timeout"]),
        )
    )


async def _terminated_after_a_change(case: Case) -> None:
    hold = Hold()
    case.world.trouble[f"rollout.wait:{SERVICE}"] = [hold]
    await case.begin()
    await case.approve()
    await hold.met()
    await case.handle.terminate(reason="the wrong button")
    hold.released.set()


async def _terminated_before_a_change(case: Case) -> None:
    await case.begin()
    await case.reaches_approval()
    await case.handle.terminate(reason="the wrong button")


async def _terminated_before_it_began(case: Case) -> None:
    await case.begin()
    await case.handle.terminate(reason="the wrong button")


async def _timed_out(case: Case) -> None:
    await case.begin_by_hand(timedelta(hours=1))
    await case.reaches_approval()
    await case.skip(2 * 3600)
    await _ended_as(case.handle, WorkflowExecutionStatus.TIMED_OUT)


async def _reset(case: Case) -> None:
    await case.begin()
    await case.reaches_approval()
    await reset_before(case, "backup.take")
    await case.reaches_approval()


async def _refused_rollback(case: Case) -> None:
    await case.begin()
    await approved_to_the_end(case)
    case.first = case.deployment
    place = case.place
    await case.begin()
    await approved_to_the_end(case)
    release = case.release.version
    handle = await case.client.start_workflow(
        names.ROLLBACK_TYPE,
        RollbackRequest(place=place, person="sre@teei.example", reason="from the UI"),
        id=names.deployment_workflow_id(case.environment),
        task_queue=case.queue,
        memo=first_memo(place, release, Phase.ROLL_BACK),
        search_attributes=search_attributes(place, release, Phase.ROLL_BACK),
    )
    await _ended_as(handle, WorkflowExecutionStatus.FAILED)
    case.deployment, case.first = case.first, case.deployment


async def _forgotten(case: Case) -> None:
    await case.begin()
    await case.reaches_approval()
    await case.signal("abort", "enough")
    await case.ended()
    await case.client.workflow_service.delete_workflow_execution(
        DeleteWorkflowExecutionRequest(
            namespace=case.client.namespace,
            workflow_execution=WorkflowExecution(workflow_id=case.handle.id),
        )
    )
    await until(lambda: _unknown(case))


async def _unknown(case: Case) -> bool:
    try:
        await case.handle.describe()
    except RPCError:
        return True
    return False


async def _works(case: Case, done: Done) -> None:
    """The worker that was started carries the run on."""
    assert done.code == 0, done.out

    async def look() -> bool:
        try:
            return (await case.status()).current.step == "record"
        except RPCError:  # a failed task is tried again ten seconds later
            return False

    await until(look)


async def _listens(case: Case, done: Done) -> None:
    """The worker that was started is there: nothing waits for one any more."""
    assert done.code == 0, done.out

    async def look() -> bool:
        return "No worker listens" not in (await case.why()).out

    await until(look)


async def _leaves(case: Case) -> None:
    await case.stop_working()


async def _gets_going(case: Case, done: Done) -> None:
    assert done.code == 0, done.err
    await case.reaches_approval()


async def _is_as_before(case: Case, done: Done) -> None:
    assert done.code == 0, done.err
    assert (await _pending(case)).activity_options.start_to_close_timeout.seconds == 20
    case.let_go.set()


async def _is_free(case: Case, done: Done) -> None:
    assert done.code == 0, done.err
    assert case.world.holder == ""


async def _starts(case: Case, done: Done) -> None:
    assert done.code == 0, done.err
    assert done.out.startswith(f"Started {case.environment}-")


async def _newer_is_back(case: Case, done: Done) -> None:
    assert done.code == 0, done.err
    assert f"Rolling back {case.first}" in done.out
    assert (await case.ended()).outcome is Outcome.ROLLED_BACK


SERVER = [
    Situation(
        name="no worker",
        drive=_no_worker,
        says=("No worker listens on task queue slipway-test-", "what stands in its memo"),
        paste="Run",
        effect=_works,
        apart=True,
        process=True,
    ),
    Situation(
        name="no privileged worker",
        drive=_no_privileged_worker,
        says=("-privileged. “record: open ", "(record.append) has waited ", "--role privileged"),
        paste="Run",
        effect=_listens,
        apart=True,
        process=True,
    ),
    Situation(
        name="a stopped worker",
        drive=_stopped_worker,
        says=("No worker listens on task queue slipway-test-", "The last one was seen ", "record"),
        paste="Run",
        effect=_works,
        apart=True,
    ),
    Situation(
        name="a killed worker",
        drive=_killed_worker,
        says=("The worker on task queue slipway-test-", "(seen ", " ago) does not answer."),
        paste="Run",
        effect=_works,
        apart=True,
    ),
    Situation(
        name="the workflow's code fails",
        drive=_failing_code,
        says=("The workflow's own code fails: attempt ", "a bug in the workflow's code"),
        paste="Run",
        effect=_works,
        meanwhile=_leaves,
        apart=True,
        process=True,
    ),
    Situation(
        name="an activity is retried",
        drive=_retrying,
        says=("(lease.acquire) fails and is tried again: attempt ", " of 8", "does not answer"),
        paste="Stop",
        effect=stops,
    ),
    Situation(
        name="an activity was paused",
        drive=_paused_activity,
        says=("(lease.acquire) was paused in Temporal by sre@teei.example", "being upgraded"),
        paste="Run",
        effect=_gets_going,
    ),
    Situation(
        name="an activity's options were changed",
        drive=_changed_options,
        says=("Somebody changed", "(lease.acquire)", "start-to-close-timeout 20s → 47s"),
        paste="Run",
        effect=_is_as_before,
    ),
    Situation(
        name="terminated after a change",
        drive=_terminated_after_a_change,
        says=(
            "terminated, phase roll_out",
            "the wrong button",
            f"Production: still changed: migrate, rollout:{SERVICE} (0 of 2 put back).",
        ),
        paste="Run",
        effect=is_put_back,
    ),
    Situation(
        name="terminated before a change",
        drive=_terminated_before_a_change,
        says=("terminated, phase approval", "the wrong button", "Production: nothing was changed"),
        paste="Run",
        effect=_is_free,
    ),
    Situation(
        name="terminated before it began",
        drive=_terminated_before_it_began,
        says=("terminated, phase preflight", "the wrong button", "It had not begun"),
        paste="Run",
        effect=_starts,
        apart=True,
    ),
    Situation(
        name="timed out",
        drive=_timed_out,
        says=("timed_out, phase approval", "an execution timeout, which slipway never sets"),
        paste="Run",
        effect=_is_free,
    ),
    Situation(
        name="reset",
        drive=_reset,
        says=("The run was reset in Temporal at ", "Waits for: approval of digest"),
        paste="Stop",
        effect=stops,
    ),
    Situation(
        name="a rollback that a newer deployment forbids",
        drive=_refused_rollback,
        says=("The rollback could not be carried out", " came after ", "Take that back first"),
        paste="Run",
        effect=_newer_is_back,
    ),
    Situation(
        name="a deployment that Temporal does not know",
        drive=_forgotten,
        says=("Temporal knows no deployment", "--plan PLAN"),
        paste="By the plan",
        effect=is_shown,
    ),
]
