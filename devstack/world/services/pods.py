"""Pods as the world sees them, followed through the Kubernetes API."""

import asyncio
import json
import random
import time
from collections.abc import AsyncIterator, Callable
from typing import Any

import httpx

from devstack.world.behaviour import Outcome, respond, shows
from devstack.world.catalog import ServiceSpec
from devstack.world.faults import Fault, PodFate
from devstack.world.services.counters import Counters
from devstack.world.services.podlogs import PodLog

_SELECTOR = "app.kubernetes.io/part-of=teei"
_PAUSE = 0.5
HEARTBEAT = 15.0
"""Seconds between two heartbeat lines of the bot (divided by `time_scale`)."""
BAD_ROW = 8.0
"""Seconds between two bad rows of a version that corrupts data (divided by `time_scale`)."""
SUMMARY = 10.0
"""Seconds between two lines of a healthy service."""


class Pod:
    """One pod with its fault, counters and log."""

    def __init__(
        self, manifest: dict[str, Any], service: ServiceSpec, fault: Fault, log: PodLog
    ) -> None:
        metadata = manifest["metadata"]
        self.name: str = metadata["name"]
        self.uid: str = metadata["uid"]
        self.template_hash: str = metadata["labels"].get("pod-template-hash", "")
        self.service = service
        self.fault = fault
        self.log = log
        self.image: str = image_of(manifest)
        self.rng = random.Random(self.name)
        self.counters = Counters(service, fault, self.rng)
        self.ready_since: float | None = None
        self.migrated = False
        """Whether its database has the new schema, for a version that minds."""
        self._advanced_at = 0.0
        self._spoke: dict[str, float] = {}

    def begin(self) -> None:
        """Write the first line; a container whose image is missing never says a word."""
        if self.fault.pod is not PodFate.NO_IMAGE:
            self.log.write("INFO", f"starting {self.service.name} {self.image.split('@')[0]}")

    def see(self, manifest: dict[str, Any]) -> None:
        """Take up a newer state of the pod."""
        ready = is_ready(manifest)
        if ready and self.ready_since is None:
            self.ready_since = self._advanced_at = time.monotonic()
            self.log.write("INFO", f"listening on port {self.service.port}")
        elif not ready and self.ready_since is not None:
            self.ready_since = None

    def age(self, time_scale: float) -> float:
        """Return how long the pod has been ready, in seconds times `time_scale`."""
        if self.ready_since is None:
            return 0.0
        return (time.monotonic() - self.ready_since) * time_scale

    def advance(self, rate: float, time_scale: float) -> None:
        """Add the modelled traffic since the last call; `rate` is this pod's, per second."""
        if self.ready_since is None:
            return
        now = time.monotonic()
        elapsed, self._advanced_at = now - self._advanced_at, now
        self.counters.advance(
            rate * time_scale * elapsed, self.age(time_scale), migrated=self.migrated
        )

    def answer(self, route: str, time_scale: float) -> Outcome:
        """Decide one real request."""
        age = self.age(time_scale)
        return respond(self.fault, self.service, route, self.rng, age, migrated=self.migrated)

    def speak(self, now: float, time_scale: float) -> None:
        """Write the lines that are due: the version's complaint, the bot's heartbeat, a summary."""
        if self._complains(time_scale) and self._due(
            "complaint", now, self.fault.log_every / time_scale
        ):
            self.log.write("ERROR", self.fault.log_line)
        if self.ready_since is None:
            return
        if not self.service.has_http and not self.fault.silent:
            if self._due("heartbeat", now, max(0.5, HEARTBEAT / time_scale)):
                self.log.write("INFO", "gateway heartbeat acknowledged")
        elif self._due("summary", now, SUMMARY):
            self.log.write("INFO", "serving")

    def bad_row_due(self, now: float, time_scale: float) -> bool:
        """Return whether the version writes a bad row now."""
        if not self.fault.corrupts or self.ready_since is None:
            return False
        return self._due("bad row", now, BAD_ROW / time_scale)

    def _complains(self, time_scale: float) -> bool:
        """A pod that cannot serve complains while it does not, any other while it serves."""
        if not self.fault.log_line:
            return False
        if self.fault.pod is not PodFate.READY:
            return self.ready_since is None
        ready = self.ready_since is not None
        return ready and shows(self.fault, self.age(time_scale), migrated=self.migrated)

    def _due(self, what: str, now: float, every: float) -> bool:
        if now - self._spoke.get(what, -1e9) < every:
            return False
        self._spoke[what] = now
        return True


def image_of(manifest: dict[str, Any]) -> str:
    """Return the image of the pod's container `app`."""
    containers = manifest["spec"]["containers"]
    return str(next(one["image"] for one in containers if one["name"] == "app"))


def is_ready(manifest: dict[str, Any]) -> bool:
    """Return whether the pod takes traffic: Ready, and not being removed."""
    if "deletionTimestamp" in manifest["metadata"]:
        return False
    conditions = manifest.get("status", {}).get("conditions") or []
    return any(one["type"] == "Ready" and one["status"] == "True" for one in conditions)


async def follow(
    settings: dict[str, Any],
    seen: Callable[[dict[str, Any]], None],
    gone: Callable[[dict[str, Any]], None],
    listed: Callable[[set[str]], None],
) -> None:
    """Report every pod of TEEI for ever: `listed` with all uids after each full list.

    An API server that is away is asked again; nothing is forgotten meanwhile.
    """
    async with httpx.AsyncClient(**settings) as client:
        while True:
            try:
                version = await _list(client, seen, listed)
                async for kind, pod in _watch(client, version):
                    (gone if kind == "DELETED" else seen)(pod)
            except (httpx.HTTPError, KeyError, ValueError):
                await asyncio.sleep(_PAUSE)


async def _list(
    client: httpx.AsyncClient,
    seen: Callable[[dict[str, Any]], None],
    listed: Callable[[set[str]], None],
) -> str:
    answer = await client.get("/api/v1/pods", params={"labelSelector": _SELECTOR})
    answer.raise_for_status()
    found = answer.json()
    for pod in found["items"]:
        seen(pod)
    listed({pod["metadata"]["uid"] for pod in found["items"]})
    return str(found["metadata"]["resourceVersion"])


async def _watch(
    client: httpx.AsyncClient, version: str
) -> AsyncIterator[tuple[str, dict[str, Any]]]:
    """Yield changes until the server ends the watch or says that `version` is too old."""
    wanted = {
        "labelSelector": _SELECTOR,
        "watch": "1",
        "resourceVersion": version,
        "timeoutSeconds": "240",
    }
    timeout = httpx.Timeout(10.0, read=300.0)
    async with client.stream("GET", "/api/v1/pods", params=wanted, timeout=timeout) as stream:
        stream.raise_for_status()
        async for line in stream.aiter_lines():
            change = json.loads(line)
            if change["type"] == "ERROR":
                return
            yield change["type"], change["object"]
