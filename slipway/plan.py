"""The plan: everything that belongs to an environment and not to one release.

`plans/teei-production.yaml` is the commented reference of this format.
"""

from enum import StrEnum
from typing import Annotated, Any, Literal, Self

from pydantic import Field, StringConstraints, model_validator

from slipway.base import Document, Length, Line, Name, Person, Reference, added
from slipway.checks import Flow, Health, HtmlPage, LogHeartbeat, Path

Url = Annotated[
    str, StringConstraints(pattern=r"^https?://[^\s/@?#]+(/[^\s?#]*)?$", max_length=500)
]
"""An address without user, password, query or fragment."""
Query = Annotated[str, StringConstraints(min_length=1, max_length=2000)]
Sql = Annotated[str, StringConstraints(min_length=1, max_length=4000)]


GENERATE = ["pnpm", "--filter", "@teei/shared-schema", "db:generate"]
UNCHANGED = "No schema changes"
EXPLICIT = [
    "changes-data",
    "delete-all",
    "drop-column",
    "drop-schema",
    "drop-table",
    "recreate-table",
    "truncate",
    "update-all",
]
"""What loses or overwrites data: afterwards only a backup has it."""


class ServiceKind(StrEnum):
    """How a service is verified: by a health body, by its HTML page, or by its logs."""

    HTTP = "http"
    HTML = "html"
    LOG = "log"


class Service(Document):
    """One service of the plan, deployed in the order of the list."""

    name: Name
    title: Line
    port: int = Field(ge=1, le=65535)
    kind: ServiceKind = ServiceKind.HTTP
    url: Url | None = None
    staging_url: Url | None = None
    deployment: Name | None = None
    """Name of the Kubernetes Deployment; the service's own name when left out."""
    container: Name = "app"
    health: Health | None = None
    page: HtmlPage | None = None
    heartbeat: LogHeartbeat | None = None
    critical: list[Flow] = Field(default=[], max_length=10)
    little_traffic: Literal["park", "proceed"] = "park"
    """What to do when there were too few requests to judge: park for a person, or go on by health,
    critical functions and probes, which the report then says."""
    read_paths: list[Path] = added([], max_length=20)
    """Paths that only read and need no login. Below one request a second a window that could not be
    judged goes on for a minute in which slipway asks them itself."""

    @property
    def workload(self) -> str:
        """The Deployment's name."""
        return self.deployment or self.name

    @model_validator(mode="after")
    def _kind_has_its_check(self) -> Self:
        needs = {"http": self.health, "html": self.page, "log": self.heartbeat}[self.kind]
        if needs is None:
            wanted = {"http": "health", "html": "page", "log": "heartbeat"}[self.kind]
            raise ValueError(f"service {self.name}: kind {self.kind} needs `{wanted}`")
        if self.kind is not ServiceKind.LOG and self.url is None:
            raise ValueError(f"service {self.name}: kind {self.kind} needs `url`")
        if self.read_paths and self.url is None:
            raise ValueError(f"service {self.name}: `read_paths` need `url`")
        return self


class Kubernetes(Document):
    """The namespace that holds the Deployments. The worker's kubeconfig says which cluster."""

    namespace: Name


class Staging(Document):
    """Where the release has been running before. slipway reads staging, it never writes there."""

    namespace: Name
    database: Reference
    soak: Length = 86400.0
    """How long the same digests must have been running there."""


class Database(Document):
    """The production database. All references are resolved by the privileged worker."""

    name: Annotated[str, StringConstraints(pattern=r"^[a-z_][a-z0-9_]{0,62}$")]
    url: Reference
    """Role with the owner's rights (dump, restore, swap), connected to the database itself."""
    admin_url: Reference
    """The same role connected to another database of the server, where fences are kept."""
    probe_url: Reference
    """Read-only role for corruption probes."""
    owner: Annotated[str, StringConstraints(pattern=r"^[a-z_][a-z0-9_]{0,62}$")]
    """Role that owns the objects; migrations act as it."""
    poolers: list[Reference] = added([], max_length=20)
    """Admin consoles (the database `pgbouncer`) of every PgBouncer between the services and the
    database: a rollback of the database pauses them, so that clients wait instead of failing.
    slipway's own connections lead to the server itself."""
    restore_server: Reference | None = added(None)
    """A database (such as `postgres`) of another server, by the role of `url`: backups are proved,
    rehearsed on and kept ready there, which spares production disk and work. A rollback of the
    database then first fetches the copy back, while production stays open. Left out: all of it
    happens on production's server."""


