"""Checks of services: health, critical functions, smoke flows, corruption probes."""

import asyncio
import time
import uuid
from collections import Counter
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any

from temporalio import activity

from activities.probing import Prober
from slipway.checks import Flow, HtmlPage, Step
from slipway.errors import SlipwayError
from slipway.judgements import answers
from slipway.judgements.corruption import judge_probe
from slipway.judgements.log_templates import new_kinds, templates
from slipway.judgements.rendered import judge_rendered, missing
from slipway.messages.watch import Checked, CheckService, RunFlows, RunProbes
from slipway.plan import Service, ServiceKind
from slipway.verdicts import Kind, Reason, Signal, Verdict

if TYPE_CHECKING:
    from activities.adapters.browser import Browser
    from activities.adapters.cluster import Cluster
    from activities.adapters.http import Http
    from activities.adapters.probes import Probes

_FLOW_SECONDS = 20.0
"""One try of one flow, so that three tries fit into the activity's own timeout."""
_SIDE_BY_SIDE = 4
_AGAIN = 1.0
"""Seconds until a step that may take its time is asked again."""


class Checks:
    """Checks that are run once, with a few tries."""

    def __init__(
        self, http: "Http", cluster: "Cluster", probes: "Probes", browser: "Browser"
    ) -> None:
        """`http` asks services, `cluster` reads logs, `probes` asks the database, `browser` shows
        pages whose scripts shall have run."""
        self._browser = browser
        self._http = http
        self._cluster = cluster
        self._probes = probes
        self._prober = Prober(http, cluster)

    @activity.defn(name="check.service")
    async def service(self, request: CheckService) -> Checked:
        """Check a service: its health, its page in a browser where the plan wants that, then its
        critical functions. Three failures are ROLLBACK."""
        service = request.service

        async def healthy() -> str:
            if service.kind is not ServiceKind.LOG:
                return await self._prober.over_http(service, service.url)
            if request.workload is None:
                return "the check names no Deployment whose log could be read"
            where, name = request.workload.namespace, request.workload.deployment
            return await self._prober.by_log(
                service, where, await self._prober.pods_of(where, name)
            )

        problem = await _tried(healthy, request.tries, request.every)
        if problem:
            because = f"{service.name} is not healthy, {request.tries} tries in a row: {problem}."
            return Checked(
                verdicts=[_verdict(Signal.HEALTH, Reason.UNHEALTHY, service.name, because)]
            )
        said = f"{service.name} is healthy"
        verdicts = [_verdict(Signal.HEALTH, Reason.OK, service.name, f"{said}.")]
        if kinds := await self._new_kinds(request):
            verdicts.append(_verdict(Signal.LOGS, Reason.OK, service.name, kinds))
        if service.page and service.page.rendered:
            verdicts.append(await self._rendered(service, service.page, request))
        addresses = {**request.addresses, service.name: service.url or ""}
        for flow in service.critical:
            tried = self._flow(flow, addresses, request.tries, request.every, Signal.CRITICAL)
            verdicts.append(await tried)
        return Checked(verdicts=verdicts)

    async def _rendered(self, service: Service, page: HtmlPage, request: CheckService) -> Verdict:
        address = (service.url or "").rstrip("/") + page.path

        async def shows() -> str:
            seen = await self._browser.look(address, lambda text: missing(page, text) is None)
            return judge_rendered(page, seen.text, seen.complaint, stuck=seen.stuck)

        name, problem = service.name, await _tried(shows, request.tries, request.every)
        if not problem:
            because = f"{name}: a browser shows {page.path} as expected."
            return _verdict(Signal.CRITICAL, Reason.OK, name, because)
        because = f"{name}: {problem}, {request.tries} tries in a row."
        return _verdict(Signal.CRITICAL, Reason.CRITICAL_FUNCTION_BROKEN, name, because)

    async def _new_kinds(self, request: CheckService) -> str:
        """Return which kinds of error lines are new, for people; empty: none, or nobody asked. A
        log that cannot be read is the watch's affair."""
        work, before = request.workload, request.log_templates
        if work is None or before is None:
            return ""
        now: Counter[str] = Counter()
        try:
            for pod in await self._prober.pods_of(work.namespace, work.deployment):
                now += templates(await self._cluster.pod_log(work.namespace, pod, work.container))
        except SlipwayError:
            return ""
        return new_kinds(request.service.name, before, now)

    @activity.defn(name="check.flows")
    async def flows(self, request: RunFlows) -> Checked:
        """Run smoke flows side by side; one that fails three times is ROLLBACK."""
        limit = asyncio.Semaphore(_SIDE_BY_SIDE)
        addresses = {one.name: one.url or "" for one in request.services}

        async def one(flow: Flow) -> Verdict:
            async with limit:
                tried = self._flow(flow, addresses, request.tries, request.every, Signal.SMOKE)
                return await tried

        return Checked(verdicts=list(await asyncio.gather(*map(one, request.flows))))

    @activity.defn(name="check.probes")
    async def probes(self, request: RunProbes) -> Checked:
        """Run the corruption probes once."""
        results = await self._probes.run(request.probe_url, request.probes, {})
        return Checked(verdicts=[judge_probe(one) for one in results])

    async def _flow(
        self, flow: Flow, addresses: dict[str, str], tries: int, every: float, signal: Signal
    ) -> Verdict:
        secrets = {name: self._http.secret(ref) for name, ref in flow.secrets.items()}
        problem = await _tried(lambda: self._try(flow, addresses, secrets), tries, every)
        who = flow.service or flow.steps[0].service
        if not problem:
            return _verdict(signal, Reason.OK, who, f"{flow.name}: {len(flow.steps)} steps passed.")
        for value in secrets.values():
            problem = problem.replace(value, "***")
        critical = signal is Signal.CRITICAL
        reason = Reason.CRITICAL_FUNCTION_BROKEN if critical else Reason.SMOKE_FLOW_BROKEN
        because = f"{flow.name}: {problem}, {tries} tries in a row."
        return _verdict(signal, reason, who, f"{who}: {because}" if who else because)

    async def _try(self, flow: Flow, addresses: dict[str, str], secrets: dict[str, str]) -> str:
        variables: dict[str, Any] = {**secrets, "unique": uuid.uuid4().hex[:16]}
        at = ""
        try:
            async with asyncio.timeout(_FLOW_SECONDS):
                for step in flow.steps:
                    at = f"step {step.name!r}"
                    variables |= await self._passes(flow, step, addresses, variables)
        except TimeoutError:
            return f"{at}: the flow did not end in {_FLOW_SECONDS:.0f} s"
        except answers.Wrong as error:
            return f"{at}: {error}"
        return ""

    async def _passes(
        self, flow: Flow, step: Step, addresses: dict[str, str], variables: dict[str, Any]
    ) -> dict[str, Any]:
        """Ask a step until it passes, as long as it may take."""
        until = time.monotonic() + (step.within or 0.0)
        while True:
            try:
                return await self._step(flow, step, addresses, variables)
            except answers.Wrong as error:
                if time.monotonic() + _AGAIN > until:
                    after = f", {step.within:g} s long" if step.within else ""
                    raise answers.Wrong(f"{error}{after}") from None
            await asyncio.sleep(_AGAIN)

    async def _step(
        self, flow: Flow, step: Step, addresses: dict[str, str], variables: dict[str, Any]
    ) -> dict[str, Any]:
        base = addresses.get(step.service or flow.service or "")
        if not base:
            raise answers.Wrong("the plan gives no address for its service")
        sending = answers.fill_step(step, variables)
        answer = await self._http.fetch(
            sending.method,
            base.rstrip("/") + sending.path,
            headers=sending.headers,
            body=sending.body,
        )
        return answers.check_step(step, answer)


async def _tried(check: Callable[[], Awaitable[str]], tries: int, every: float) -> str:
    """Return the last problem of a check that failed every try; the empty text when one passed."""
    problem = ""
    for number in range(max(1, tries)):
        if number:
            await asyncio.sleep(every)
        problem = await check()
        if not problem:
            return ""
    return problem


def _verdict(signal: Signal, reason: Reason, service: str | None, because: str) -> Verdict:
    kind = Kind.PROCEED if reason is Reason.OK else Kind.ROLLBACK
    return Verdict(kind=kind, signal=signal, reason=reason, service=service, because=because[:1500])
