"""The hands of a run. One helper, `forward`, carries every step that goes towards production:
it looks for abort, rollback and cancellation before and after, honours pause, writes the record
with the undo, and only then acts. (A cancel or signal that arrives while an activity completes is
lost otherwise: see docs/architecture.md.)
"""

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Iterable
from dataclasses import dataclass
from typing import Any, Literal, TypeVar

from temporalio import workflow
from temporalio.exceptions import ActivityError, ApplicationError, is_cancelled_exception
from temporalio.workflow import ActivityCancellationType

with workflow.unsafe.imports_passed_through():
    from activities.leases import Leases
    from activities.migrations import DatabaseMigrations
    from activities.notices import Announcements
    from activities.record import Records
    from activities.rollouts import Rollouts
    from slipway import names
    from slipway.digest import canonical
    from slipway.errors import BadInput
    from slipway.messages.migration import FenceDatabase
    from slipway.messages.notice import Notice, SendNotice, Sent
    from slipway.messages.record import (
        AcquireLease,
        Append,
        Artefact,
        Attach,
        Entry,
        ReadRecord,
        Record,
        RestoreDatabase,
        RestoreService,
        Undo,
    )
    from slipway.messages.rollout import FenceService, Workload
    from slipway.plan import Service
    from slipway.run import Event, Run, UndoStep, Wait
    from slipway.states import AbortState, Choice, Outcome, Phase
    from slipway.undo import adopt, run_from_record
    from slipway.verdicts import Reason, Verdict

from workflows.controls import Controls
from workflows.display import Display, about
from workflows.endings import (
    Interrupted,
    RollBackRun,
    StopRun,
    asked,
    failed,
    reason_of,
    sentence_of,
)
from workflows.options import BEST_EFFORT, RECORD, UNDO, Options

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


@dataclass(frozen=True)
class Call:
    """One activity to run."""

    method: Callable[..., Awaitable[Any]]
    argument: Any
    options: Options
    summary: str
    privileged: bool = True


def start_activity(call: Call) -> workflow.ActivityHandle[Any]:
    """Start an activity on the queue of its rights."""
    queue = workflow.info().task_queue
    return workflow.start_activity_method(
        call.method,
        call.argument,
        task_queue=names.privileged(queue) if call.privileged else queue,
        start_to_close_timeout=call.options.start_to_close,
        schedule_to_close_timeout=call.options.schedule_to_close,
        heartbeat_timeout=call.options.heartbeat,
        retry_policy=call.options.retry,
        cancellation_type=ActivityCancellationType.WAIT_CANCELLATION_COMPLETED,
        summary=call.summary,
    )


