"""Connecting, building the workers of a role, running them until they are told to stop."""

import asyncio
import logging
import os
import signal
import socket
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import Any

from temporalio.client import Client
from temporalio.common import VersioningBehavior
from temporalio.contrib.pydantic import pydantic_data_converter
from temporalio.envconfig import ClientConfig
from temporalio.runtime import (
    LogForwardingConfig,
    LoggingConfig,
    PrometheusConfig,
    Runtime,
    TelemetryConfig,
    TelemetryFilter,
)
from temporalio.worker import (
    Interceptor,
    Worker,
    WorkerDeploymentConfig,
    WorkerDeploymentVersion,
)

from activities.around import Around
from activities.failures import translating
from activities.heartbeat import beating
from activities.scratch import remove_left, temp_folders
from slipway import names
from worker import registry
from worker.health import Health, probes
from worker.metrics import counting
from worker.settings import Settings

log = logging.getLogger("worker")

_THREADS = 64
"""Blocking client calls at once. Python's own default (CPUs + 4) would let probes of many services
queue behind a slow one."""
_ACTIVITIES = 100
_BEAT = timedelta(seconds=1)
"""Heartbeats are passed on at least this often: a cancellation comes back with their answer."""
_RETRY = 3.0


async def serve(settings: Settings, interceptors: Sequence[Interceptor] = ()) -> None:
    """Serve a role until SIGTERM or SIGINT; then let running activities finish within the grace.

    Raises OSError when the address for probes is taken.
    """
    loop = asyncio.get_running_loop()
    loop.set_default_executor(ThreadPoolExecutor(_THREADS, thread_name_prefix="blocking"))
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    async with probes(settings.health_address) as health:
        await asyncio.to_thread(remove_left, *temp_folders())
        client = await connect(settings, stop)
        if client is not None:
            await _serve(build(client, settings, interceptors), settings, stop, health)
    log.info("Stopped.")


async def _serve(
    workers: list[Worker], settings: Settings, stop: asyncio.Event, health: Health
) -> None:
    log.info(
        "Serving %s on %s in namespace %s.",
        settings.role.value,
        ", ".join(worker.task_queue for worker in workers),
        workers[0].client.namespace,
    )
    health.serving = True
    try:
        await _run(workers, stop)
    finally:
        health.serving = False


async def connect(settings: Settings, stop: asyncio.Event) -> Client | None:
    """Connect, again and again until a server answers; None when told to stop meanwhile."""
    config: dict[str, Any] = {**ClientConfig.load_client_connect_config()}
    config.setdefault("target_host", "localhost:7233")
    runtime = _runtime(settings)
    while not stop.is_set():
        try:
            return await Client.connect(
                **config,
                data_converter=pydantic_data_converter,
                identity=f"slipway-{settings.role.value}-{os.getpid()}@{socket.gethostname()}",
                runtime=runtime,
            )
        except RuntimeError as error:
            log.warning(
                "Temporal at %s does not answer (%s); trying again in %.0f s. Check "
                "TEMPORAL_ADDRESS and that the server runs.",
                config["target_host"],
                str(error)[:200],
                _RETRY,
            )
        await _wait(stop, _RETRY)
    return None


def build(
    client: Client, settings: Settings, interceptors: Sequence[Interceptor] = ()
) -> list[Worker]:
    """Return the workers of a role: one a queue. `interceptors` come innermost."""
    common: dict[str, Any] = {
        "interceptors": [Around(counting), Around(beating), Around(translating), *interceptors],
        "max_concurrent_activities": _ACTIVITIES,
        "max_heartbeat_throttle_interval": _BEAT,
        "default_heartbeat_throttle_interval": _BEAT,
        "graceful_shutdown_timeout": timedelta(seconds=settings.grace),
    }
    workers = []
    if settings.role.serves_workflows:
        workers.append(
            Worker(
                client,
                task_queue=settings.task_queue,
                workflows=registry.workflows(),
                activities=registry.unprivileged(settings),
                deployment_config=_versioned(settings),
                **common,
            )
        )
    if settings.role.is_privileged:
        workers.append(
            Worker(
                client,
                task_queue=names.privileged(settings.task_queue),
                activities=registry.privileged(settings),
                **common,
            )
        )
    if settings.role.observes:
        workers.append(
            Worker(
                client,
                task_queue=names.observing(settings.task_queue),
                workflows=registry.observing_workflows(),
                activities=registry.observing(),
                **common,
            )
        )
    return workers


async def _run(workers: list[Worker], stop: asyncio.Event) -> None:
    """Run until told to stop, or until one worker fails; then end all. Raises what failed."""
    runs = [asyncio.create_task(worker.run()) for worker in workers]
    told = asyncio.create_task(stop.wait())
    await asyncio.wait([*runs, told], return_when=asyncio.FIRST_COMPLETED)
    log.info("Stopping: running activities may finish.")
    told.cancel()
    failed = [run for run in runs if run.done()]
    await asyncio.gather(
        *(worker.shutdown() for worker, run in zip(workers, runs, strict=True) if run not in failed)
    )
    await asyncio.gather(*runs)


async def _wait(stop: asyncio.Event, seconds: float) -> None:
    try:
        await asyncio.wait_for(stop.wait(), seconds)
    except TimeoutError:
        return


def _runtime(settings: Settings) -> Runtime:
    """The SDK's core logs through ours, so that every line has one form."""
    logs = LoggingConfig(
        filter=TelemetryFilter(core_level="WARN", other_level="ERROR"),
        forwarding=LogForwardingConfig(logger=logging.getLogger("temporalio.core")),
    )
    address = settings.metrics_address
    # Prometheus's own unit is the second.
    metrics = PrometheusConfig(address, durations_as_seconds=True) if address else None
    return Runtime(telemetry=TelemetryConfig(logging=logs, metrics=metrics))


def _versioned(settings: Settings) -> WorkerDeploymentConfig | None:
    if not settings.build_id:
        return None
    return WorkerDeploymentConfig(
        version=WorkerDeploymentVersion(
            deployment_name=names.worker_deployment(settings.task_queue),
            build_id=settings.build_id,
        ),
        use_worker_versioning=True,
        default_versioning_behavior=VersioningBehavior.PINNED,
    )
