"""The Lease that names the open deployment of an environment, and numbers it for the fences.

A terminated workflow frees its workflow ID while its activities still run, so the ID alone does
not keep two deployments apart.
"""

from collections.abc import Awaitable
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from temporalio import activity

from slipway.errors import ChangedMeanwhile, Held, Unreachable
from slipway.judgements.workload import Raw, metadata
from slipway.judgements.writes import standing_fence
from slipway.messages.record import AcquireLease, LeaseHeld, ReleaseLease

if TYPE_CHECKING:
    from activities.adapters.cluster import Cluster

_ATTEMPTS = 10
_FENCES_AN_EPOCH = 4
"""See LeaseHeld: do, stop and undo of one epoch lie below the next epoch's do."""


class Leases:
    """Leases `slipway-<environment>` in the environment's namespace."""

    def __init__(self, cluster: "Cluster") -> None:
        """`cluster` holds the namespace."""
        self._cluster = cluster

    @activity.defn(name="lease.acquire")
    async def acquire(self, request: AcquireLease) -> LeaseHeld:
        """Take the Lease by compare-and-set; the holder who asks again gets the same epoch.

        Raises Held naming the holder when another deployment has it.
        """
        name = lease_name(request.environment)
        for _ in range(_ATTEMPTS):
            lease = await self._cluster.get_lease(request.namespace, name)
            if lease is not None and holder_of(lease) == request.deployment and not request.fresh:
                return LeaseHeld(deployment=request.deployment, epoch=epoch_of(lease))
            written = await self._take(request, name, lease)
            if written is not None:
                return LeaseHeld(deployment=request.deployment, epoch=epoch_of(written))
        raise Unreachable(f"Lease {name} changes all the time.", "Find out who writes it.")

    async def _take(self, request: AcquireLease, name: str, lease: Raw | None) -> Raw | None:
        """Write the Lease for this deployment; None when it changed meanwhile."""
        if lease is None:
            floor = await self._highest_epoch(request.namespace)
            body = _new(request.namespace, name, request.deployment, floor)
            return await _if_unchanged(self._cluster.create_lease(request.namespace, body))
        holder = holder_of(lease)
        if holder and holder != request.deployment:
            raise Held(
                f"Environment {request.environment} is held by deployment {holder}.",
                f"Wait for it, or end it with `slipway rollback {holder}`.",
            )
        body = _with(lease, request.deployment, transitions=epoch_of(lease))
        return await _if_unchanged(self._cluster.replace_lease(request.namespace, body))

    async def _highest_epoch(self, namespace: str) -> int:
        """The highest epoch whose fence stands on a Deployment: a Lease that somebody deleted
        must not begin anew below it, or every write would be refused."""
        found = await self._cluster.list_deployments(namespace)
        return max((standing_fence(one) // _FENCES_AN_EPOCH for one in found), default=0)

    @activity.defn(name="lease.release")
    async def release(self, request: ReleaseLease) -> None:
        """Give the Lease back; one that another deployment holds is left alone."""
        name = lease_name(request.environment)
        for _ in range(_ATTEMPTS):
            lease = await self._cluster.get_lease(request.namespace, name)
            if lease is None or holder_of(lease) != request.deployment:
                return
            body = _with(lease, None, transitions=epoch_of(lease) - 1)
            replaced = self._cluster.replace_lease(request.namespace, body)
            if await _if_unchanged(replaced) is not None:
                return
        raise Unreachable(f"Lease {name} changes all the time.", "Find out who writes it.")


def lease_name(environment: str) -> str:
    """Return the Lease's name."""
    return f"slipway-{environment}"


def holder_of(lease: Raw) -> str:
    """Return who holds a Lease, or the empty text."""
    return str((lease.get("spec") or {}).get("holderIdentity") or "")


def epoch_of(lease: Raw) -> int:
    """Return a Lease's epoch: its first holder's is 1."""
    return int((lease.get("spec") or {}).get("leaseTransitions") or 0) + 1


def _new(namespace: str, name: str, deployment: str, floor: int) -> Raw:
    return {
        "apiVersion": "coordination.k8s.io/v1",
        "kind": "Lease",
        "metadata": {"name": name, "namespace": namespace},
        "spec": _spec(deployment, floor),
    }


def _with(lease: Raw, holder: str | None, *, transitions: int) -> Raw:
    found = metadata(lease)
    kept = {
        key: found[key]
        for key in ("name", "namespace", "resourceVersion", "uid", "labels", "annotations")
        if key in found
    }
    return {**lease, "metadata": kept, "spec": _spec(holder, transitions)}


def _spec(holder: str | None, transitions: int) -> dict[str, Any]:
    now = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
    spec: dict[str, Any] = {"leaseTransitions": transitions, "renewTime": now}
    if holder is not None:
        spec |= {"holderIdentity": holder, "acquireTime": now}
    return spec


async def _if_unchanged(write: Awaitable[Raw]) -> Raw | None:
    """Return what was written; None when the Lease changed meanwhile and must be read again."""
    try:
        return await write
    except ChangedMeanwhile:
        return None