class Steps:
    """One run, its controls and its display, and everything a phase does with them."""

    def __init__(self, run: Run) -> None:
        self.run = run
        self.display = Display(run)
        self.controls = Controls(run, self.display.show)
        self.lengths = run.plan.lengths
        self.receipts: list[dict[str, Any]] = []
        self._background: set[asyncio.Task[None]] = set()
        self._asking = asyncio.Lock()
        self._honouring = asyncio.Lock()
        self._notices = 0
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
        """Add a line to the timeline."""
        self.run.timeline.append(
            Event(at=workflow.now(), phase=self.run.phase, text=text[:500], by=by)
        )

    # Doing

    async def forward(
        self, step: str, reason: str, make: Callable[[], Call], *, undo: Undo | None = None
    ) -> Any:
        """Run one forward step. `make` is asked again for every attempt, since a resumed run
        writes with a new fence. Raises StopRun or RollBackRun when the run must not go on."""
        while True:
            await self.guard()
            self.say(step, reason)
            try:
                if undo is not None:
                    await self._intend(step, undo, reason)
                    await self.guard()
                result = await self.interruptible(make())
            except Interrupted:
                continue
            except ActivityError as error:
                await self._stuck(step, failed(error))
                continue
            await self.guard()
            return result

    async def guard(self) -> None:
        """Act on whatever people asked meanwhile. Returns only when the run may go on."""
        if workflow.cancellation_reason() is not None:
            raise asyncio.CancelledError
        if self.controls.rollback is not None:
            wish = self.controls.rollback
            self._leave(asked(Reason.ROLLBACK_REQUESTED, f"{wish.person}: {wish.reason}"))
        if not self.controls.holds:
            return
        async with self._honouring:  # of steps side by side one honours it, the others wait
            if self._left is not None:
                self._leave(self._left)
            while self.controls.abort is not None:
                await self._honour_abort()
            if self.controls.pause is not None:
                await self._honour_pause()
        await self.guard()

    async def interruptible(self, call: Call) -> Any:
        """Run an activity; end it and wait for its end when somebody interrupts."""
        handle = self.start(call)
        try:
            await workflow.wait_condition(lambda: handle.done() or self.controls.interrupts)
        except asyncio.CancelledError:
            await _end(handle)
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
        return await self.start(call)

    def start(self, call: Call) -> workflow.ActivityHandle[Any]:
        """Start an activity on the queue of its rights."""
        return start_activity(call)

    # The record

    async def record(
        self,
        kind: Literal["open", "intent", "done", "artefact", "undone", "end"],
        step: str,
        *,
        undo: Undo | None = None,
        because: str = "",
        data: dict[str, Any] | None = None,
        options: Options = RECORD,
    ) -> None:
        """Write the next entry of the record."""
        run = self.run
        entry = Entry(
            sequence=run.sequence, kind=kind, step=step, because=because, undo=undo, data=data or {}
        )
        try:
            await self._append(entry, options)
        except ActivityError as error:
            if not _taken(error):
                raise
            await self._adopt_record()
            await self._append(entry.model_copy(update={"sequence": run.sequence}), options)
        run.sequence += 1

    async def _append(self, entry: Entry, options: Options) -> None:
        argument = Append(place=self.run.place, entry=entry)
        summary = f"record: {entry.kind} {entry.step}"
        await self.call(Call(Records.append, argument, options, summary))

    async def _adopt_record(self) -> None:
        """Go on behind the record's end. After a workflow reset this run knows less than the
        record, which holds what the run before the reset has changed, with its undo."""
        run = self.run
        found: Record = await self.call(
            Call(Records.read, ReadRecord(place=run.place), RECORD, "read the record")
        )
        try:
            written = run_from_record(found, now=run.started_at)
        except BadInput as error:
            raise ApplicationError(str(error), type=error.reason, non_retryable=True) from None
        adopt(run, written)
        self.event("The record was longer than this run knew (a reset?); going on behind it.")

    async def attach(self, name: str, content: Any, media_type: str = "") -> Artefact:
        """Keep an artefact beside the record."""
        text = content if isinstance(content, str) else canonical(content).decode()
        argument = Attach(
            place=self.run.place,
            name=name,
            content=text,
            media_type=media_type or "application/json",
        )
        kept: Artefact = await self.call(
            Call(Records.attach, argument, RECORD, f"keep artefact {name}")
        )
        return kept

    async def keep(self, name: str, content: Any) -> Artefact:
        """`attach`, and a person is asked when the store refuses every attempt: a release is not
        taken back, and does not go on, because a piece of paper could not be filed."""
        return await self._insist(f"keep:{name}", lambda: self.attach(name, content))

    async def note(self, kind: Literal["open", "done"], step: str, data: dict[str, Any]) -> None:
        """`record`, and a person is asked when the store refuses every attempt."""
        await self._insist(f"record:{step}", lambda: self.record(kind, step, data=data))

    async def _insist(self, step: str, make: Callable[[], Awaitable[T]]) -> T:
        while True:
            try:
                return await make()
            except ActivityError as error:
                await self._stuck(step, failed(error))

    async def _intend(self, step: str, undo: Undo, because: str) -> None:
        if any(one.step == step for one in self.run.undo):
            return
        await self.record("intent", step, undo=undo, because=because)
        self.run.changed = True
        if not any(one.step == step for one in self.run.undo):  # else the record knew it
            self.run.undo.append(UndoStep(step=step, undo=undo))

    # People

    async def park(
        self,
        step: str,
        verdict: Verdict,
        choices: tuple[Choice, ...],
        *,
        deadline: float | None = None,
    ) -> Choice:
        """Wait for a person to decide; at the deadline roll back after a change, else stop.
        Returns RETRY, SKIP or RESUME; raises for the others."""
        default = Choice.ROLL_BACK if self.run.changed else Choice.STOP
        while True:
            async with self._asking:  # steps that run side by side ask one after the other
                choice = await self.ask(step, verdict, (*choices, default), default, deadline)
            if choice in (Choice.ROLL_BACK, Choice.STOP):
                self._leave(verdict)
            if choice is not None:
                return choice
            await self.guard()

    async def ask(
        self,
        step: str,
        verdict: Verdict,
        choices: tuple[Choice, ...],
        default: Choice,
        deadline: float | None = None,
    ) -> Choice | None:
        """Ask a person once. None: somebody interrupted instead."""
        seconds = deadline or self.lengths.operator_deadline
        wait = self._parked(step, verdict, choices, default, seconds)
        self.controls.wait_for_decision(wait, step)
        self.run.waiting_for = [wait]
        self.say(step, verdict.because, seconds=seconds)
        self.notify("parked", f"Parked: {step}", verdict.because, next_=wait.command)
        try:
            ready = await self.until(
                lambda: self.controls.decision is not None or self.controls.interrupts,
                seconds,
                f"parked {step}: {verdict.reason.value}",
            )
        finally:
            self.run.waiting_for = []
            decision = self.controls.unpark()
        if decision is not None:
            self.event(f"{step}: {decision.choice.value}, {decision.reason}", by=decision.person)
            return decision.choice
        if ready:
            return None
        self.event(f"{step}: nobody answered; {default.value} by default.")
        return default

    async def until(self, condition: Callable[[], bool], seconds: float, summary: str) -> bool:
        """Wait for a condition, at most so many seconds. False: they passed."""
        try:
            await workflow.wait_condition(
                condition, timeout=about(seconds), timeout_summary=summary
            )
        except TimeoutError:
            return False
        return True

    def notify(
        self,
        kind: Literal[
            "started", "approval", "parked", "deployed", "rolled_back", "stopped", "aftercare"
        ],
        title: str,
        text: str,
        *,
        next_: str = "",
    ) -> None:
        """Send a notice beside the run: its failure never holds anything up."""
        run = self.run
        self._notices += 1
        notice = Notice(
            key=f"{run.id}/{self._notices}/{kind}",
            kind=kind,
            deployment=run.id,
            environment=run.plan.environment,
            release=run.release.version,
            title=title,
            text=text[:2000],
            next=next_,
            contacts=run.plan.contacts if kind in ("parked", "rolled_back") else None,
        )
        task = asyncio.create_task(self._send(notice))
        self._background.add(task)
        task.add_done_callback(self._background.discard)

    async def _send(self, notice: Notice) -> None:
        argument = SendNotice(to=self.run.plan.notices, notice=notice)
        call = Call(
            Announcements.send, argument, BEST_EFFORT, f"notice: {notice.title}", privileged=False
        )
        try:
            sent: Sent = await self.call(call)
        except ActivityError as error:
            self.event(f"A notice was not delivered: {sentence_of(error)}")
            return
        self.receipts.append(
            {"key": notice.key, "kind": notice.kind, "status": sent.status, "receipt": sent.receipt}
        )

    async def notices_sent(self) -> None:
        """Wait until every notice so far was sent or given up."""
        while self._background:
            await workflow.wait(list(self._background))

    # Ending early

    def _leave(self, verdict: Verdict) -> None:
        self.run.verdict = self._left = verdict
        if self.run.changed:
            raise RollBackRun(verdict)
        raise StopRun(Outcome.STOPPED, verdict)

    async def _stuck(self, step: str, verdict: Verdict) -> None:
        changed = self.run.changed
        if (changed and verdict.reason in AT_ONCE) or (not changed and verdict.reason in STOPPING):
            self._leave(verdict)
        await self.park(step, verdict, (Choice.RETRY,))

    async def _honour_abort(self) -> None:
        wish = self.controls.abort
        if wish is None:
            return
        verdict = asked(Reason.ABORTED, f"{wish.person}: {wish.reason}")
        if self.run.changed:
            await self._quiesce()
        self.controls.abort = None
        self.run.abort = AbortState.ACKNOWLEDGED
        self.event("Abort acknowledged: nothing is in flight, no forward write follows.")
        if not self.run.changed:
            self._leave(verdict)
        await self.park("abort", verdict, (Choice.RESUME,))
        await self._resume()

    async def _quiesce(self) -> None:
        """Write the stop fence wherever an attempt might still be frozen."""
        lease, run = self.run.lease, self.run
        if lease is None:
            return
        for step in run.undo:
            op_id = f"{run.id}/stop:{step.step}"
            if isinstance(step.undo, RestoreService):
                service = run.plan.service(step.undo.service)
                argument: Any = FenceService(
                    workload=self.workload(service),
                    uid=step.undo.captured.uid,
                    fence=lease.stop_fence,
                    op_id=op_id,
                )
                await self.call(Call(Rollouts.fence, argument, UNDO, f"fence {service.name}"))
            elif isinstance(step.undo, RestoreDatabase):
                argument = FenceDatabase(
                    deployment=run.id,
                    database=run.plan.database,
                    fence=lease.stop_fence,
                    op_id=op_id,
                )
                await self.call(Call(DatabaseMigrations.fence, argument, UNDO, "fence database"))

    async def _resume(self) -> None:
        run = self.run
        run.abort = AbortState.NONE  # from here on a new abort counts
        argument = AcquireLease(
            namespace=run.plan.kubernetes.namespace,
            environment=run.plan.environment,
            deployment=run.id,
            fresh=True,
        )
        run.lease = await self.call(Call(Leases.acquire, argument, UNDO, "new epoch after abort"))
        await self.record("done", "resume", data={"epoch": run.lease.epoch if run.lease else 0})
        self.event("Resumed after an abort.")

    async def _honour_pause(self) -> None:
        while self.controls.pause is not None and not self.controls.interrupts:
            wish = self.controls.pause
            seconds = self.lengths.operator_deadline
            default = "rollback" if self.run.changed else "stop"
            self.run.paused_by = wish.person
            self.run.waiting_for = [
                Wait(
                    kind="resume",
                    who=[wish.person],
                    what=f"resume (paused by {wish.person}: {wish.reason})",
                    until=workflow.now() + about(seconds),
                    default=default,
                    command=f"slipway resume {self.run.id}",
                )
            ]
            self.say("pause", f"Paused by {wish.person}: {wish.reason}", seconds=seconds)
            self.notify("parked", "Paused", wish.reason, next_=f"slipway resume {self.run.id}")
            answered = await self.until(
                lambda: self.controls.pause is None or self.controls.interrupts, seconds, "paused"
            )
            self.run.paused_by, self.run.waiting_for = "", []
            if not answered:
                self._leave(asked(Reason.DEADLINE_PASSED, "Paused and nobody resumed in time."))

    def _parked(
        self,
        step: str,
        verdict: Verdict,
        choices: tuple[Choice, ...],
        default: Choice,
        seconds: float,
    ) -> Wait:
        first = choices[0].value
        return Wait(
            kind="operator",
            who=[self.run.plan.contacts.on_call.name],
            what=f"a decision about {step}: {verdict.because}",
            until=workflow.now() + about(seconds),
            default=default.value,
            command=f"slipway resolve {self.run.id} {first} --step {step} --reason WHY",
            choices=list(dict.fromkeys(choices)),
        )

    def workload(self, service: Service) -> Workload:
        """Return where a service runs."""
        return Workload(
            service=service.name,
            namespace=self.run.plan.kubernetes.namespace,
            deployment=service.workload,
            container=service.container,
        )


async def all_of(parts: Iterable[Coroutine[Any, Any, T]]) -> list[T]:
    """Run parts side by side; the first failure ends the others before it is raised."""
    tasks = [asyncio.create_task(part) for part in parts]
    try:
        if tasks:
            await workflow.wait(tasks, return_when=asyncio.FIRST_EXCEPTION)
        for task in tasks:  # a part that waits for a person must not hold up another's failure
            if task.done():
                task.result()
        return [await task for task in tasks]
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def unstoppable(work: Coroutine[Any, Any, T]) -> T:
    """Carry work to its end although the workflow is cancelled meanwhile: a rollback or the
    handing over that is cut off in the middle leaves production half done."""
    task = asyncio.create_task(work)
    while True:
        try:
            return await asyncio.shield(task)
        except asyncio.CancelledError:
            if task.cancelled():
                raise


def _taken(error: ActivityError) -> bool:
    """Whether the record holds another entry under this number."""
    return reason_of(error) is Reason.FOREIGN_CHANGE


async def _end(handle: workflow.ActivityHandle[Any]) -> None:
    """Cancel an activity and wait until it has ended, however it ends."""
    handle.cancel()
    try:
        await handle
    except (ActivityError, asyncio.CancelledError):
        return
