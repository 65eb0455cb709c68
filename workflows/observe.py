"""Observing: rollouts that a team makes in its own way are noticed, judged as slipway would judge
its own, and kept beside what became of them. Nothing is written anywhere but in Temporal.

Moments are read from the clocks of the cluster and of the looking side; the workflow's own clock
only measures how long something took.
"""

import asyncio
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from temporalio import workflow
from temporalio.exceptions import ActivityError

with workflow.unsafe.imports_passed_through():
    from activities.observing import Observing
    from slipway import names
    from slipway.base import say_length
    from slipway.digest import sha256_of
    from slipway.judgements.fates import Became, Patience, after_next, after_time
    from slipway.messages.controls import Reply
    from slipway.messages.observe import (
        Fate,
        Label,
        LabelRequest,
        Look,
        Looked,
        News,
        Observation,
        ObserveMemo,
        ObserveRequest,
        ObserveState,
        Rollout,
        StopObserving,
    )
    from slipway.messages.rollout import workload_of
    from slipway.observed_words import say_noticed
    from slipway.verdicts import Kind, Reason, Signal, Verdict

from workflows.calls import Call, end_of, start_activity
from workflows.endings import reason_of, sentence_of
from workflows.observations import Observations
from workflows.options import WATCHING
from workflows.shadow import judge, rollout_deadline, unchecked

_LOOK = 300.0
"""Seconds of one look at all Deployments (divided by time_scale, as every length)."""
_AGAIN = 30.0
"""Seconds until the next look after one that failed."""
_ENOUGH = 4_000
"""Events after which a new history begins, when no rollout is being judged."""
_MOST = 20_000
"""Events after which one begins in any case; judgements are waited for."""


@dataclass(frozen=True)
class _Judging:
    """A judgement under way."""

    observation: str
    task: "asyncio.Task[None]"


