"""The watch over all services: one activity a slice, which returns early on ROLLBACK."""

from typing import TYPE_CHECKING

from temporalio import activity

from activities.heartbeat import current_progress
from activities.probing import Prober
from activities.window import Instruments, Window
from slipway.messages.watch import SliceSeen, WatchSlice

if TYPE_CHECKING:
    from activities.adapters.cluster import Cluster
    from activities.adapters.http import Http
    from activities.adapters.probes import Probes
    from activities.adapters.prometheus import Prometheus


class Watch:
    """Watches by every signal there is: health, pods, traffic, logs, corruption probes."""

    def __init__(
        self, cluster: "Cluster", metrics: "Prometheus", http: "Http", probes: "Probes"
    ) -> None:
        self._instruments = Instruments(cluster, metrics, Prober(http, cluster), probes)

    @activity.defn(name="watch.slice")
    async def slice(self, request: WatchSlice) -> SliceSeen:
        """Watch for `length` seconds. What cannot be read is INCONCLUSIVE at the window's end."""
        progress = current_progress()
        return await Window(self._instruments, request, progress).watch()
