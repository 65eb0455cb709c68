"""Notices to people, sent beside the run: their failure never holds anything up."""

import asyncio
from collections.abc import Callable
from typing import Any

from temporalio import workflow
from temporalio.exceptions import ActivityError

with workflow.unsafe.imports_passed_through():
    from activities.notices import Announcements
    from slipway.messages.notice import Notice, NoticeKind, SendNotice, Sent
    from slipway.run import Run

from workflows.calls import Call, start_activity
from workflows.endings import sentence_of
from workflows.options import BEST_EFFORT


class Notices:
    """What a run tells people. `event` adds a line to the timeline."""

    def __init__(self, run: Run, event: Callable[[str], None]) -> None:
        self._run = run
        self._event = event
        self._sending: set[asyncio.Task[None]] = set()
        self._count = 0
        self.receipts: list[dict[str, Any]] = []

    def send(self, kind: NoticeKind, title: str, text: str, *, next_: str = "") -> None:
        """Send a notice and go on at once."""
        run = self._run
        self._count += 1
        notice = Notice(
            key=f"{run.id}/{self._count}/{kind}",
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
        self._sending.add(task)
        task.add_done_callback(self._sending.discard)

    async def sent(self) -> None:
        """Wait until every notice so far was sent or given up."""
        while self._sending:
            await workflow.wait(list(self._sending))

    async def _send(self, notice: Notice) -> None:
        argument = SendNotice(to=self._run.plan.notices, notice=notice)
        call = Call(
            Announcements.send, argument, BEST_EFFORT, f"notice: {notice.title}", privileged=False
        )
        try:
            sent: Sent = await start_activity(call)
        except ActivityError as error:
            self._event(f"A notice was not delivered: {sentence_of(error)}")
            return
        self.receipts.append(
            {"key": notice.key, "kind": notice.kind, "status": sent.status, "receipt": sent.receipt}
        )
