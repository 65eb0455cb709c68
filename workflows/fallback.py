"""Fallback: keeps what a rollback of the database needs for as long as it may be wanted, and drops
it afterwards. It outlives the deployment that started it, also one that was terminated."""

import asyncio
from datetime import timedelta

from temporalio import workflow
from temporalio.exceptions import ActivityError, ApplicationError

with workflow.unsafe.imports_passed_through():
    from activities.fallbacks import Fallbacks
    from activities.notices import Announcements
    from slipway import names
    from slipway.messages.fallback import (
        EndFallback,
        FallbackReport,
        FallbackRequest,
        Followed,
        FollowFallback,
        KeepFallback,
    )
    from slipway.messages.notice import Notice, SendNotice
    from slipway.messages.record import BackupTaken
    from slipway.states import FallbackState

from workflows.calls import Call, end_of, start_activity
from workflows.endings import sentence_of
from workflows.options import BEST_EFFORT, FOLLOW, UNDO

_STEADY = 30.0
"""Seconds of following after which a copy that could not follow counts as following again."""
_MOST_EPISODES = 3
"""Times that people are told of it."""


@workflow.defn(name=names.FALLBACK_TYPE)
class Fallback:
    """The side database of a deployment's backup, from the backup to the end of the undo window."""

    @workflow.init
    def __init__(self, request: FallbackRequest) -> None:
        self.request = request
        self.state, self.because = FallbackState.READY, ""
        self._told = ""
        self._backup = request.backup
        self._until = workflow.now() + timedelta(seconds=request.keep)
        self._news = False
        self._notices = 0
        self._cannot = False
        self._episodes = 0

    @workflow.run
    async def run(self, request: FallbackRequest) -> FallbackReport:
        """Keep one backup after the other, the newest, until nobody needs it any more."""
        while True:
            backup = self._backup
            await self._keep(backup)
            await self._drop(backup)
            if self._is_newest(backup):
                break
            self.state, self.because = FallbackState.READY, ""
        await workflow.wait_condition(workflow.all_handlers_finished)
        return self.report()

    async def _keep(self, backup: BackupTaken) -> None:
        """Follow, if it is to follow, until its time is over or a newer backup has come."""
        if not (backup.fallback and self.request.follow):
            await self._time_is_over(backup)
            return
        self._now(FallbackState.FOLLOWING)
        waiting = asyncio.create_task(self._time_is_over(backup))
        steady = 0.0
        while True:
            request = FollowFallback(
                deployment=self.request.deployment,
                database=self.request.plan.database,
                backup=backup,
                steady=steady,
            )
            following = start_activity(Call(Fallbacks.follow, request, FOLLOW, "follow production"))
            await workflow.wait([following, waiting], return_when=asyncio.FIRST_COMPLETED)
            if not following.done():
                await end_of(following)
                return
            if not await self._goes_on(following):
                waiting.cancel()
                return
            steady = _STEADY if self._cannot else 0.0

    async def _goes_on(self, following: workflow.ActivityHandle[Followed]) -> bool:
        """Whether to follow again: what can be tried again is, for as long as it may be wanted."""
        try:
            seen = await following
        except ActivityError as error:
            if _may_help_again(error):
                await self._cannot_now(sentence_of(error))
                return True
            seen = Followed(state=FallbackState.LOST, because=sentence_of(error))
        if seen.state is FallbackState.FOLLOWING:
            await self._can_again()
            return True
        self._now(seen.state, seen.because)
        if seen.state is FallbackState.LOST:
            await self._tell("The copy of the database does not follow any more", seen.because)
        return False

    async def _cannot_now(self, because: str) -> None:
        """Say once that following fails and fails: nothing is lost while the server keeps the log,
        but somebody must make room, or open the way."""
        first, self._cannot = not self._cannot, True
        self._now(FallbackState.FOLLOWING, f"fails again and again: {because}")
        if first and self._episodes < _MOST_EPISODES:
            self._episodes += 1
            text = (
                f"{because} It is tried on and on. A rollback loses nothing as long as "
                "production's server keeps its log for the copy (max_slot_wal_keep_size)."
            )
            await self._tell("The copy of the database cannot follow at the moment", text)

    async def _can_again(self) -> None:
        self._cannot = False
        self._now(FallbackState.FOLLOWING)
        await self._tell("The copy of the database follows again", "It catches up by itself.")

    async def _time_is_over(self, backup: BackupTaken) -> None:
        while self._is_newest(backup):
            seconds = (self._until - workflow.now()).total_seconds()
            if seconds <= 0:
                return
            self._news = False
            try:
                await workflow.wait_condition(
                    lambda: self._news, timeout=seconds, timeout_summary="until it may go"
                )
            except TimeoutError:
                continue

    def _is_newest(self, backup: BackupTaken) -> bool:
        return self._backup.side_database == backup.side_database

    async def _drop(self, backup: BackupTaken) -> None:
        request = EndFallback(
            deployment=self.request.deployment, database=self.request.plan.database, backup=backup
        )
        try:
            await start_activity(Call(Fallbacks.end, request, UNDO, "drop what nobody needs now"))
        except ActivityError as error:
            await self._tell("A side database or its slot was not dropped", sentence_of(error))
            return
        if self.state not in (FallbackState.SWAPPED, FallbackState.LOST):
            self._now(FallbackState.ENDED, self._told or self.because)

    def _now(self, state: FallbackState, because: str = "") -> None:
        self.state, self.because = state, because
        workflow.set_current_details(f"{state.value} {because[:300]}".strip())

    async def _tell(self, title: str, text: str) -> None:
        request = self.request
        self._notices += 1
        notice = Notice(
            key=f"{request.deployment}/fallback/{self._notices}",
            kind="aftercare",
            deployment=request.deployment,
            environment=request.plan.environment,
            release=request.release,
            title=title,
            text=text[:2000],
            next=f"slipway status {request.deployment}",
            contacts=request.plan.contacts,
        )
        argument = SendNotice(to=request.plan.notices, notice=notice)
        call = Call(Announcements.send, argument, BEST_EFFORT, f"notice: {title}", privileged=False)
        try:
            await start_activity(call)
        except ActivityError as error:
            workflow.logger.warning("A notice was not delivered: %s", sentence_of(error))

    @workflow.signal(name="keep")
    def on_keep(self, told: KeepFallback) -> None:
        """Somebody knows better how long it is needed."""
        self._until = workflow.now() + timedelta(seconds=max(0.0, told.seconds))
        # Kept apart: a signal may come before following begins, which has reasons of its own.
        self.because = self._told = told.because
        self._news = True

    @workflow.signal(name="replace")
    def on_replace(self, backup: BackupTaken) -> None:
        """A newer backup was taken: the older one's side database goes, this one's is kept."""
        self._backup, self._news = backup, True

    @workflow.query(name="status", description="Where the fallback stands")
    def report(self) -> FallbackReport:
        """Return where the fallback stands."""
        return FallbackReport(
            deployment=self.request.deployment, state=self.state, because=self.because
        )


def _may_help_again(error: ActivityError) -> bool:
    """Whether another attempt may help: a broken connection, a full disk, a dead worker."""
    cause = error.cause
    return not (isinstance(cause, ApplicationError) and cause.non_retryable)
