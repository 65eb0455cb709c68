"""A look at what windows and checks will judge by: metrics, logs, pages in a browser."""

import asyncio
import time
from itertools import chain
from typing import TYPE_CHECKING

from slipway.base import say_length
from slipway.errors import Unreachable
from slipway.judgements.counters import Series, Unreadable, pods_of_any_version
from slipway.judgements.queries import fill
from slipway.judgements.rendered import judge_rendered, missing
from slipway.judgements.signals import judge_buckets, judge_counters, judge_number
from slipway.judgements.worker import no_browser, not_rendered
from slipway.messages.preflight import Finding
from slipway.messages.rollout import workload_of
from slipway.plan import Plan, Service

if TYPE_CHECKING:
    from activities.adapters.browser import Browser
    from activities.adapters.prometheus import Prometheus
    from activities.log_source import LogSource

_SIDE_BY_SIDE = 5
"""Services that are looked at at a time."""


class SignalLook:
    """Reads what runs now, as it will be read after the release."""

    def __init__(
        self, metrics: "Prometheus", logs: "LogSource", browser: "Browser", plan: Plan
    ) -> None:
        self._metrics = metrics
        self._logs = logs
        self._browser = browser
        self._plan = plan

    async def prometheus(self) -> list[Finding]:
        """Prometheus answers, scrapes something, and gives what the windows will ask it for."""
        plan = self._plan
        answer = await self._metrics.number(plan.metrics.url, "count(up == 1)", time.time())
        if isinstance(answer, Unreadable):
            raise Unreachable(f"{answer.because}.", answer.remedy)
        limit = asyncio.Semaphore(_SIDE_BY_SIDE)

        async def one(service: Service) -> list[Finding]:
            async with limit:
                return await self._counters(service)

        found = await asyncio.gather(*map(one, plan.services))
        return [*chain(*found), *await self._numbers()]

    async def _counters(self, service: Service) -> list[Finding]:
        """The counters and the histogram that a service's windows are judged by."""
        plan, pods = self._plan, pods_of_any_version(service.workload)
        codes = await self._vector(f"count by (code) ({plan.metrics.requests})", pods)
        found = judge_counters(service, codes)
        if isinstance(codes, Unreadable):
            return found
        bounds = await self._vector(f"count by (le) ({plan.metrics.latency})", pods)
        served = await self._vector(f"sum({plan.metrics.requests})", pods)
        requests = 0.0 if isinstance(served, Unreadable) else served[0].samples[-1][1]
        return [*found, *judge_buckets(service, bounds, plan.limits.latency_p95, requests)]

    async def _numbers(self) -> list[Finding]:
        """The two numbers that the last window must be able to read."""
        pods = "|".join(pods_of_any_version(one.workload) for one in self._plan.services)
        found = []
        for name in ("connections", "external"):
            answer = await self._vector(getattr(self._plan.metrics, name), pods)
            found += judge_number(name, answer)
        return found

    async def _vector(self, query: str, pods: str) -> list[Series] | Unreadable:
        """Ask a query of the plan. Unreadable: there is nothing; raises Unreachable when it was
        not answered."""
        plan = self._plan
        window = max(plan.lengths.final_monitor, 4 * plan.metrics.scrape_interval)
        filled = fill(query, namespace=plan.kubernetes.namespace, pods=pods, window=window)
        found = await self._metrics.vector(plan.metrics.url, filled, time.time())
        if isinstance(found, Unreadable) and not found.empty:
            raise Unreachable(f"{found.because}: {query}", found.remedy)
        return found

    async def loki(self) -> list[Finding]:
        """Loki, where the plan names one, answers and holds lines of the services."""
        plan = self._plan
        if plan.loki is None:
            return []
        silent = []
        for one in plan.services:
            work = workload_of(plan, one)
            pods, since = pods_of_any_version(one.workload), time.time() - plan.timings.baseline
            if await self._logs.oldest(plan.loki, work, pods, since) is None:
                silent.append(one.name)
        if not silent:
            return []
        what = f"Loki holds no line of the last {say_length(plan.timings.baseline)} of: "
        remedy = "Correct `loki.selector`, or let their logs be collected: what a pod has written "
        remedy += "and Loki does not hold makes a window inconclusive."
        note = Finding(
            severity="note", group="metrics", what=f"{what}{', '.join(silent)}.", remedy=remedy
        )
        return [note]

    async def pages(self) -> list[Finding]:
        """A browser runs where the worker runs, where the plan looks at pages with one, and shows
        what runs now."""
        wanted = {one.name: one for one in self._plan.services if one.page and one.page.rendered}
        if not wanted:
            return []
        if trouble := await self._browser.trouble():
            return [no_browser(trouble, list(wanted))]
        return [note for one in wanted.values() if (note := await self._shown(one))]

    async def _shown(self, service: Service) -> Finding | None:
        page = service.page
        if page is None:
            return None
        address = (service.url or "").rstrip("/") + page.path
        try:
            seen = await self._browser.look(address, lambda text: missing(page, text) is None)
        except Unreachable as error:
            return not_rendered(service.name, error.what)
        problem = judge_rendered(page, seen.text, seen.complaint, stuck=seen.stuck)
        return not_rendered(service.name, f"{problem}.") if problem else None