class ReadCheck(Document):
    """SQL of the services on old code that must still run after the migration."""

    name: Line
    sql: Sql


class Migrations(Document):
    """How migrations are found and applied."""

    folder: Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9._/-]{1,300}$")] = (
        "packages/shared-schema/src/migrations"
    )
    command: list[Line] = Field(default=["pnpm", "db:migrate"], min_length=1, max_length=20)
    generate: list[Line] = added(GENERATE, max_length=20)
    """Run by the preflight in a copy of the workspace: what it writes is a change of the schema
    without a migration. Empty: not checked, which the report then says."""
    unchanged: Line = added(UNCHANGED)
    """What `generate` prints when there is nothing to generate. Its exit code does not tell."""
    ledger: Annotated[str, StringConstraints(pattern=r"^[a-z_]+\.[a-z_]+$")] = (
        "drizzle.__drizzle_migrations"
    )
    lock_timeout: Length = 0.3
    """How long a statement may wait for a lock before the attempt gives way and is retried. Where
    an autovacuum is at work on a table that the rehearsal saw locked, the next attempt waits longer
    than the server's deadlock_timeout: an autovacuum gives way to nobody sooner."""
    lock_attempts: int = Field(default=20, ge=1, le=200)
    deadline: Length = 900.0
    """Budget of the whole command in seconds (never divided by time_scale)."""
    watch: Length = 120.0
    """How long the services still on old code are watched after the migration."""
    read_checks: list[ReadCheck] = added([], max_length=50)
    """Run by the rehearsal on the migrated copy, reading only: what services on old code read."""
    explicit_word: list[Name] = added(EXPLICIT, max_length=50)
    """Rules whose findings an approver must accept by name: `slipway approve … --accept RULE`."""


class RollbackPolicy(Document):
    """How a rollback treats the database."""

    database: Literal["always", "when-implicated", "ask"] = "always"
    undo_window: Length = 86400.0
    order: Literal["newest-first", "parallel"] = added("newest-first")
    """In which order services are written back. `parallel`: they are independent of one another,
    so none waits for the write of a newer one."""
    fallback: Literal["warm", "replay", "off"] = added("warm")
    """How the restored copy keeps up with production while migrations are at stake: `warm` follows
    all the time and is ready in a moment; `replay` catches up only when a rollback wants it, which
    costs production nothing before but keeps its WAL; `off` stays at the snapshot, so that a
    rollback loses what was written after it."""
    fallback_catch_up: Length = added(900.0)
    """How long a rollback may wait for the copy to catch up before it gives the copy up (never
    divided by time_scale)."""


Recipient = Annotated[
    str, StringConstraints(pattern=r"^age1[023456789acdefghjklmnpqrstuvwxyz]{58}$")
]
"""An age public key (X25519)."""


class Backup(Document):
    """Where the mandatory backup is kept."""

    bucket: Annotated[str, StringConstraints(pattern=r"^[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]$")]
    prefix: Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9._-]+/([A-Za-z0-9._-]+/)*$")]
    max_age: Length = 3600.0
    """Counted from the snapshot to the first production change."""
    retention: Length = 30 * 86400.0
    """Object lock."""
    recipients: list[Recipient] = added([], max_length=10)
    """Dumps are encrypted to these age keys before they are stored: the worker cannot read old
    ones. Empty: not encrypted."""
    identity: Reference | None = added(None)
    """The age identity for reading a backup back from the bucket. Left out: the worker has none,
    and only the side database can be gone back to without a person who decrypts."""


