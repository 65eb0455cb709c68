"""One side of an environment, production or staging: its listeners, pods and database."""

import contextlib
import random
import secrets
from typing import LiteralString

import psycopg

from devstack.world.behaviour import Outcome
from devstack.world.catalog import BY_NAME
from devstack.world.faults import Deed, Health
from devstack.world.services import flows
from devstack.world.services.flows import Call
from devstack.world.services.http import Handler, HttpError, Request, Response, Server
from devstack.world.services.pods import Pod
from devstack.world.services.pool import Pool

_HEALTH = {
    Health.UP: Response.of({"status": "UP"}),
    Health.DOWN: Response.of({"status": "DOWN"}, 503),
    Health.WRONG_BODY: Response.of({"state": "fine"}),
}

_OLD_SCHEMA_ONLY: LiteralString = (
    "SELECT language FROM reports, (SELECT 'nb' AS language) AS usual LIMIT 1"
)
"""Fails from the migration on that gives reports a language: the name becomes ambiguous."""
_BAD_ROW: LiteralString = (
    "INSERT INTO ingestion_events (key, source, payload) VALUES (%s, 'api', '[]')"
)
"""An event whose payload is no object: a corruption probe of the plan looks for it."""


class Stage:
    """Answers for all services of one namespace, each request by one of the ready pods."""

    def __init__(self, namespace: str, time_scale: float, address: str) -> None:
        self.namespace = namespace
        self.time_scale = time_scale
        self.pods: dict[str, Pod] = {}
        self._pool = Pool(address)
        self._rng = random.Random(namespace)
        self._servers: list[Server] = []

    async def start(self, listeners: dict[str, int]) -> None:
        """Listen on the port of each service. Raises OSError when one is taken."""
        for service, port in listeners.items():
            server = Server(port, self._handler(service))
            await server.start()
            self._servers.append(server)

    async def stop(self) -> None:
        """Stop listening, close logs and connections."""
        for server in self._servers:
            await server.stop()
        for pod in self.pods.values():
            pod.log.close()
        await self._pool.close()

    def ready(self, service: str) -> list[Pod]:
        """Return the service's pods that take traffic."""
        return [
            pod
            for pod in self.pods.values()
            if pod.service.name == service and pod.ready_since is not None
        ]

    def advance(self, pod: Pod) -> None:
        """Add the modelled traffic that reached a pod since the last time."""
        share = pod.service.rate / max(1, len(self.ready(pod.service.name)))
        pod.advance(share, self.time_scale)

    def connections(self) -> float:
        """Return the share of the server's connections that faulty versions take.

        It is what the gauge shows: really to take them would lock out everybody on the server.
        """
        serving = [pod for pod in self.pods.values() if pod.ready_since is not None]
        return max((pod.fault.connections for pod in serving), default=0.0)

    async def harm(self, now: float) -> None:
        """Run what faulty versions do to the database; while it is away they do nothing."""
        minding = [pod for pod in self.pods.values() if pod.fault.new_schema_only]
        with contextlib.suppress(psycopg.Error):
            if minding:
                migrated = await self._new_schema()
                for pod in minding:
                    pod.migrated = migrated
            for pod in list(self.pods.values()):
                if pod.bad_row_due(now, self.time_scale):
                    await self._pool.run(_BAD_ROW, [f"{pod.name}-{secrets.token_hex(4)}"])

    async def _new_schema(self) -> bool:
        """Run the statement that the new schema breaks, and return whether it did."""
        try:
            await self._pool.run(_OLD_SCHEMA_ONLY)
        except psycopg.errors.AmbiguousColumn:
            return True
        return False

    def _handler(self, service: str) -> Handler:
        async def handle(request: Request) -> Response:
            return await self._serve(service, request)

        return handle

    async def _serve(self, service: str, request: Request) -> Response:
        ready = self.ready(service)
        if not ready:
            return Response.of({"error": f"{service} has no ready pod"}, 503)
        pod = self._rng.choice(ready)
        route, endpoint, parts = _route(service, request)
        outcome = pod.answer(route, self.time_scale)
        if endpoint is None:
            response = _HEALTH[outcome.health]
        else:
            call = Call(request, self._pool, parts, outcome.deed is not Deed.NOT_STORED)
            response = await self._do(pod, endpoint, call, outcome)
        pod.counters.record(route, response.status, outcome.latency)
        return response

    async def _do(
        self, pod: Pod, endpoint: flows.Endpoint, call: Call, outcome: Outcome
    ) -> Response:
        if outcome.code != 200:
            return Response.of({"error": "internal error"}, outcome.code)
        if outcome.deed is Deed.REFUSED:
            return Response.of({"error": "email or password is wrong"}, 401)
        if outcome.deed is Deed.EMPTY:
            return Response.of({})
        try:
            return await endpoint(call)
        except HttpError as error:
            return Response.of({"error": str(error)}, error.status)
        except (psycopg.OperationalError, psycopg.InterfaceError) as error:
            pod.log.write("ERROR", f"[database] cannot reach the database: {error}")
            return Response.of({"error": "the database cannot be reached"}, 503)
        except psycopg.Error as error:
            pod.log.write("ERROR", f"[database] {error.sqlstate}: {error}")
            return Response.of({"error": "the database refused"}, 500)


def _route(service: str, request: Request) -> tuple[str, flows.Endpoint | None, dict[str, str]]:
    """Return route, endpoint (None for health) and parts. Raises HttpError 404."""
    if request.path == "/health" and request.method == "GET":
        return "/health", None, {}
    found = flows.find(service, request.method, request.path)
    if found is None:
        raise HttpError(404, f"{BY_NAME[service].title} has no {request.method} {request.path}")
    return found
