"""Aftercare: a day of half-hourly health and hourly error rates, a week of daily checks, and the
items people owe. It watches and tells; it never rolls back."""

from datetime import timedelta

from temporalio import workflow
from temporalio.exceptions import ActivityError

with workflow.unsafe.imports_passed_through():
    from activities.notices import Announcements
    from activities.record import Records
    from activities.watch import Watch
    from slipway import names
    from slipway.base import Message
    from slipway.digest import canonical
    from slipway.judgements.corruption import of_itself
    from slipway.messages.aftercare import AftercareState, Look
    from slipway.messages.controls import Acknowledge, Reply
    from slipway.messages.notice import Notice, SendNotice
    from slipway.messages.record import Attach, Place
    from slipway.messages.rollout import workload_of
    from slipway.messages.watch import Mark, SliceSeen, Watched, WatchSlice
    from slipway.plan import Plan
    from slipway.release import Release
    from slipway.verdicts import Kind, gravest

from workflows.calls import Call, start_activity
from workflows.endings import sentence_of
from workflows.options import BEST_EFFORT, RECORD, WATCHING

HUMAN_ITEMS = ("user-feedback", "bug-tracking", "performance-optimization")
"""What the playbook asks of people in the first week."""
_LOOK = 5.0
"""Seconds that one look at all services takes (divided by time_scale)."""
_CHECKS_A_DAY = 48
_DAYS = 7


class AftercareRequest(Message):
    """Start of `Aftercare`."""

    deployment: str
    plan: Plan
    release: Release
    pods: dict[str, str]
    """pod-template-hash service by service."""
    place: Place


