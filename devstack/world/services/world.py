"""All environments together: follows folders and pods, serves metrics and discovery."""

import asyncio
import math
import time
from typing import TYPE_CHECKING, Any

import httpx
import psycopg

from devstack.errors import StackError
from devstack.servers.kubelet import pod_logs
from devstack.world import kube, layout
from devstack.world.catalog import BY_NAME
from devstack.world.database import access
from devstack.world.environment import FILE, PRODUCTION, STAGING, Environment
from devstack.world.faults import Fault
from devstack.world.images import fault_in
from devstack.world.services.counters import TYPES, labelled
from devstack.world.services.http import HttpError, Request, Response
from devstack.world.services.podlogs import PodLog
from devstack.world.services.pods import Pod, follow, image_of
from devstack.world.services.pool import Pool
from devstack.world.services.stage import Stage
from devstack.world.services.writer import Writer

if TYPE_CHECKING:
    from devstack.stack import Stack

_TICK = 0.25
_TEXT = "text/plain; version=0.0.4; charset=utf-8"
_DATABASE_METRICS = """\
# TYPE pg_stat_activity_count gauge
pg_stat_activity_count {connections}
# TYPE pg_settings_max_connections gauge
pg_settings_max_connections {limit}
"""


class Served:
    """One environment in service: two stages and a writer."""

    def __init__(self, stack: "Stack", made: Environment) -> None:
        self.made = made
        address = access.url(stack, access.APP, made.database)
        staging = access.url(stack, access.APP, made.staging_database)
        self.stages = {
            PRODUCTION: Stage(made.namespace, made.time_scale, address),
            STAGING: Stage(made.staging_namespace, made.time_scale, staging),
        }
        self._writer = Writer(address, made)
        self._task: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Listen and write. Raises OSError when a port is taken."""
        for name, stage in self.stages.items():
            await stage.start(self.made.ports[name])
        self._task = asyncio.create_task(self._writer.run())

    async def stop(self) -> None:
        """Stop listening and writing."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait([self._task])
        for stage in self.stages.values():
            await stage.stop()


