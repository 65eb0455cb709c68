"""Watching services: one activity per slice reads health, pods, logs and traffic of all of them."""

from slipway.base import Message
from slipway.checks import Flow
from slipway.messages.rollout import Workload
from slipway.plan import CorruptionProbe, Limits, LogClass, Metrics, Service
from slipway.verdicts import Verdict


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


class Mark(Message):
    """Where a window began, by the watching side's own clock, and what a slice left for the next.

    Counters are read as raw samples since `began` in every attempt, so nothing is counted twice;
    only runs of failed probes are carried, since no server keeps those.
    """

    began: float
    """Unix seconds."""
    failing: dict[str, int] = {}
    """Health probes failed in a row, service by service, at the end of the slice."""
    restarts: dict[str, int] = {}
    """Restart counts by `namespace/pod/container` at the window's beginning."""


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
    full: bool = False
    """Whether external calls and latency of all services are judged (the last window), and not only
    of the services in focus; and whether connections and calls must have been readable."""


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


class SliceSeen(Message):
    """What a slice saw. `verdicts` holds every judgement that is not PROCEED, gravest first."""

    mark: Mark
    verdicts: list[Verdict]
    readings: list[Reading]
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
