"""The watch over all services: one activity a slice, which returns early on ROLLBACK."""

from typing import TYPE_CHECKING

from temporalio import activity

from activities.before import read_before
from activities.heartbeat import current_progress
from activities.probing import Prober
from activities.window import Instruments, Window
from slipway.messages.watch import Before, ReadBefore, SliceSeen, WatchSlice

if TYPE_CHECKING:
    from activities.adapters.cluster import Cluster
    from activities.adapters.http import Http
    from activities.adapters.probes import Probes
    from activities.adapters.prometheus import Prometheus
    from activities.log_source import LogSource


class Watch:
    """Watches by every signal there is: health, pods, traffic, logs, corruption probes."""

    def __init__(
        self,
        cluster: "Cluster",
        metrics: "Prometheus",
        logs: "LogSource",
        http: "Http",
        probes: "Probes",
    ) -> None:
        self._instruments = Instruments(cluster, metrics, logs, Prober(http, cluster), probes)

    @activity.defn(name="watch.slice")
    async def slice(self, request: WatchSlice) -> SliceSeen:
        """Watch for `length` seconds. What cannot be read is INCONCLUSIVE at the window's end."""
        progress = current_progress()
        return await Window(self._instruments, request, progress).watch()

    @activity.defn(name="watch.before")
    async def before(self, request: ReadBefore) -> Before:
        """Read every service's traffic before the deployment, and the values that probes compare.
        What cannot be read says so."""
        found = await read_before(self._instruments.metrics, request)
        results = await self._instruments.probes.run(request.probe_url, request.corruption, {})
        return found.model_copy(
            update={
                "probes": {one.name: one.value for one in results if one.value},
                "missing": [f"{one.name}: {one.because}" for one in results if not one.value],
            }
        )
