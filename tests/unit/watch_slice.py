"""A slice of a window, for tests of what is read in it."""

from slipway.messages.rollout import Workload
from slipway.messages.watch import Watched, WatchSlice
from starter.loading import load_plan
from tests.unit.evidence_set import ROOT


def watch_slice() -> WatchSlice:
    """Return the last slice of a window of two minutes over one service of the TEEI plan."""
    plan = load_plan(ROOT / "plans" / "teei-production.yaml")
    service = plan.services[0]
    workload = Workload(
        service=service.name,
        namespace=plan.kubernetes.namespace,
        deployment=service.workload,
        container=service.container,
    )
    return WatchSlice(
        window="monitor:api-gateway",
        watched=[Watched(service=service, workload=workload, pod_hash="5f8dbd7c9", replaced=True)],
        metrics=plan.metrics,
        limits=plan.limits,
        logs=plan.logs,
        baseline=3600,
        probe_every=5,
        length=30,
        window_length=120,
        last=True,
    )