class Limits(Document):
    """The playbook's thresholds."""

    error_rate: float = Field(default=0.001, gt=0, lt=1)
    """Above this ratio of failed requests: HOLD."""
    error_rate_rollback: float = Field(default=0.01, gt=0, lt=1)
    """Above this ratio: ROLLBACK."""
    latency_p95: Length = 0.5
    min_failures: int = Field(default=6, ge=1)
    min_failing_scrapes: int = Field(default=3, ge=1)
    min_requests: int = Field(default=300, ge=1)
    log_lines: int = Field(default=5, ge=1)
    log_factor: float = Field(default=3.0, ge=1)
    connections: float = Field(default=0.8, gt=0, le=1)
    """Share of max_connections in use."""
    external_failures: float = Field(default=0.05, gt=0, lt=1)


class Metrics(Document):
    """Prometheus and the queries. `$namespace`, `$pods` (a regex of pod names) and `$window`
    (such as `30s`) are filled in by slipway."""

    url: Url
    scrape_interval: Length = 5.0
    """How often targets are scraped (never divided by time_scale)."""
    requests: Query = (
        'http_requests_total{namespace="$namespace",pod=~"$pods",route!~"/(health|metrics)"}'
    )
    """Selector of a request counter with labels `pod` and `code`."""
    error_code: Query = "5.."
    """Regex of codes that count as failed."""
    latency: Query = (
        "http_request_duration_seconds_bucket"
        '{namespace="$namespace",pod=~"$pods",route!~"/(health|metrics)"}'
    )
    """Selector of a classic histogram with a bucket exactly at the latency limit."""
    connections: Query = (
        'sum(pg_stat_activity_count{namespace="$namespace"})'
        ' / max(pg_settings_max_connections{namespace="$namespace"})'
    )
    """A single number: share of database connections in use."""
    external: Query = (
        '(sum(rate(external_calls_total{namespace="$namespace",pod=~"$pods",outcome="failed"}'
        '[$window])) or 0 * sum(rate(external_calls_total{namespace="$namespace",pod=~"$pods"}'
        '[$window]))) / (sum(rate(external_calls_total{namespace="$namespace",pod=~"$pods"}'
        '[$window])) > 0) or 0 * sum(rate(external_calls_total{namespace="$namespace",pod=~"$pods"}'
        "[$window]))"
    )
    """A single number: share of external calls that failed. 0 where none failed, whose series may
    not be there yet (the first `or`), and where none were made, since 0/0 is NaN (the second);
    nothing, which is no 0, where no such counter is there."""


LogSelector = Annotated[
    str, StringConstraints(pattern=r"^\{[^`\n]*\$pods[^`\n]*\}$", max_length=500)
]
"""A LogQL stream selector that holds `$pods`."""


class Loki(Document):
    """A Loki that collects the logs of the pods: error lines are then read there, of pods that are
    gone as well. `$namespace`, `$pods` (a regex of pod names) and `$container` are filled in."""

    url: Url
    selector: LogSelector = '{namespace="$namespace",pod=~"$pods",container="$container"}'
    """Picks the streams of a service's pods."""
    tenant: Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9!._*'()|-]{1,150}$")] | None = (
        None
    )
    """Sent as `X-Scope-OrgID`, where Loki serves several tenants."""
    authorization: Reference | None = None
    """The whole value of the `Authorization` header, such as `Bearer …` or `Basic …`."""
    delay: Length = 15.0
    """How long a line may take from its pod to Loki (never divided by time_scale). What a pod wrote
    longer ago and Loki does not hold makes the logs unreadable: no lines are then no good news. A
    window cannot see what was written in its last such moment."""


class LogClass(Document):
    """A class of error lines that is counted against the hour before."""

    name: Line
    pattern: Annotated[str, StringConstraints(min_length=1, max_length=500)]
    """A regular expression searched in lines of level ERROR or above."""


