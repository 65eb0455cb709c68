"""One probe of one service, by its kind: health body, page, or a line in its log."""

import asyncio
import time
from typing import TYPE_CHECKING

from slipway.errors import Forbidden, SlipwayError, Unreachable
from slipway.judgements import answers
from slipway.judgements import workload as objects
from slipway.judgements.logs import LogLine, heartbeat_problem
from slipway.judgements.workload import Raw
from slipway.plan import Service, ServiceKind

if TYPE_CHECKING:
    from activities.adapters.cluster import Cluster
    from activities.adapters.http import Http

_LABEL = {"x-slipway-synthetic": "1"}


class Prober:
    """Asks services how they are. A problem is a sentence without a full stop, no problem the
    empty text."""

    def __init__(self, http: "Http", cluster: "Cluster") -> None:
        """`http` asks services, `cluster` reads the logs of those without HTTP."""
        self._http = http
        self._cluster = cluster

    async def over_http(self, service: Service, base: str | None) -> str:
        """Probe a service of kind http or html at its base address."""
        if not base:
            return "the plan gives no address for it"
        path = service.page.path if service.page else service.health.path if service.health else "/"
        try:
            answer = await self._http.fetch("GET", base.rstrip("/") + path)
            if service.kind is ServiceKind.HTML and service.page is not None:
                answers.check_page(answer, service.page)
            elif service.health is not None:
                answers.check_health(answer, service.health)
        except answers.NoAnswer as error:
            return f"{path}: {error}"
        except answers.Wrong as error:
            return str(error)
        return ""

    async def read(self, service: Service, path: str) -> str:
        """Ask a path that only reads, labelled as slipway's own; only 2xx is an answer."""
        try:
            answer = await self._http.fetch(
                "GET", (service.url or "").rstrip("/") + path, headers=_LABEL
            )
        except answers.NoAnswer as error:
            return f"{path}: {error}"
        return "" if 200 <= answer.status < 300 else f"{path}: {answer.status}"

    async def by_log(self, service: Service, namespace: str, pods: list[str]) -> str:
        """Probe a service of kind log by the lines of its pods; one of them must be alive.

        Raises Unreachable or Forbidden when no log can be read: that tells nothing of the service.
        """
        beat = service.heartbeat
        if beat is None:
            return "the plan gives no heartbeat for it"
        if not pods:
            return "it has no pod"
        read = await asyncio.gather(
            *(self._lines(namespace, pod, service.container, beat.max_silence) for pod in pods)
        )
        lines = [line for found in read if isinstance(found, list) for line in found]
        failed = [found for found in read if isinstance(found, SlipwayError)]
        if len(failed) == len(read):
            silent = [one for one in failed if isinstance(one, Unreachable | Forbidden)]
            if silent:
                raise silent[0]
            return f"its log cannot be read: {failed[0].what}"
        # in a thread: of very many lines it takes longer than an activity may be silent
        return await asyncio.to_thread(
            heartbeat_problem, lines, beat.pattern, time.time(), beat.max_silence
        )

    async def pods_of(self, namespace: str, deployment: str) -> list[str]:
        """Return the names of the pods of a Deployment's current ReplicaSet."""
        found = await self._cluster.get_deployment(namespace, deployment)
        replica_sets, pods = await asyncio.gather(
            self._cluster.list_replica_sets(found), self._cluster.list_pods_of(found)
        )
        current = objects.current_replica_set(found, replica_sets)
        uid = str(objects.metadata(current or {}).get("uid", ""))
        return sorted(map(objects.name_of, _alive(objects.controlled_by(pods, uid))))

    async def _lines(
        self, namespace: str, pod: str, container: str, seconds: float
    ) -> list[LogLine] | SlipwayError:
        try:
            return await self._cluster.pod_log(namespace, pod, container, since_seconds=seconds)
        except SlipwayError as error:
            return error


def _alive(pods: list[Raw]) -> list[Raw]:
    return [pod for pod in pods if not objects.metadata(pod).get("deletionTimestamp")]