@workflow.defn(name=names.OBSERVE_TYPE)
class Observe:
    """One environment's observer. It runs until somebody stops it."""

    @workflow.init
    def __init__(self, request: ObserveRequest) -> None:
        self.plan = request.plan
        digest = sha256_of(request.plan)
        fresh = ObserveState(
            environment=request.plan.environment, since=workflow.now(), plan_sha256=digest
        )
        state = (request.state or fresh).model_copy(update={"plan_sha256": digest})
        self.kept = Observations(state, self._show)
        self._judging: dict[str, _Judging] = {}
        self._stopped_by = ""

    @workflow.run
    async def run(self, request: ObserveRequest) -> ObserveState:
        """Observe until stopped, in one history after the other; return what was seen."""
        self._show()
        for one in self.kept.state.observations:
            if one.verdict is None:
                self.kept.cut_short(one.id, "Observing ended before it was judged.")
        while not self._stopped_by and not self._history_is_full():
            looked = await self._look()
            if looked is not None:
                self._take(looked)
        await self._end_judging()
        await workflow.wait_condition(workflow.all_handlers_finished)
        if not self._stopped_by:
            workflow.continue_as_new(ObserveRequest(plan=self.plan, state=self.kept.state))
        return self.kept.state

    def _history_is_full(self) -> bool:
        """While a rollout is being judged the history goes on for as long as it can."""
        info = workflow.info()
        events = info.get_current_history_length()
        if self._judging:
            return events > _MOST
        return events > _ENOUGH or info.is_continue_as_new_suggested()

    async def _end_judging(self) -> None:
        if not self._stopped_by:
            await workflow.wait_condition(
                lambda: bool(self._stopped_by) or all(one.task.done() for one in self._each())
            )
        for service in list(self._judging):
            self._give_up(service, f"Observing was stopped by {self._stopped_by}.")
        await asyncio.gather(*(one.task for one in self._each()), return_exceptions=True)
        self._collect()

    # Looking

    async def _look(self) -> Looked | None:
        """Wait for the next look that tells something; None when there was none."""
        length = self.plan.scale(_LOOK)
        options = WATCHING.lasting(length)
        call = Call(
            Observing.notice, self._request(length), options, "look for rollouts", privileged=False
        )
        handle = start_activity(call)
        while not handle.done() and not self._stopped_by:
            await workflow.wait_condition(
                lambda: handle.done() or bool(self._stopped_by) or self._some_are_judged()
            )
            self._collect()
        if not handle.done():
            await end_of(handle)
            return None
        try:
            looked: Looked = await handle
        except ActivityError as error:
            await self._cannot_look(sentence_of(error))
            return None
        if self.kept.state.trouble:
            self.kept.change(trouble="")
            self.kept.tell("trouble", "", "Looking works again.")
        return looked

    async def _cannot_look(self, because: str) -> None:
        """Say it once, and look again after a while: an observer never gives up."""
        if because != self.kept.state.trouble:
            self.kept.change(trouble=because)
            self.kept.tell("trouble", "", f"Nothing can be noticed: {because}")
        try:
            await workflow.wait_condition(
                lambda: bool(self._stopped_by),
                timeout=timedelta(seconds=_AGAIN),
                timeout_summary="until it looks again",
            )
        except TimeoutError:
            return

    def _request(self, length: float) -> Look:
        plan, lengths, state = self.plan, self.plan.lengths, self.kept.state
        services = {one.name for one in plan.services}
        return Look(
            workloads=[workload_of(plan, one) for one in plan.services],
            known={name: one for name, one in state.known.items() if name in services},
            absent=state.absent,
            logs=plan.logs,
            loki=plan.loki,
            baseline=lengths.baseline,
            recent=rollout_deadline(plan),
            every=lengths.probe,
            length=length,
        )

    def _take(self, looked: Looked) -> None:
        """Take in what a look saw: first what it means for older rollouts."""
        state = self.kept.state
        for service, now in looked.standing.items():
            if service in state.known and state.known[service].uid != now.uid:
                self._gone(service, looked.at, "Its Deployment was deleted and created anew.")
        for service in looked.absent:
            if service in state.known:
                self._gone(service, looked.at, "Its Deployment was deleted.")
            elif service not in state.absent:
                self.kept.tell("trouble", "", f"There is no Deployment of {service}.")
        known = {**state.known, **looked.standing}
        known = {name: one for name, one in known.items() if name not in looked.absent}
        self.kept.change(known=known, absent=looked.absent)
        for rollout in looked.rollouts:
            self._notice(rollout, looked)
        self._mark(looked)
        self._age(looked.at)
        self.kept.forget()

    def _gone(self, service: str, at: float, because: str) -> None:
        self._give_up(service, because)
        for one in self.kept.open(service):
            self.kept.settle(one, Became(Fate.DELETED, because), at)

    def _mark(self, looked: Looked) -> None:
        """Note which versions have run by now, and which were scaled away."""
        for service, now in looked.standing.items():
            for one in self.kept.open(service):
                if one.pod_hash != now.pod_hash:
                    continue
                seen = one.model_copy(update={"ran": one.ran or now.ran})
                self.kept.put(seen)
                if now.replicas == 0:
                    became = Became(Fate.SCALED_TO_ZERO, "It was scaled to zero.")
                    self.kept.settle(seen, became, looked.at)

    def _age(self, at: float) -> None:
        for one in self.kept.open():
            became = after_time(one, at - one.began.timestamp(), self._patience)
            if became is not None:
                self.kept.settle(one, became, at)

    @property
    def _patience(self) -> Patience:
        plan = self.plan
        return Patience(
            horizon=plan.scale(plan.observe.horizon),
            replaced_within=plan.scale(plan.observe.replaced_within),
            rollout=rollout_deadline(plan),
        )

    # Judging

    def _notice(self, rollout: Rollout, looked: Looked) -> None:
        service, kept = rollout.service, self.kept
        self._give_up(service, "Another rollout came before it was judged.")
        for one in kept.open(service):
            after = rollout.began - one.began.timestamp()
            kept.settle(one, after_next(one, rollout, after, self._patience), rollout.began)
        kept.change(made=kept.state.made + 1)
        one = Observation(
            **rollout.model_dump(include=_SHARED),
            id=f"{service}-{kept.state.made}",
            began=datetime.fromtimestamp(rollout.began, UTC),
            noticed_after=round(max(0.0, looked.at - rollout.began), 1),
            unchecked=unchecked(self.plan, rollout),
        )
        kept.put(one)
        kept.tell("noticed", one.id, say_noticed(one))
        if one.noticed_after > rollout_deadline(self.plan):
            kept.cut_short(one.id, "It was rolled out while nobody was looking.")
            return
        if looked.standing[service].replicas == 0:
            kept.cut_short(one.id, "It has 0 replicas: nothing runs that could be judged.")
            return
        task = asyncio.create_task(self._judge(one, rollout))
        self._judging[service] = _Judging(one.id, task)

    async def _judge(self, one: Observation, rollout: Rollout) -> None:
        begun = workflow.now()
        try:
            verdict = await judge(self.plan, rollout)
        except ActivityError as error:
            reason, because = reason_of(error), sentence_of(error)
            if reason is Reason.FOREIGN_CHANGE:
                self.kept.cut_short(one.id, because)
                return
            verdict = Verdict(
                kind=Kind.INCONCLUSIVE, signal=Signal.ROLLOUT, reason=reason, because=because
            )
        took = (workflow.now() - begun).total_seconds()
        self.kept.conclude(one.id, verdict, one.noticed_after + took)

    def _give_up(self, service: str, because: str) -> None:
        """End the judgement of a version that is not there any more."""
        judging = self._judging.get(service)
        if judging is not None:
            self.kept.cut_short(judging.observation, because)
            judging.task.cancel()

    def _each(self) -> list[_Judging]:
        return list(self._judging.values())

    def _some_are_judged(self) -> bool:
        return any(one.task.done() for one in self._each())

    def _collect(self) -> None:
        """Let go of judgements that are over. A bug in one of them is raised here."""
        for service, one in list(self._judging.items()):
            if one.task.done():
                del self._judging[service]
                if not one.task.cancelled():
                    one.task.result()

    def _show(self) -> None:
        """Bring memo and details up to date: they can be read while no worker runs."""
        state = self.kept.state
        memo = ObserveMemo(
            environment=state.environment,
            since=state.since,
            plan_sha256=state.plan_sha256,
            observations=len(state.observations),
            judging=[one.id for one in state.observations if one.verdict is None][:20],
            last=state.news[-1].text[:300] if state.news else "",
            trouble=state.trouble[:300],
        )
        workflow.upsert_memo({names.OBSERVE_MEMO: memo.model_dump(mode="json")})
        since = say_length(max(1.0, round(self.kept.age.total_seconds())))
        head = f"Observing **{state.environment}** for {since}: {len(state.observations)} rollouts."
        recent = [f"- {one.text}" for one in state.news[-5:]]
        workflow.set_current_details("\n\n".join([head, state.trouble, *recent]))

    # People

    @workflow.update(name="label", description="A person says how a version was")
    def label(self, request: LabelRequest) -> Reply:
        """Keep a person's word; it stands above what became of the version."""
        one = self.kept.find(request.observation)
        if one is None:
            said = f"There is no observation {request.observation}; `--summary` lists them."
            return Reply(request=request.request, kind="other", accepted=False, because=said)
        word = Label(truth=request.truth, person=request.person, because=request.because)
        self.kept.put(one.model_copy(update={"label": word}))
        said = f"{one.id} was {request.truth.value}, says {request.person}: {request.because}"
        self.kept.tell("label", one.id, said)
        return Reply(request=request.request, kind="other", accepted=True, because=said)

    @workflow.update(name="stop", description="End observing; what was seen stays")
    def stop(self, request: StopObserving) -> Reply:
        """End observing."""
        self._stopped_by = self._stopped_by or request.person
        said = f"Observing ends, with {len(self.kept.state.observations)} rollouts seen."
        return Reply(request=request.request, kind="other", accepted=True, because=said)

    @workflow.query(name="observations", description="Everything seen so far")
    def observations(self) -> ObserveState:
        """Return everything seen so far."""
        return self.kept.state

    @workflow.query(name="news", description="The lines after that number")
    def news(self, after: int) -> list[News]:
        """Return what is new since the line of that number."""
        return [one for one in self.kept.state.news if one.number > after]


_SHARED = {
    "service", "image", "image_before", "pod_hash", "pod_hash_before", "born", "under_way", "back",
    "by", "cause",
}  # fmt: skip
"""What an observation keeps of a rollout as it was noticed."""
