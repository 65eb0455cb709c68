"""A look at what windows and checks will judge by: metrics, logs, pages in a browser."""

import time
from typing import TYPE_CHECKING

from slipway.base import say_length
from slipway.errors import Unreachable
from slipway.judgements.counters import Unreadable, pods_of_any_version
from slipway.judgements.queries import fill
from slipway.judgements.rendered import judge_rendered, missing
from slipway.judgements.worker import no_browser, not_rendered
from slipway.messages.preflight import Finding
from slipway.messages.rollout import workload_of
from slipway.plan import Plan, Service

if TYPE_CHECKING:
    from activities.adapters.browser import Browser
    from activities.adapters.prometheus import Prometheus
    from activities.log_source import LogSource


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
        """Prometheus answers, scrapes something, and knows the services."""
        plan = self._plan
        url, now = plan.metrics.url, time.time()
        answer = await self._metrics.number(url, "count(up == 1)", now)
        if isinstance(answer, Unreadable):
            raise Unreachable(f"{answer.because}.", answer.remedy)
        found = []
        for name in ("requests", "latency"):
            query = fill(getattr(plan.metrics, name), namespace=plan.kubernetes.namespace)
            if isinstance(await self._metrics.vector(url, f"count({query})", now), Unreadable):
                what = f"Prometheus holds no series for `metrics.{name}` of the plan: {query}"
                remedy = "Correct the selector, or let the services be scraped: without them a "
                remedy += "new version cannot be judged by its traffic."
                one = Finding(severity="note", group="metrics", what=what, remedy=remedy)
                found.append(one)
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
