"""The Lease that names the open deployment of an environment, and numbers it for the fences.

A terminated workflow frees its workflow ID while its activities still run, so the ID alone does
not keep two deployments apart. What may be written is decided in `slipway/judgements/lease.py`.
"""

from collections.abc import Awaitable
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from temporalio import activity

from slipway.errors import ChangedMeanwhile, Unreachable
from slipway.judgements.lease import Claim, check, epoch_of, given_back, has, taken, unheld
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

        Raises Held naming the holder when another deployment has it; Fenced when this turn of the
        deployment is over: an attempt that was frozen wakes after the run gave the Lease back, or
        after a later rollback took it over.
        """
        claim = Claim(request.deployment, request.turn)
        for _ in range(_ATTEMPTS):
            lease = await self._found(request)
            check(lease, claim, request.environment)
            if has(lease, claim) and not request.fresh:
                return LeaseHeld(deployment=request.deployment, epoch=epoch_of(lease))
            written = await self._write(taken(lease, claim, _now(), fresh=request.fresh))
            if written is not None:
                return LeaseHeld(deployment=request.deployment, epoch=epoch_of(written))
        raise _restless(request)

    @activity.defn(name="lease.release")
    async def release(self, request: ReleaseLease) -> None:
        """Give the Lease back and remember on it that this turn is over, whoever holds it: an
        attempt of this run to take it may still be frozen. A Lease that another deployment, or a
        later rollback of this one, holds stays theirs."""
        claim = Claim(request.deployment, request.turn)
        for _ in range(_ATTEMPTS):
            after = given_back(await self._found(request), claim, _now())
            if after is None or await self._write(after) is not None:
                return
        raise _restless(request)

    async def _found(self, request: AcquireLease | ReleaseLease) -> Raw:
        """The Lease as it stands, or one to be created."""
        name = lease_name(request.environment)
        lease = await self._cluster.get_lease(request.namespace, name)
        if lease is not None:
            return lease
        return unheld(request.namespace, name, await self._highest_epoch(request.namespace))

    async def _highest_epoch(self, namespace: str) -> int:
        """The highest epoch whose fence stands on a Deployment: a Lease that somebody deleted
        must not begin anew below it, or every write would be refused."""
        found = await self._cluster.list_deployments(namespace)
        return max((standing_fence(one) // _FENCES_AN_EPOCH for one in found), default=0)

    async def _write(self, body: Raw) -> Raw | None:
        """Write the Lease as it was read or create it; None when it changed meanwhile."""
        namespace = str(metadata(body).get("namespace"))
        if "resourceVersion" in metadata(body):
            return await _if_unchanged(self._cluster.replace_lease(namespace, body))
        return await _if_unchanged(self._cluster.create_lease(namespace, body))


def lease_name(environment: str) -> str:
    """Return the Lease's name."""
    return f"slipway-{environment}"


def _now() -> datetime:
    return datetime.now(UTC)


def _restless(request: AcquireLease | ReleaseLease) -> Unreachable:
    name = lease_name(request.environment)
    return Unreachable(f"Lease {name} changes all the time.", "Find out who writes it.")


async def _if_unchanged(write: Awaitable[Raw]) -> Raw | None:
    """Return what was written; None when the Lease changed meanwhile and must be read again."""
    try:
        return await write
    except ChangedMeanwhile:
        return None
