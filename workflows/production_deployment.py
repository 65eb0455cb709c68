"""The playbook as one workflow. `_playbook` reads as the playbook does."""

import asyncio

from temporalio import workflow
from temporalio.exceptions import FailureError

with workflow.unsafe.imports_passed_through():
    from activities.leases import Leases
    from slipway import names
    from slipway.digest import sha256_of
    from slipway.messages.record import AcquireLease, Opening
    from slipway.messages.requests import DeploymentRequest, DeploymentResult
    from slipway.run import new_run
    from slipway.states import Outcome
    from slipway.status import StatusDocument, status_of
    from slipway.subject import Subject, subject_of
    from slipway.verdicts import Reason, Verdict

from workflows.calls import Call, unstoppable
from workflows.controls import Conversation
from workflows.endings import RollBackRun, StopRun, asked, requested
from workflows.finish import finish
from workflows.options import RECORD
from workflows.phases.approval import approval
from workflows.phases.backup import back_up
from workflows.phases.go import go
from workflows.phases.hand_over import hand_over
from workflows.phases.migrate import migrate
from workflows.phases.preflight import preflight
from workflows.phases.roll_back import roll_back
from workflows.phases.roll_out import roll_out
from workflows.phases.verify import verify
from workflows.steps import Steps


@workflow.defn(name=names.DEPLOYMENT_TYPE)
class ProductionDeployment(Conversation):
    """A production release: gates, backup, approval, migrations, eleven services, aftercare."""

    @workflow.init
    def __init__(self, request: DeploymentRequest) -> None:
        self.state = new_run(
            deployment=request.deployment,
            workflow_id=workflow.info().workflow_id,
            plan=request.plan,
            release=request.release,
            started_at=workflow.now(),
        )
        self.steps = Steps(self.state)
        self.controls = self.steps.controls

    @workflow.run
    async def run(self, request: DeploymentRequest) -> DeploymentResult:
        """Carry the release through; put everything back when it must not stay."""
        try:
            await self._playbook()
        except StopRun as stopped:
            await self._stopped(stopped)
        except RollBackRun as wanted:
            await unstoppable(roll_back(self.steps, wanted.verdict))
        except asyncio.CancelledError:
            why = workflow.cancellation_reason() or "no reason given"
            await self._cancelled(asked(Reason.CANCELLED, f"The workflow was cancelled: {why}."))
        except FailureError as error:
            await self._cancelled(asked(Reason.STEP_OUT_OF_ATTEMPTS, str(error)))
        else:
            await unstoppable(self._hand_over())
        return await unstoppable(finish(self.steps))

    async def _hand_over(self) -> None:
        await hand_over(self.steps)
        wish = self.controls.rollback if self.controls else None
        if wish is not None:  # asked and accepted while the release was handed over
            await roll_back(self.steps, requested(wish))

    async def _playbook(self) -> None:
        steps = self.steps
        await self._open()
        await preflight(steps)
        await back_up(steps)
        await approval(steps)
        await go(steps)
        await migrate(steps)
        for service in self.state.plan.services:
            await roll_out(steps, service.name)
        await verify(steps)
        await steps.guard()  # what was asked during the last step is not lost

    async def _open(self) -> None:
        """Begin the record, from which `Rollback` can start, and take the environment. In this
        order: whoever holds the Lease has a record, by which it can be given back."""
        run, steps = self.state, self.steps
        opening = Opening(
            deployment=run.id,
            workflow_id=run.workflow_id,
            plan=run.plan,
            release=run.release,
            plan_sha256=sha256_of(run.plan),
            release_sha256=sha256_of(run.release),
            requester=run.requester,
        )
        await steps.guard()
        steps.say("record", "Beginning the record.")
        await steps.note("open", "open", opening.model_dump(mode="json"))
        request = AcquireLease(
            namespace=run.plan.kubernetes.namespace,
            environment=run.plan.environment,
            deployment=run.id,
            turn=run.turn,
        )
        run.lease = await steps.forward(
            "lease",
            f"Taking {run.plan.environment}.",
            lambda: Call(Leases.acquire, request, RECORD, f"take {run.plan.environment}"),
        )
        await steps.note("done", "lease", {"epoch": run.lease.epoch if run.lease else 0})

    async def _stopped(self, stopped: StopRun) -> None:
        """End before any change; of a reset run the record may know better."""
        if self.state.changed:
            await unstoppable(roll_back(self.steps, stopped.verdict))
            return
        self.state.outcome, self.state.verdict = stopped.outcome, stopped.verdict

    async def _cancelled(self, verdict: Verdict) -> None:
        if self.state.changed:
            await unstoppable(roll_back(self.steps, verdict))
            return
        self.state.outcome = Outcome.STOPPED
        self.state.verdict = verdict

    @workflow.query(name="status", description="The status document")
    def status(self) -> StatusDocument:
        """Return the status document."""
        return status_of(self.state)

    @workflow.query(name="subject", description="What approvers approve, in full")
    def subject(self) -> Subject:
        """Return what the digest to approve stands for."""
        return subject_of(self.state)
