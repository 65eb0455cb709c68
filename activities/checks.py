"""Checks of services: health, critical functions, smoke flows, corruption probes."""

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING

from temporalio import activity

from activities.flow_try import FlowTry
from activities.probing import Prober
from slipway.checks import Flow, HtmlPage
from slipway.errors import SlipwayError
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

_SIDE_BY_SIDE = 4


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

        async def passes() -> str:
            return await FlowTry(self._http, flow, addresses, secrets).run()

        problem = await _tried(passes, tries, every)
        who = flow.service or flow.steps[0].service
        if not problem:
            return _verdict(signal, Reason.OK, who, f"{flow.name}: {len(flow.steps)} steps passed.")
        critical = signal is Signal.CRITICAL
        reason = Reason.CRITICAL_FUNCTION_BROKEN if critical else Reason.SMOKE_FLOW_BROKEN
        because = f"{flow.name}: {problem}, {tries} tries in a row."
        return _verdict(signal, reason, who, f"{who}: {because}" if who else because)


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
