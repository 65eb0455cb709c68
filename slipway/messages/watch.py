"""Watching services: one activity per slice reads health, pods, logs and traffic of all of them."""

from slipway.base import Message
from slipway.checks import Flow
from slipway.messages.rollout import Workload
from slipway.plan import CorruptionProbe, Limits, LogClass, Loki, Metrics, Service
from slipway.verdicts import Verdict


class TrafficBefore(Message):
    """What a service's pods counted in the time before the deployment."""

    requests: float = 0.0
    failures: float = 0.0
    phi: float = 1.0
    """How many times more its failures varied from scrape to scrape than independent ones."""
    seconds: float = 0.0
    """How much of that time was read."""
    left_out: float = 0.0
    """Seconds of it that were an incident, which is not in the numbers above."""
    left_requests: float = 0.0
    left_failures: float = 0.0
    because: str = ""
    """Why nothing was read; then the limits stand alone."""
    empty: bool = False
    """Whether nothing was read because there is no such counter."""


class ReadBefore(Message):
    """Read the traffic before the deployment, of every service."""

    watched: "list[Watched]"
    metrics: Metrics
    length: float
    """Seconds back."""
    quiet_length: float
    """Seconds back for a service below one request a second."""
    time_scale: float = 1.0
    corruption: list[CorruptionProbe] = []
    """The probes that compare."""
    probe_url: str = ""


class Before(Message):
    """The traffic before the deployment, by service, and the values of the probes that compare."""

    before: dict[str, TrafficBefore]
    probes: dict[str, str] = {}
    missing: list[str] = []
    """Why a probe has no value, in sentences."""


class Watched(Message):
    """One service with the version it should be running."""

    service: Service
    workload: Workload
    pod_hash: str
    """pod-template-hash of the ReplicaSet that should be serving."""
    replaced: bool
    """Whether this run replaced it: only then its pods began at zero with this window's release."""
    focus: bool = False
    """Whether this window is about it: its traffic must be enough to judge."""
    log_rates: dict[str, float] | None = None
    """Error lines per second, by class, before the release (`Captured.log_rates`). None: the pods'
    own past is read instead, where they have one."""
    before: TrafficBefore | None = None
    """Its traffic before the deployment; None: not read."""


class Asked(Message):
    """How the requests ended that slipway sent to a service's read paths."""

    requests: int = 0
    failures: int = 0
    example: str = ""
    """One of the failures, in words."""


class LogsRead(Message):
    """How far a service's error lines have been read in a window."""

    until: float
    """Unix seconds."""
    missed: float = 0.0
    """Seconds of the window so far whose lines were gone before they could be read."""


class Mark(Message):
    """Where a window began, by the watching side's own clock, and what a slice left for the next.

    Counters are read as raw samples since `began` in every attempt, so nothing is counted twice;
    only what slipway's own requests found is carried, since no server keeps that, and how far logs
    were read, which kubelets begin anew.
    """

    began: float
    """Unix seconds."""
    failing: dict[str, int] = {}
    """Health probes failed in a row, service by service, at the end of the slice."""
    restarts: dict[str, int] = {}
    """Restart counts by `namespace/pod/container` at the window's beginning."""
    asked: dict[str, Asked] = {}
    """Requests to read paths so far, service by service."""
    reread: bool = False
    """Whether the window went on once because something could not be read."""
    logs: dict[str, LogsRead] = {}
    """How far error lines were read, service by service."""


class Kept(Message):
    """What an attempt at a slice leaves for the next one, in its heartbeat: where the window began,
    and what called for a rollback."""

    mark: Mark
    alarms: list[Verdict] = []


class WatchSlice(Message):
    """Watch all services for `length` seconds; return early on ROLLBACK."""

    window: str
    """Such as `monitor:analytics`."""
    watched: list[Watched]
    metrics: Metrics
    limits: Limits
    logs: list[LogClass]
    baseline: float
    """Seconds before the window that error lines are compared with."""
    probe_every: float
    length: float
    """Seconds of this slice."""
    window_length: float
    """Seconds of the whole window."""
    last: bool
    """Whether the window ends with this slice: only then too little traffic is judged."""
    mark: Mark | None = None
    corruption: list[CorruptionProbe] = []
    probe_url: str = ""
    """Reference of the read-only role."""
    probes_before: dict[str, str] = {}
    """Values of the probes that compare, before the first change."""
    full: bool = False
    """Whether external calls and latency of all services are judged (the last window), and not only
    of the services in focus; and whether connections and calls must have been readable."""
    time_scale: float = 1.0
    """What the window's lengths were divided by."""
    synthetic: list[str] = []
    """Services with too little traffic whose read paths are asked during this slice."""
    loki: Loki | None = None
    """Where error lines are read; None: from Kubernetes."""
    looks_back: bool = False
    """Whether it looks back over a time in which nobody read the logs: they may tell of a part of
    it only, and are judged by that."""


class Reading(Message):
    """What was read of one service in the window so far."""

    service: str
    requests: int = 0
    failures: int = 0
    failing_scrapes: int = 0
    p95: float | None = None
    """Seconds."""
    error_lines: dict[str, int] = {}
    health: str = ""
    judged: str = ""
    """What both rules said of its traffic."""


class Extension(Message):
    """A window that is watched longer, since it could not be judged yet."""

    length: float
    """Seconds of the whole window."""
    because: str
    """Why, and when it is expected to end."""
    synthetic: list[str] = []
    """Services whose read paths are asked meanwhile."""
    reread: bool = False
    """Whether it goes on because something could not be read."""


class SliceSeen(Message):
    """What a slice saw. `verdicts` holds every judgement that is not PROCEED, gravest first."""

    mark: Mark
    verdicts: list[Verdict]
    readings: list[Reading]
    more: Extension | None = None
    """How the window goes on, where it could not be judged for want of traffic."""
    used: dict[str, str] = {}
    """The scrapes that traffic was judged by, service by service: `second:requests:failures` of
    each, those without requests left out."""
    connections: float | None = None
    external: float | None = None


class CheckService(Message):
    """Check one service once: health (three tries), then its critical functions."""

    service: Service
    tries: int = 3
    every: float = 1.0
    """Seconds between tries."""
    workload: Workload | None = None
    """For services that are verified by their logs."""
    log_templates: list[str] | None = None
    """Kinds of error lines from before the release: new ones are told. None: they are not."""
    addresses: dict[str, str] = {}
    """Base addresses of other services, by name: a critical function may need a login first."""


class RunFlows(Message):
    """Run smoke flows against these services; a flow that fails `tries` times is broken."""

    flows: list[Flow]
    services: list[Service]
    tries: int = 3
    every: float = 1.0


class Checked(Message):
    """What checks found, one verdict each."""

    verdicts: list[Verdict]


class RunProbes(Message):
    """Run the corruption probes once, as the read-only role."""

    probes: list[CorruptionProbe]
    probe_url: str
