"""The eleven TEEI services, in the playbook's order: ports, traffic, replicas, routes."""

from dataclasses import dataclass
from enum import StrEnum


class Traffic(StrEnum):
    """Classes of traffic that expectations distinguish."""

    HIGH = "high"
    MEDIUM = "medium"
    LOW = "low"
    BOT = "bot"


@dataclass(frozen=True)
class Route:
    """One route of a service and its share of the service's modelled requests."""

    path: str
    share: float


@dataclass(frozen=True)
class ServiceSpec:
    """What the world knows of a service."""

    name: str
    title: str
    port: int
    """The playbook's port; listeners use free ports, see `addresses.json`."""
    rate: float
    """Modelled requests per second of all its pods together, before `time_scale`."""
    replicas: int
    staging_replicas: int
    routes: tuple[Route, ...]
    main_route: str
    """The route of its critical function."""
    external: tuple[str, ...] = ()
    """Other parties it calls; a tenth of its requests make one call each."""

    @property
    def traffic(self) -> Traffic:
        """The class of traffic."""
        if self.rate < 1:
            return Traffic.BOT
        if self.rate < 10:
            return Traffic.LOW
        return Traffic.MEDIUM if self.rate < 40 else Traffic.HIGH

    @property
    def has_http(self) -> bool:
        """Whether people or other services call it."""
        return self.name != "discord-bot"


def _two(main: str, share: float, other: str) -> tuple[Route, ...]:
    return (Route(main, share), Route(other, round(1 - share, 6)))


SERVICES: tuple[ServiceSpec, ...] = (
    ServiceSpec(
        "api-gateway", "API Gateway", 3017, 200, 3, 2,
        _two("/auth/login", 0.1, "/api/organisations"), "/auth/login", ("identity-provider",),
    ),
    ServiceSpec(
        "unified-profile", "Unified Profile", 3018, 40, 3, 2,
        _two("/profiles/{id}", 0.8, "/profiles"), "/profiles/{id}",
    ),
    ServiceSpec(
        "buddy", "Buddy Service", 3019, 20, 2, 1,
        _two("/matches", 0.7, "/matches/{id}"), "/matches",
    ),
    ServiceSpec(
        "q2q-ai", "Q2Q AI", 3021, 5, 2, 1,
        _two("/ask", 0.6, "/answers"), "/ask", ("language-model",),
    ),
    ServiceSpec(
        "safety-moderation", "Safety Moderation", 3022, 4, 2, 1,
        _two("/moderate", 0.9, "/flags"), "/moderate",
    ),
    ServiceSpec(
        "analytics", "Analytics", 3023, 20, 3, 2,
        _two("/dashboard", 0.5, "/metrics-summary"), "/dashboard",
    ),
    ServiceSpec(
        "journey", "Journey, NLQ and Notifications", 3024, 20, 2, 1,
        _two("/journeys/{user}", 0.7, "/notifications"), "/journeys/{user}", ("mail",),
    ),
    ServiceSpec(
        "impact-in", "Impact-In", 3025, 2, 2, 1,
        _two("/ingest", 0.7, "/events/{key}"), "/ingest", ("benevity",),
    ),
    ServiceSpec(
        "discord-bot", "Discord Bot", 3026, 0.2, 2, 1,
        (Route("/interactions", 1.0),), "/interactions", ("discord",),
    ),
    ServiceSpec(
        "reporting", "Reporting", 4017, 5, 2, 1,
        _two("/reports", 0.4, "/reports/{id}"), "/reports",
    ),
    ServiceSpec(
        "corp-cockpit", "Corp Cockpit", 4327, 50, 3, 2,
        _two("/", 0.5, "/assets"), "/",
    ),
)  # fmt: skip

NAMES: tuple[str, ...] = tuple(service.name for service in SERVICES)
BY_NAME: dict[str, ServiceSpec] = {service.name: service for service in SERVICES}
