"""The hands of a run. One helper, `forward`, carries every step that goes towards production:
it looks for abort, rollback and cancellation before and after, honours pause, writes the record
with the undo, and only then acts. (A cancel or signal that arrives while an activity completes is
lost otherwise: see docs/architecture.md.)
"""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, Literal, TypeVar

from temporalio import workflow
from temporalio.exceptions import ActivityError, is_cancelled_exception

with workflow.unsafe.imports_passed_through():
    from slipway.messages.record import Artefact, Undo
    from slipway.messages.rollout import Workload, workload_of
    from slipway.plan import Service
    from slipway.run import Event, Run
    from slipway.states import Choice, Outcome, Phase
    from slipway.verdicts import Reason, Verdict

from workflows.asking import park
from workflows.calls import Call, end_of, start_activity
from workflows.controls import Controls
from workflows.display import Display, about
from workflows.endings import Interrupted, RollBackRun, StopRun, failed, requested
from workflows.recording import Recording
from workflows.stopping import honour_abort, honour_pause
from workflows.telling import Notices

T = TypeVar("T")

AT_ONCE = {Reason.MIGRATION_FAILED, Reason.ROLLOUT_DOOMED, Reason.ROLLOUT_TOO_SLOW}
"""After a change these failures are rolled back without asking."""
STOPPING = {
    Reason.GATE_FAILED,
    Reason.ENVIRONMENT_HELD,
    Reason.MIGRATION_REFUSED,
    Reason.BACKUP_NOT_RESTORABLE,
}
"""Before any change these failures end the run without asking."""


class Steps:
    """One run, its controls and its display, and everything a phase does with them."""

    def __init__(self, run: Run) -> None:
        self.run = run
        self.display = Display(run)
        self.controls = Controls(run, self.display.show, self.event)
        self.records = Recording(run, self.event)
        self.notices = Notices(run, self.event)
        self.lengths = run.plan.lengths
        self.asking = asyncio.Lock()
        self.before_first_change: Callable[[], Awaitable[None]] | None = None
        """Proves again what has aged; the phase `go` sets it."""
        self._honouring = asyncio.Lock()
        self._left: Verdict | None = None

    # Saying what happens

    def enter(self, phase: Phase) -> None:
        """Begin a phase."""
        self.run.phase = phase
        self.event(f"Phase {phase.value} began.")

    def say(self, step: str, reason: str, *, seconds: float | None = None) -> None:
        """Say what happens now and, for a wait, how long."""
        self.run.step, self.run.reason = step, reason
        self.run.until = workflow.now() + about(seconds) if seconds else None
        self.display.show()

    def event(self, text: str, by: str = "") -> None:
        """Add a line to the timeline; a repeated one is not written twice."""
        timeline, text = self.run.timeline, text[:500]
        if timeline and (timeline[-1].text, timeline[-1].by) == (text, by):
            return
        timeline.append(Event(at=workflow.now(), phase=self.run.phase, text=text, by=by))

    # Doing

    async def forward(
        self,
        step: str,
        reason: str,
        make: Callable[[], Call],
        *,
        undo: Callable[[], Undo] | None = None,
    ) -> Any:
        """Run one forward step. `make` is asked again for every attempt, since a resumed run
        writes with a new fence. Raises StopRun or RollBackRun when the run must not go on."""
        while True:
            await self.guard()
            self.say(step, reason)
            try:
                if undo is not None:
                    await self._announce(step, undo, reason)
                result = await self.interruptible(make())
            except Interrupted:
                continue
            except ActivityError as error:
                await self._stuck(step, failed(error))
                continue
            await self.guard()
            return result

    async def _announce(self, step: str, undo: Callable[[], Undo], reason: str) -> None:
        """Record a change before it is made. A pause that comes meanwhile waits until the step is
        over: what was proved for it would age."""
        if not self.run.changed and self.before_first_change is not None:
            await self.before_first_change()
            self.say(step, reason)
        await self.records.intend(step, undo(), reason)
        await self.guard(pausing=False)

    async def guard(self, *, pausing: bool = True) -> None:
        """Act on whatever people asked meanwhile. Returns only when the run may go on."""
        controls = self.controls
        if workflow.cancellation_reason() is not None:
            raise asyncio.CancelledError
        if controls.rollback is not None:
            self.leave(requested(controls.rollback))
        if not (controls.aborting or (pausing and controls.pause is not None)):
            return
        async with self._honouring:  # of steps side by side one honours it, the others wait
            if self._left is not None:
                self.leave(self._left)
            while controls.abort is not None:
                await honour_abort(self)
            if pausing and controls.pause is not None:
                await honour_pause(self)
        await self.guard(pausing=pausing)

    async def interruptible(self, call: Call) -> Any:
        """Run an activity; end it and wait for its end when somebody interrupts."""
        handle = start_activity(call)
        try:
            await workflow.wait_condition(lambda: handle.done() or self.controls.interrupts)
        except asyncio.CancelledError:
            await end_of(handle)
            raise
        if handle.done():
            return await handle
        handle.cancel()
        try:
            return await handle
        except ActivityError as error:
            if is_cancelled_exception(error):
                raise Interrupted from None
            raise

    async def call(self, call: Call) -> Any:
        """Run an activity to its end, whatever people ask meanwhile (undo, record, notices)."""
        return await start_activity(call)

    async def until(self, condition: Callable[[], bool], seconds: float, summary: str) -> bool:
        """Wait for a condition, at most so many seconds. False: they passed."""
        try:
            await workflow.wait_condition(
                condition, timeout=about(seconds), timeout_summary=summary
            )
        except TimeoutError:
            return False
        return True

    # Writing down

    async def keep(self, name: str, content: Any) -> Artefact:
        """Keep an artefact. A person is asked when the store refuses every attempt: a release is
        not taken back, and does not go on, because a piece of paper could not be filed."""
        return await self._insist(f"keep:{name}", lambda: self.records.attach(name, content))

    async def note(self, kind: Literal["open", "done"], step: str, data: dict[str, Any]) -> None:
        """Write an entry of the record; a person is asked when the store refuses it."""
        await self._insist(f"record:{step}", lambda: self.records.write(kind, step, data=data))

    async def _insist(self, step: str, make: Callable[[], Awaitable[T]]) -> T:
        while True:
            try:
                return await make()
            except ActivityError as error:
                await self._stuck(step, failed(error))

    # Ending early

    def leave(self, verdict: Verdict) -> None:
        """Leave the way to production: back after a change, else out. Always raises."""
        self.run.verdict = self._left = verdict
        if self.run.changed:
            raise RollBackRun(verdict)
        raise StopRun(Outcome.STOPPED, verdict)

    async def _stuck(self, step: str, verdict: Verdict) -> None:
        await self.guard()  # a cancel that ended the step is delivered only once
        changed = self.run.changed
        if (changed and verdict.reason in AT_ONCE) or (not changed and verdict.reason in STOPPING):
            self.leave(verdict)
        await park(self, step, verdict, (Choice.RETRY,))

    def workload(self, service: Service) -> Workload:
        """Return where a service runs."""
        return workload_of(self.run.plan, service)
