"""Replacing and putting back one service on Kubernetes."""

from typing import Any

from slipway.base import Message
from slipway.messages.record import Captured
from slipway.plan import LogClass, Loki, Plan, Service
from slipway.verdicts import Verdict


class Workload(Message):
    """A service's Deployment."""

    service: str
    namespace: str
    deployment: str
    container: str


def workload_of(plan: Plan, service: Service) -> Workload:
    """Return where a service of a plan runs."""
    return Workload(
        service=service.name,
        namespace=plan.kubernetes.namespace,
        deployment=service.workload,
        container=service.container,
    )


class Capture(Message):
    """Read a Deployment before any write. Refused when paused, in mid-rollout or unhealthy."""

    workload: Workload
    logs: list[LogClass] = []
    """Classes of error lines whose usual rate is wanted, for the watch after the rollout."""
    baseline: float = 3600.0
    """Seconds of log that the rate is taken from."""
    loki: Loki | None = None
    """Where error lines are read; None: from Kubernetes."""
    patience: float = 0.0
    """Seconds that its replicas may take to come to rest; the activity's timeout needs room."""


class Apply(Message):
    """Write a template by compare-and-set: what stands must be `expected` or already `desired`.

    Serves forward (`image` set: the captured template with this image) and undo (`image` empty:
    the captured template itself). A write is refused when the Deployment's fence is equal or
    higher and was not written by this very operation. Undo writes its fence also when there is
    nothing to revert.
    """

    workload: Workload
    captured: Captured
    image: str | None = None
    wrote: str = ""
    """For undo: the image this run wrote. It may have been written again since, by the undo of a
    later deployment."""
    fence: int
    op_id: str
    """Such as `demo-20261123T202134Z-1a2b3c/rollout:analytics`; the same in every attempt."""
    cause: str
    """kubernetes.io/change-cause."""


class Applied(Message):
    """A template that stands."""

    changed: bool
    """False when it stood already, or when an undo had nothing to revert."""
    generation: int
    template: dict[str, Any]
    """As the server defaulted it."""


class FenceService(Message):
    """Write only the fence: forward attempts that are still frozen somewhere are refused from now
    on. The template stays. A fence that is equal or higher already is a success."""

    workload: Workload
    uid: str
    fence: int
    op_id: str


class AwaitRollout(Message):
    """Wait until the written template runs everywhere or cannot any more."""

    workload: Workload
    template: dict[str, Any]
    image: str
    wrote: str = ""
    """For undo: the image this run wrote."""
    deadline: float
    """Seconds for the whole rollout. Where pods must be gone first (an undo, the strategy
    Recreate) their grace period comes on top; the activity's timeout needs room for it."""
    uid: str
    back: bool = False
    """Whether a captured template was put back: then the pods that it replaced must be gone too,
    and its settings are compared with the captured ones."""
    captured: Captured | None = None
    """What stood before this run: settings, and how the nodes report a pinned image."""
    again: bool = False
    """Whether what kept its pods from running may just have gone: a container that crashed before
    then is started again after five minutes at most."""


class RolledOut(Message):
    """How a rollout went. `verdict` is PROCEED (done) or ROLLBACK (doomed or out of time)."""

    verdict: Verdict
    replica_set: str = ""
    pod_hash: str = ""
    replicas: int = 0
    pods: list[str] = []
    image_ids: list[str] = []
    """What runs, as the nodes report it."""
    log_tail: list[str] = []
