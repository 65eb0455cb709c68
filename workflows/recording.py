"""The record of a run: one entry after the other, and the artefacts beside it."""

import asyncio
from collections.abc import Callable
from typing import Any, Literal

from temporalio import workflow
from temporalio.exceptions import ActivityError, ApplicationError

with workflow.unsafe.imports_passed_through():
    from activities.record import Records
    from slipway.digest import canonical
    from slipway.errors import BadInput
    from slipway.messages.record import Append, Artefact, Attach, Entry, ReadRecord, Record, Undo
    from slipway.run import Run, UndoStep
    from slipway.states import SETTLED, UndoState
    from slipway.undo import adopt, run_from_record
    from slipway.verdicts import Reason

from workflows.calls import Call, start_activity
from workflows.endings import reason_of
from workflows.options import RECORD, Options


class Recording:
    """Writes what a run is about to do and has done. `event` adds a line to the timeline."""

    def __init__(self, run: Run, event: Callable[[str], None]) -> None:
        self._run = run
        self._event = event
        self._writing = asyncio.Lock()

    async def write(
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
        run = self._run
        async with self._writing:  # parts that run side by side write one after the other
            entry = Entry(
                sequence=run.sequence,
                kind=kind,
                step=step,
                because=because,
                undo=undo,
                data=data or {},
            )
            try:
                await self._append(entry, options)
            except ActivityError as error:
                if reason_of(error) is not Reason.FOREIGN_CHANGE:
                    raise
                await self._adopt()
                await self._append(entry.model_copy(update={"sequence": run.sequence}), options)
            run.sequence += 1

    async def intend(self, step: str, undo: Undo, because: str) -> None:
        """Write a change with its undo before it is made; once, however often it is tried. One that
        was put back and is made again (after a reset) is written again."""
        known = self._known(step)
        if known is not None and known.state not in SETTLED:
            return
        await self.write("intent", step, undo=undo, because=because)
        self._run.changed = True
        known = self._known(step)
        if known is None:
            self._run.undo.append(UndoStep(step=step, undo=undo))
        elif known.state in SETTLED:
            known.undo, known.state, known.because = undo, UndoState.READY, ""

    def _known(self, step: str) -> UndoStep | None:
        return next((one for one in self._run.undo if one.step == step), None)

    async def attach(self, name: str, content: Any, media_type: str = "") -> Artefact:
        """Keep an artefact beside the record."""
        text = content if isinstance(content, str) else canonical(content).decode()
        argument = Attach(
            place=self._run.place,
            name=name,
            content=text,
            media_type=media_type or "application/json",
        )
        kept: Artefact = await start_activity(
            Call(Records.attach, argument, RECORD, f"keep artefact {name}")
        )
        return kept

    async def _append(self, entry: Entry, options: Options) -> None:
        argument = Append(place=self._run.place, entry=entry)
        summary = f"record: {entry.kind} {entry.step}"
        await start_activity(Call(Records.append, argument, options, summary))

    async def _adopt(self) -> None:
        """Go on behind the record's end. After a workflow reset this run knows less than the
        record, which holds what the run before the reset has changed, with its undo."""
        run = self._run
        found: Record = await start_activity(
            Call(Records.read, ReadRecord(place=run.place), RECORD, "read the record")
        )
        try:
            written = run_from_record(found, now=run.started_at)
        except BadInput as error:
            raise ApplicationError(str(error), type=error.reason, non_retryable=True) from None
        adopt(run, written)
        self._event("The record was longer than this run knew (a reset?); going on behind it.")