class Comparison(StrEnum):
    """How a probe's value is compared with the one before the first change."""

    NOT_FALLING = "not-falling"
    """A number, such as a count of rows, that no release may make smaller."""
    UNCHANGED = "unchanged"
    """A value, such as a checksum of rows that nobody changes."""


class CorruptionProbe(Document):
    """SQL run by the read-only role; it must return one row with one value: a boolean, true when
    sound, or, with `compare`, what is compared with its value before the first change."""

    name: Line
    sql: Sql
    compare: Comparison | None = added(None)


class Gate(Document):
    """One gate of the pre-flight list: where its evidence must come from and how old it may be."""

    max_age: Length = 7 * 86400.0


class Gates(Document):
    """Age limits of the evidence, kind by kind; the pass rules are fixed (docs/playbook-map)."""

    tests: Gate = Gate()
    staging: Gate = Gate(max_age=86400.0)
    trivy: Gate = Gate()
    snyk: Gate = Gate()
    performance: Gate = Gate()
    documentation: Gate = Gate(max_age=90 * 86400.0)
    release_notes: Gate = Gate(max_age=90 * 86400.0)
    rollback_plan: Gate = Gate(max_age=180 * 86400.0)
    change_request: Gate = Gate(max_age=90 * 86400.0)


class Timings(Document):
    """Every wait of the playbook. `Plan.lengths` gives them divided by `time_scale`."""

    settle: Length = 30.0
    """After a rollout, before it is verified."""
    monitor: Length = 120.0
    """Watching window after each service."""
    final_monitor: Length = 900.0
    """Watching window after the last service."""
    probe: Length = 5.0
    """Between two health probes."""
    slice: Length = 30.0
    """Longest stretch of watching by one activity."""
    rollout_deadline: Length = 600.0
    approval_deadline: Length = 86400.0
    operator_deadline: Length = 1800.0
    """How long a parked step waits for a person before its default happens."""
    shared_cause_deadline: Length = 120.0
    baseline: Length = 3600.0
    """The hour before, that logs and traffic are compared with."""
    quiet_baseline: Length = added(3600.0)
    """The same for the traffic of a service below one request a second."""
    staging_window: Length = 86400.0
    aftercare_health: Length = 1800.0
    aftercare_errors: Length = 3600.0
    aftercare_day: Length = 86400.0
    aftercare_week: Length = 7 * 86400.0


class Approvals(Document):
    """Who may approve. One person counts once, and never the requester."""

    roles: dict[Name, list[Person]] = Field(min_length=1, max_length=10)
    required: int = Field(default=1, ge=1, le=10)
    """How many different approvers are needed."""
    confirm: dict[Name, list[Person]] = {}
    """Who may confirm each checklist item that only a person can know, such as
    `stakeholders-notified` and `incident-team-on-standby`."""


class Window(Document):
    """When deployments may begin, in a named time zone. Left out: always."""

    days: list[Literal["mon", "tue", "wed", "thu", "fri", "sat", "sun"]] = Field(min_length=1)
    start: Annotated[str, StringConstraints(pattern=r"^([01]\d|2[0-3]):[0-5]\d$")]
    end: Annotated[str, StringConstraints(pattern=r"^(([01]\d|2[0-3]):[0-5]\d|24:00)$")]
    """On the following day when it is not after `start`."""
    timezone: Line = "UTC"


class Contact(Document):
    """One of the playbook's emergency contacts."""

    name: Line
    reach: Line
    """Telephone, pager or mail."""


class Contacts(Document):
    """The four emergency contacts; shown in every parked and every rollback notice."""

    on_call: Contact
    vp_engineering: Contact
    cto: Contact
    database_admin: Contact


class Notices(Document):
    """Where announcements, parked steps and rollbacks are sent: one JSON document per notice."""

    webhook: Reference | Url