class World:
    """Everything the process serves."""

    def __init__(self, stack: "Stack") -> None:
        self._stack = stack
        self._served: dict[str, Served] = {}
        self._manifests: dict[str, dict[str, Any]] = {}
        self._kube = httpx.AsyncClient(**kube.settings(stack))
        self._exporter = Pool(access.url(stack, access.EXPORTER, access.CONTROL), 2)
        self._complaint = ""
        self._logs: asyncio.Queue[tuple[str, Pod]] = asyncio.Queue()

    async def run(self) -> None:
        """Follow environments and pods until cancelled."""
        try:
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(self._follow_environments())
                tasks.create_task(self._serve_logs())
                tasks.create_task(self._speak())
                tasks.create_task(self._harm())
                tasks.create_task(
                    follow(kube.settings(self._stack), self._seen, self._gone, self._listed)
                )
        finally:
            for served in self._served.values():
                await served.stop()

    async def handle(self, request: Request) -> Response:
        """Answer the control endpoint: `/sd`, `/metrics/…`, `/environments`."""
        parts = request.path.strip("/").split("/")
        match parts:
            case ["sd"]:
                return Response.of(self._targets(request.headers.get("host", "127.0.0.1")))
            case ["metrics", namespace, "postgres"]:
                return await self._database_metrics(namespace)
            case ["metrics", namespace, "pods"]:
                return self._metrics_of_pods(namespace)
            case ["metrics", namespace, name]:
                return self._pod_metrics(namespace, name)
            case ["environments"]:
                return Response.of(sorted(self._served))
        raise HttpError(404, "there are /sd, /metrics/<namespace>/<pod> and /environments")

    # --- environments ---------------------------------------------------------------------------

    async def _follow_environments(self) -> None:
        while True:
            folder = layout.environments(self._stack)
            present = {file.parent.name: file.parent for file in folder.glob(f"*/{FILE}")}
            for name in set(self._served) - set(present):
                await self._served.pop(name).stop()
            for name in set(present) - set(self._served):
                try:
                    await self._serve(Environment.load(present[name]))
                except (StackError, OSError) as error:  # half-written, or a port is busy: again
                    self._complain(f"environment {name} is not served yet: {error}")
            await asyncio.sleep(_TICK)

    def _complain(self, text: str) -> None:
        """Write a line to the process's own log, the same one only once in a row."""
        if text != self._complaint:
            self._complaint = text
            print(text, flush=True)

    async def _serve(self, made: Environment) -> None:
        served = Served(self._stack, made)
        try:
            await served.start()
        except OSError:
            await served.stop()
            raise
        self._served[made.name] = served
        for manifest in list(self._manifests.values()):
            self._seen(manifest)

    def _stages(self) -> list[tuple[Served, str, Stage]]:
        return [
            (served, name, stage)
            for served in self._served.values()
            for name, stage in served.stages.items()
        ]

    def _stage_of(self, namespace: str) -> tuple[Served, str, Stage] | None:
        return next((one for one in self._stages() if one[2].namespace == namespace), None)

    # --- pods -----------------------------------------------------------------------------------

    def _seen(self, manifest: dict[str, Any]) -> None:
        metadata = manifest["metadata"]
        self._manifests[metadata["uid"]] = manifest
        found = self._stage_of(metadata["namespace"])
        service = BY_NAME.get(metadata["labels"].get("app", ""))
        if found is None or service is None:
            return
        served, side, stage = found
        pod = stage.pods.get(metadata["name"])
        if pod is None or pod.uid != metadata["uid"]:
            path = layout.pod_log(self._stack, stage.namespace, metadata["name"])
            fault = self._fault(served.made, side, image_of(manifest))
            pod = stage.pods[metadata["name"]] = Pod(manifest, service, fault, PodLog(path))
            pod.begin()
            self._logs.put_nowait((stage.namespace, pod))
        pod.see(manifest)

    def _gone(self, manifest: dict[str, Any]) -> None:
        metadata = manifest["metadata"]
        self._manifests.pop(metadata["uid"], None)
        found = self._stage_of(metadata["namespace"])
        if found is not None:
            pod = found[2].pods.get(metadata["name"])
            if pod is not None and pod.uid == metadata["uid"]:
                found[2].pods.pop(metadata["name"]).log.close()

    def _listed(self, uids: set[str]) -> None:
        for manifest in [one for uid, one in self._manifests.items() if uid not in uids]:
            self._gone(manifest)

    @staticmethod
    def _fault(made: Environment, side: str, image: str) -> Fault:
        """Return a pod's fault. Releases show theirs in production only: staging has neither its
        traffic nor its data, and its images carry no fault in their tag."""
        table: dict[str, str] = {}
        if side == PRODUCTION and made.digest_table.exists():
            table = layout.read_json(made.digest_table)
        return fault_in(image, table)

    # --- logs -----------------------------------------------------------------------------------

    async def _serve_logs(self) -> None:
        """Tell kwok where each new pod's log is."""
        while True:
            namespace, pod = await self._logs.get()
            body = pod_logs(namespace, pod.name, pod.log.path, uid=pod.uid)
            path = f"/apis/kwok.x-k8s.io/v1alpha1/namespaces/{namespace}/logs"
            try:
                answer = await self._kube.post(path, json=body)
            except httpx.HTTPError:
                answer = None
            if answer is None or answer.status_code >= 500:
                await asyncio.sleep(_TICK)
                self._logs.put_nowait((namespace, pod))

    async def _speak(self) -> None:
        """Let every pod write what its version writes."""
        while True:
            await asyncio.sleep(_TICK)
            now = time.monotonic()
            for _, _, stage in self._stages():
                for pod in stage.pods.values():
                    pod.speak(now, stage.time_scale)

    async def _harm(self) -> None:
        """Let the versions that mind the schema or spoil data do so in the database itself."""
        while True:
            await asyncio.sleep(_TICK)
            for _, _, stage in self._stages():
                await stage.harm(time.monotonic())

    # --- metrics --------------------------------------------------------------------------------

    def _targets(self, host: str) -> list[dict[str, Any]]:
        """One target for all pods of a namespace: Prometheus takes up new targets every 5 s at the
        most, which is longer than a compressed window. Series name their pod themselves."""
        found = []
        for served, _, stage in self._stages():
            common = {"namespace": stage.namespace, "environment": served.made.name}
            found.append(_target(host, "postgres", {**common, "service": "postgres"}))
            found.append(_target(host, "pods", common))
        return found

    def _metrics_of_pods(self, namespace: str) -> Response:
        found = self._stage_of(namespace)
        if found is None:
            raise HttpError(404, f"no environment has the namespace {namespace}")
        pages = []
        for pod in [one for one in found[2].pods.values() if one.ready_since is not None]:
            found[2].advance(pod)
            labels = {
                "pod": pod.name,
                "instance": pod.name,
                "service": pod.service.name,
                "pod_template_hash": pod.template_hash,
            }
            pages.append(labelled(pod.counters.render(connections=3), labels))
        return Response(200, TYPES + b"".join(pages), _TEXT)

    def _pod_metrics(self, namespace: str, name: str) -> Response:
        found = self._stage_of(namespace)
        pod = found[2].pods.get(name) if found else None
        if found is None or pod is None or pod.ready_since is None:
            raise HttpError(404, f"no ready pod {namespace}/{name}")
        found[2].advance(pod)
        return Response(200, TYPES + pod.counters.render(connections=3), _TEXT)

    async def _database_metrics(self, namespace: str) -> Response:
        found = self._stage_of(namespace)
        if found is None:
            raise HttpError(404, f"no environment has the namespace {namespace}")
        made = found[0].made
        database = made.database if found[1] == PRODUCTION else made.staging_database
        try:
            rows = await self._exporter.run(
                "SELECT count(*) AS used, current_setting('max_connections')::int AS most"
                " FROM pg_stat_activity WHERE datname = %s",
                [database],
            )
        except psycopg.Error as error:
            raise HttpError(503, "PostgreSQL does not answer") from error
        used = max(rows[0]["used"], math.ceil(found[2].connections() * rows[0]["most"]))
        text = _DATABASE_METRICS.format(connections=used, limit=rows[0]["most"])
        return Response(200, text.encode(), _TEXT)


def _target(host: str, name: str, labels: dict[str, str]) -> dict[str, Any]:
    path = f"/metrics/{labels['namespace']}/{name}"
    return {"targets": [host], "labels": {"__metrics_path__": path, "instance": name, **labels}}
