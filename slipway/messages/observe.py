"""Shadow mode: rollouts that others make, what slipway would have decided, what came of them."""

from enum import StrEnum
from typing import Any, Literal

from pydantic import Field

from slipway.base import Document, Instant, Line, Message, Person
from slipway.messages.controls import RequestId
from slipway.messages.rollout import Workload
from slipway.plan import LogClass, Loki, Plan
from slipway.verdicts import Verdict


class Standing(Message):
    """How a service's Deployment stood when it was looked at."""

    uid: str
    template_sha256: str
    pod_hash: str
    """pod-template-hash of the ReplicaSet of its template: what tells versions apart."""
    born: float
    """When that ReplicaSet was made, in unix seconds."""
    image: str
    replicas: int
    """As many as are wanted."""
    ran: bool
    """Whether it has been seen running this version with all its pods."""


class Look(Message):
    """Look at Deployments until one of them changes, `length` seconds at most."""

    workloads: list[Workload]
    known: dict[str, Standing] = {}
    """By service, as they stood before; a service is met for the first time where it is missing."""
    absent: list[str] = []
    """Services that are known to have no Deployment."""
    logs: list[LogClass]
    baseline: float
    """Seconds of the old pods' logs that the usual rate of error lines is taken from."""
    recent: float
    """A rollout met at the first look is under way when it began no more seconds ago."""
    every: float
    length: float
    loki: Loki | None = None
    """Where error lines are read; None: from Kubernetes."""


class Rollout(Message):
    """A rollout that somebody makes, as it was noticed."""

    service: str
    uid: str
    pod_hash: str
    pod_hash_before: str = ""
    image: str
    image_before: str = ""
    template: dict[str, Any]
    born: float
    began: float
    """Unix seconds, by the cluster's clock."""
    back: bool = False
    """Whether it goes back to a version that was there before."""
    under_way: bool = False
    """Whether it had begun when observing began."""
    by: str = ""
    """The field manager that wrote the template, such as `kubectl-set`."""
    cause: str = ""
    """kubernetes.io/change-cause."""
    log_rates: dict[str, float] | None = None
    """Error lines per second, by class, of the version before; None where no pod of it was left."""


class Looked(Message):
    """What a look saw: only what is not known yet."""

    at: float
    """Unix seconds, by the looking side's clock."""
    standing: dict[str, Standing] = {}
    rollouts: list[Rollout] = []
    absent: list[str] = []
    """Every service without a Deployment."""

    def tells(self, request: Look) -> bool:
        """Whether it says anything that was not known."""
        return bool(self.standing or self.rollouts) or self.absent != request.absent


class Fate(StrEnum):
    """What became of a version that was rolled out."""

    OPEN = "open"
    """Nothing yet."""
    KEPT = "kept"
    """It stood until the horizon, or long enough before the next version came."""
    ROLLED_BACK = "rolled back"
    NEVER_RAN = "never ran"
    """It had a rollout's time and more, and was never seen with all its pods."""
    REPLACED = "replaced soon"
    """Another version came soon: perhaps its repair, perhaps only the next one."""
    SCALED_TO_ZERO = "scaled to zero"
    DELETED = "deleted"


class Truth(StrEnum):
    """Whether a version was good, as far as what became of it, or a person, tells."""

    GOOD = "good"
    BAD = "bad"
    UNKNOWN = "unknown"


class Label(Message):
    """A person's word on a version; it stands above what became of it."""

    truth: Truth
    person: str
    because: str


class Observation(Message):
    """One rollout: what slipway would have decided, beside what really happened."""

    id: str
    """Such as `analytics-7`."""
    service: str
    image: str
    image_before: str = ""
    pod_hash: str
    pod_hash_before: str = ""
    born: float
    began: Instant
    noticed_after: float
    """Seconds after it began."""
    under_way: bool = False
    back: bool = False
    by: str = ""
    cause: str = ""
    verdict: Verdict | None = None
    """None while it is being judged."""
    verdict_after: float | None = None
    """Seconds after the rollout began."""
    cut_short: bool = False
    """Whether the judgement ended before its time, because the version was gone or observing was
    stopped: such a verdict says nothing about slipway."""
    unchecked: list[str] = []
    """What a deployment by slipway would have checked and an observer does not."""
    ran: bool = False
    fate: Fate = Fate.OPEN
    fate_after: float | None = None
    """Seconds after the rollout began."""
    fate_because: str = ""
    label: Label | None = None


class News(Message):
    """One line for whoever follows."""

    number: int
    at: Instant
    kind: Literal["noticed", "verdict", "outcome", "label", "trouble"]
    observation: str = ""
    text: str


class ObserveState(Message):
    """Everything an observer knows: it survives each new history, and a stop."""

    environment: str
    since: Instant
    plan_sha256: str
    observations: list[Observation] = []
    """Oldest first; the newest few hundred."""
    forgotten: int = 0
    """How many older ones are not kept any more."""
    known: dict[str, Standing] = {}
    absent: list[str] = []
    made: int = 0
    """How many observations there have been: the number of the next one follows."""
    news: list[News] = []
    """The newest."""
    trouble: str = ""
    """What keeps it from looking now."""


class ObserveRequest(Message):
    """Start of `Observe`."""

    plan: Plan
    state: ObserveState | None = None
    """What an earlier one has seen."""


class LabelRequest(Document):
    """A person says how a version was."""

    request: RequestId
    observation: Line
    truth: Literal[Truth.GOOD, Truth.BAD]
    person: Person
    because: Line


class StopObserving(Document):
    """A person ends observing; what was seen stays."""

    request: RequestId
    person: Person


class ObserveMemo(Message):
    """The short status, readable without a worker."""

    environment: str
    since: Instant
    plan_sha256: str
    observations: int = 0
    judging: list[str] = Field(default=[], max_length=20)
    last: str = ""
    trouble: str = ""