class ObservePolicy(Document):
    """How deployments that a team makes in its own way are looked at. Nothing is ever written."""

    horizon: Length = 86400.0
    """How long it is looked at what became of a rollout."""
    replaced_within: Length = 3600.0
    """A version that another one replaces sooner than that is taken neither for good nor for bad:
    it may have been repaired by the next one. One that stood longer was kept."""
    also_run: list[Line] = Field(default=[], max_length=50)
    """Critical functions that may be run while observing although they send more than GETs."""


class Plan(Document):
    """An environment and how releases reach it."""

    version: Literal[1] = 1
    environment: Name
    time_scale: float = Field(default=1.0, ge=1, le=1000)
    """Divides every length and is refused unless everything is on the local stack."""
    kubernetes: Kubernetes
    staging: Staging
    database: Database
    migrations: Migrations = Migrations()
    rollback: RollbackPolicy = RollbackPolicy()
    backup: Backup
    services: list[Service] = Field(min_length=1, max_length=500)
    smoke: list[Flow] = Field(min_length=1, max_length=50)
    metrics: Metrics
    limits: Limits = Limits()
    logs: list[LogClass] = Field(min_length=1, max_length=20)
    loki: Loki | None = added(None)
    """Left out: error lines are read from Kubernetes, as far back as the kubelet keeps them."""
    corruption: list[CorruptionProbe] = Field(default=[], max_length=50)
    gates: Gates = Gates()
    timings: Timings = Timings()
    approvals: Approvals
    window: Window | None = None
    contacts: Contacts
    notices: Notices
    observe: ObservePolicy = added(ObservePolicy())
    overlay: dict[str, Any] = {}
    """What an overlay changed, for `status`; filled by the starter, never written by hand."""

    @model_validator(mode="after")
    def _services_are_distinct(self) -> Self:
        for what in ("name", "workload"):
            seen = [getattr(service, what) for service in self.services]
            double = {value for value in seen if seen.count(value) > 1}
            if double:
                raise ValueError(f"services: {what} given twice: {', '.join(sorted(double))}")
        names = {service.name for service in self.services}
        for flow in [*self.smoke, *(flow for one in self.services for flow in one.critical)]:
            asked = [flow.service, *(step.service for step in flow.steps)]
            unknown = {name for name in asked if name} - names
            if unknown:
                raise ValueError(
                    f"flow {flow.name!r}: unknown service {', '.join(sorted(unknown))}"
                )
        return self

    @model_validator(mode="after")
    def _observed_functions_are_there(self) -> Self:
        known = {flow.name for one in self.services for flow in one.critical}
        unknown = sorted(set(self.observe.also_run) - known)
        if unknown:
            raise ValueError(f"observe.also_run: no critical function is called {unknown[0]!r}")
        return self

    @model_validator(mode="after")
    def _lines_are_collected_in_time(self) -> Self:
        most = self.lengths.monitor / 4
        if self.loki and self.loki.delay > most:
            raise ValueError(
                f"loki.delay: {self.loki.delay:g} s is over a quarter of the window that is judged "
                f"({most:g} s); let lines be collected sooner, or make timings.monitor longer"
            )
        return self

    @property
    def lengths(self) -> Timings:
        """The timings as they apply: divided by `time_scale`."""
        return scaled(self.timings, self.time_scale)

    def scale(self, seconds: float) -> float:
        """Return a length divided by `time_scale`."""
        return seconds / self.time_scale

    def service(self, name: str) -> Service:
        """Return the service of that name. Raises KeyError when the plan has none."""
        for service in self.services:
            if service.name == name:
                return service
        raise KeyError(name)

    @property
    def floor(self) -> float:
        """The sum of all waits from the first change to the end of monitoring, in seconds.

        Migrating adds `migrations.watch`; tools and rollouts come on top.
        """
        lengths = self.lengths
        each = lengths.settle + lengths.monitor
        return len(self.services) * each + lengths.final_monitor + self.scale(self.migrations.watch)


def scaled(timings: Timings, time_scale: float) -> Timings:
    """Return the timings with every length divided by `time_scale`."""
    return Timings(**{name: getattr(timings, name) / time_scale for name in Timings.model_fields})
