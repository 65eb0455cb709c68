"""What can be wrong with a version of a service: small values, one per fault.

A fault says how the version behaves; `behaviour` turns that into answers and numbers. Which fault
a version carries is written in its image (see `images`); slipway never reads it there.
"""

from dataclasses import dataclass
from enum import StrEnum

from devstack.world.catalog import NAMES, ServiceSpec


class Health(StrEnum):
    """What the health endpoint says."""

    UP = "up"
    DOWN = "down"
    WRONG_BODY = "wrong_body"


class Deed(StrEnum):
    """What a route really does when it answers without an error."""

    NORMAL = "normal"
    EMPTY = "empty"
    """Answers 200 with nothing useful in it."""
    REFUSED = "refused"
    """Answers 401 to good credentials."""
    NOT_STORED = "not_stored"
    """Accepts and forgets."""


class PodFate(StrEnum):
    """What becomes of the version's pods."""

    READY = "ready"
    CRASH_LOOP = "crash_loop"
    NO_IMAGE = "no_image"
    NEVER_READY = "never_ready"
    DIES = "dies"
    """Ready first; then its container ends, and again at each start."""


@dataclass(frozen=True)
class Fault:
    """One fault. The defaults are a healthy version."""

    name: str
    title: str
    services: frozenset[str] = frozenset(NAMES)
    """Services it applies to."""
    failure_ratio: float = 0.0
    """Share of requests answered 500, on top of the healthy share."""
    begins_after: float = 0.0
    """Seconds of a pod's life before the fault shows (divided by `time_scale`)."""
    latency_factor: float = 1.0
    health: Health = Health.UP
    deed: Deed = Deed.NORMAL
    """What the broken routes do."""
    routes: frozenset[str] = frozenset()
    """Routes that do `deed`; the service's main route when empty."""
    log_line: str = ""
    """An ERROR line each pod writes every `log_every` seconds (divided by `time_scale`)."""
    log_every: float = 8.0
    silent: bool = False
    """Its heartbeat line is missing."""
    external_failure_ratio: float = 0.0
    new_schema_only: bool = False
    """The fault shows only in a database to which the pending migration was applied."""
    connections: float = 0.0
    """Share of the server's connections that the version takes, as the gauge shows it."""
    corrupts: bool = False
    """It writes rows that a corruption probe of the plan finds."""
    pod: PodFate = PodFate.READY

    def applies_to(self, service: str) -> bool:
        """Return whether the service can have this fault."""
        return service in self.services

    def deed_on(self, service: ServiceSpec, route: str) -> Deed:
        """Return what a route of the service does when it does not fail."""
        broken = self.routes or {service.main_route}
        return self.deed if route in broken else Deed.NORMAL


_HTTP = frozenset(NAMES) - {"discord-bot"}
_API = _HTTP - {"corp-cockpit"}
HEALTHY = Fault("healthy", "as it should be")

_ALL = (
    HEALTHY,
    Fault("errors3", "3 % of requests fail", failure_ratio=0.03),
    Fault("errors05", "0.5 % of requests fail", failure_ratio=0.005),
    Fault(
        "late3", "3 % of requests fail, beginning while a later service is being deployed",
        failure_ratio=0.03, begins_after=210.0,
    ),
    Fault("unhealthy", "health says DOWN", services=_API, health=Health.DOWN),
    Fault("wrongbody", "health answers 200 with another body", services=_API,
          health=Health.WRONG_BODY),
    Fault("critical", "its critical function answers with nothing in it", services=_HTTP,
          deed=Deed.EMPTY),
    Fault("slow900", "p95 of 900 ms", services=_HTTP, latency_factor=6.0),
    Fault("errorlogs", "errors in the logs",
          log_line="[connection] connect ECONNREFUSED 10.96.12.7:5672"),
    Fault("loginbroken", "good credentials are refused", services=frozenset({"api-gateway"}),
          deed=Deed.REFUSED),
    Fault("dashboardempty", "the dashboard holds no data", services=frozenset({"analytics"}),
          deed=Deed.EMPTY),
    Fault("noreports", "reports are accepted and never made", services=frozenset({"reporting"}),
          deed=Deed.NOT_STORED),
    Fault("ingestionbroken", "events are accepted and never stored",
          services=frozenset({"impact-in"}), deed=Deed.NOT_STORED),
    Fault("nohtml", "the cockpit is no HTML", services=frozenset({"corp-cockpit"}),
          deed=Deed.EMPTY),
    Fault("disconnects", "the bot loses its gateway", services=frozenset({"discord-bot"}),
          silent=True, log_line="[external API] Discord gateway disconnected code=1006"),
    Fault("externalapi", "calls to other parties fail",
          services=frozenset({"q2q-ai", "journey", "impact-in", "api-gateway", "discord-bot"}),
          external_failure_ratio=0.4),
    Fault("crashloop", "the process ends at its start", pod=PodFate.CRASH_LOOP,
          log_line="[configuration] cannot start: setting TEEI_REGION is missing"),
    Fault("oom", "serves for a moment, then runs out of memory", pod=PodFate.DIES),
    Fault("imagepull", "its image is not in the registry", pod=PodFate.NO_IMAGE),
    Fault("neverready", "runs and is never ready", pod=PodFate.NEVER_READY,
          log_line="[configuration] not ready: the cache is still warming up"),
    Fault("readythendies", "ready, and dead a moment later", pod=PodFate.DIES,
          log_line="[runtime] unhandled rejection: the session cache is gone"),
    Fault("dberrors", "breaks on the new schema", failure_ratio=0.2, new_schema_only=True,
          log_line='[database] 42702: column reference "language" is ambiguous', log_every=4.0),
    Fault("dbconnections", "takes nearly all connections of the database", connections=0.93),
    Fault("corrupts", "writes rows that are no events", corrupts=True),
)  # fmt: skip

FAULTS: dict[str, Fault] = {fault.name: fault for fault in _ALL}


def fault_of(name: str) -> Fault:
    """Return a fault by name. Raises ValueError naming those there are."""
    try:
        return FAULTS[name]
    except KeyError:
        raise ValueError(f"no fault {name!r}; there are {', '.join(FAULTS)}") from None