@workflow.defn(name=names.AFTERCARE_TYPE)
class Aftercare:
    """The first 24 hours and the first week after a release."""

    @workflow.init
    def __init__(self, request: AftercareRequest) -> None:
        self.request = request
        owner = request.plan.contacts.on_call.name
        self.state = AftercareState(
            deployment=request.deployment,
            phase="first day",
            items=dict.fromkeys(HUMAN_ITEMS, f"open, owner {owner}"),
        )
        self.superseded_by = ""
        self._mark: Mark | None = None
        self._notices = 0

    @workflow.run
    async def run(self, request: AftercareRequest) -> AftercareState:
        """Look after the release until the week is over or the next release supersedes it."""
        await self._first_day()
        await self._first_week()
        self._now("ended")
        await self._keep()
        await workflow.wait_condition(workflow.all_handlers_finished)
        return self.state

    async def _first_day(self) -> None:
        lengths = self.request.plan.lengths
        every = lengths.aftercare_health
        hourly = max(1, round(lengths.aftercare_errors / every))
        for number in range(1, _CHECKS_A_DAY + 1):
            if not await self._pause(every, f"health check {number} of {_CHECKS_A_DAY}"):
                return
            await self._look("errors" if number % hourly == 0 else "health")

    async def _first_week(self) -> None:
        self._now("first week")
        for day in range(2, _DAYS + 1):
            if not await self._pause(self.request.plan.lengths.aftercare_day, f"day {day}"):
                return
            await self._look("daily")
        await self._look("weekly")
        open_items = [item for item, state in self.state.items.items() if state.startswith("open")]
        if open_items:
            await self._tell("Owed after the first week", ", ".join(open_items))

    async def _pause(self, seconds: float, summary: str) -> bool:
        """Wait; False when the next release has superseded this one."""
        try:
            await workflow.wait_condition(
                lambda: bool(self.superseded_by),
                timeout=timedelta(seconds=seconds),
                timeout_summary=f"until {summary}",
            )
        except TimeoutError:
            return True
        self.state = self.state.model_copy(update={"superseded_by": self.superseded_by})
        return False

    async def _look(self, kind: str) -> None:
        errors = kind != "health"
        request = self._request(kind, errors)
        try:
            seen: SliceSeen = await start_activity(
                Call(Watch.slice, request, WATCHING.lasting(request.length), f"aftercare {kind}")
            )
        except ActivityError as error:
            await self._found(kind, False, sentence_of(error))
            return
        if errors or self._mark is None:
            self._mark = Mark(began=seen.mark.began + request.length)
        worst = gravest(seen.verdicts)
        healthy = worst is None or worst.kind is Kind.PROCEED
        await self._found(kind, healthy, "all well" if worst is None or healthy else worst.because)

    async def _found(self, kind: str, healthy: bool, because: str) -> None:
        look = Look(at=workflow.now(), kind=kind, healthy=healthy, because=because[:300])
        self.state = self.state.model_copy(update={"looks": [*self.state.looks, look]})
        workflow.set_current_details(f"{self.state.phase}: {kind}: {because[:300]}")
        if not healthy:
            await self._tell(f"Aftercare found trouble ({kind})", because)

    async def _tell(self, title: str, text: str) -> None:
        request, plan = self.request, self.request.plan
        self._notices += 1
        notice = Notice(
            key=f"{request.deployment}/aftercare/{self._notices}",
            kind="aftercare",
            deployment=request.deployment,
            environment=plan.environment,
            release=request.release.version,
            title=title,
            text=text[:2000],
            next=f"slipway rollback {request.deployment}",
            contacts=plan.contacts,
        )
        argument = SendNotice(to=plan.notices, notice=notice)
        call = Call(Announcements.send, argument, BEST_EFFORT, f"notice: {title}", privileged=False)
        try:
            await start_activity(call)
        except ActivityError as error:
            workflow.logger.warning("A notice was not delivered: %s", sentence_of(error))

    async def _keep(self) -> None:
        content = canonical(self.state).decode()
        request = Attach(place=self.request.place, name="aftercare.json", content=content)
        try:
            await start_activity(Call(Records.attach, request, RECORD, "keep what was seen"))
        except ActivityError as error:
            workflow.logger.warning("aftercare.json was not kept: %s", sentence_of(error))

    def _now(self, phase: str) -> None:
        self.state = self.state.model_copy(update={"phase": phase})

    def _request(self, kind: str, errors: bool) -> WatchSlice:
        plan = self.request.plan
        length = plan.scale(_LOOK)
        return WatchSlice(
            window=f"aftercare:{kind}",
            watched=[
                Watched(
                    service=service,
                    workload=workload_of(plan, service),
                    pod_hash=self.request.pods.get(service.name, ""),
                    replaced=False,
                    focus=False,
                )
                for service in plan.services
            ],
            metrics=plan.metrics,
            limits=plan.limits,
            logs=plan.logs,
            loki=plan.loki,
            baseline=plan.lengths.baseline,
            probe_every=plan.lengths.probe,
            length=length,
            window_length=plan.lengths.aftercare_errors if errors else length,
            last=errors,
            mark=self._mark if errors else None,
            corruption=of_itself(plan.corruption),
            probe_url=plan.database.probe_url,
            time_scale=plan.time_scale,
            full=errors,  # latency, connections and external calls belong to these looks
            looks_back=errors,
        )

    @workflow.signal(name="superseded")
    def on_superseded(self, deployment: str) -> None:
        """The next deployment has begun to change production."""
        self.superseded_by = deployment

    @workflow.update(name="acknowledge", description="A person reports on a human item")
    def acknowledge(self, request: Acknowledge) -> Reply:
        """Record that a person has looked after an item."""
        known = request.item in self.state.items
        if known:
            items = {**self.state.items, request.item: f"done by {request.person}: {request.note}"}
            self.state = self.state.model_copy(update={"items": items})
        because = "Recorded." if known else f"Items are {', '.join(HUMAN_ITEMS)}."
        return Reply(request=request.request, kind="acknowledge", accepted=known, because=because)

    @workflow.query(name="status", description="What aftercare has seen so far")
    def status(self) -> AftercareState:
        """Return what aftercare has seen so far."""
        return self.state
