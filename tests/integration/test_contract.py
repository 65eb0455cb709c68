"""The rules that the workflow tests rely on: the fakes and the real activities both keep them."""

import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any
from uuid import uuid4

import pytest

from activities.leases import Leases
from activities.record import Records
from activities.rollouts import Rollouts
from devstack.world.images import image
from slipway.errors import Fenced, Held, RecordConflict
from slipway.messages.record import (
    AcquireLease,
    Append,
    Attach,
    Captured,
    Entry,
    FindRecords,
    LeaseHeld,
    Place,
    ReadRecord,
    ReleaseLease,
    VerifyArtefacts,
)
from slipway.messages.rollout import Apply, Capture, FenceService, Workload
from tests.fakes.activities import FakeLeases, FakeRecords, FakeRollouts
from tests.fakes.world import FakeDeployment, FakeWorld
from tests.integration.cluster_world import activity

pytestmark = pytest.mark.stack


@dataclass
class Side:
    """One implementation of the three, and where it works."""

    leases: Leases | FakeLeases
    records: Records | FakeRecords
    rollouts: Rollouts | FakeRollouts
    namespace: str
    bucket: str
    prefix: str


@pytest.fixture(params=["fake", "real"])
def side(request: pytest.FixtureRequest) -> Side:
    """The fakes, and the real activities on the real servers."""
    if request.param == "fake":
        names = ("buddy", "journey", "impact-in")
        fake = FakeWorld(deployments={one: FakeDeployment(image(one, "1.0.0")) for one in names})
        return Side(
            FakeLeases(fake), FakeRecords(fake), FakeRollouts(fake), "production", "bucket", "p/"
        )
    place, world = request.getfixturevalue("place"), request.getfixturevalue("world")
    return Side(
        leases=Leases(place.cluster),
        records=Records(world.store),
        rollouts=place.rollouts,
        namespace=place.namespace,
        bucket=world.stack.bucket,
        prefix=world.backup.prefix,
    )


Run = Callable[[Any], Awaitable[Any]]


async def refused(call: Run, request: Any, error: type[Exception]) -> None:
    """Assert that an activity refuses a request with this error."""
    with pytest.raises(error):
        await activity(call, request)


async def test_a_lease_has_one_holder_and_rising_epochs(side: Side) -> None:
    environment = f"lease-{uuid4().hex[:8]}"

    def ask(who: str, **more: bool) -> AcquireLease:
        return AcquireLease(
            namespace=side.namespace, environment=environment, deployment=who, **more
        )

    first: LeaseHeld = await activity(side.leases.acquire, ask("one"))
    assert await activity(side.leases.acquire, ask("one")) == first
    await refused(side.leases.acquire, ask("two"), Held)
    fresh: LeaseHeld = await activity(side.leases.acquire, ask("one", fresh=True))
    assert fresh.epoch > first.epoch

    def give(who: str) -> ReleaseLease:
        return ReleaseLease(namespace=side.namespace, environment=environment, deployment=who)

    await activity(side.leases.release, give("two"))
    await refused(side.leases.acquire, ask("two"), Held)
    await activity(side.leases.release, give("one"))
    second: LeaseHeld = await activity(side.leases.acquire, ask("two"))
    assert second.epoch > fresh.epoch
    assert fresh.undo_fence < second.do_fence


async def test_an_entry_is_written_once_and_artefacts_are_verified(side: Side) -> None:
    environment = f"r{uuid4().hex[:8]}"
    place = Place(
        bucket=side.bucket,
        prefix=side.prefix,
        environment=environment,
        deployment=f"{environment}-20260101T000000Z-aaaaaa",
    )
    entry = Entry(sequence=1, kind="done", step="migrate", data={"a": 1})
    opening = Entry(sequence=0, kind="open", step="open")
    for one in (entry, opening, entry):
        await activity(side.records.append, Append(place=place, entry=one))
    other = entry.model_copy(update={"data": {"a": 2}})
    await refused(side.records.append, Append(place=place, entry=other), RecordConflict)
    record = await activity(side.records.read, ReadRecord(place=place))
    assert record.entries == [opening, entry]

    found = await activity(side.records.find, FindRecords(place=place))
    assert [(one.deployment, one.ended) for one in found.records] == [(place.deployment, False)]

    kept = await activity(side.records.attach, Attach(place=place, name="a.json", content="{}"))
    gone = kept.model_copy(update={"key": kept.key + "x"})
    altered = kept.model_copy(update={"sha256": "0" * 64})
    states = await activity(
        side.records.verify, VerifyArtefacts(place=place, artefacts=[kept, gone, altered])
    )
    assert [one.intact for one in states.states] == [True, False, False]


class Change:
    """One change of one service by one deployment, forward and back."""

    def __init__(self, side: Side, service: str, captured: Captured) -> None:
        self.workload = workload(side, service)
        self.captured = captured
        self.epoch = int(time.time())
        self.run = f"run-{uuid4().hex[:8]}"
        self.image = image(service, "1.1.0")

    def forward(self) -> Apply:
        """The new image."""
        return self._apply(self.image, 4 * self.epoch, "rollout")

    def undo(self) -> Apply:
        """The captured template."""
        return self._apply(None, 4 * self.epoch + 2, "undo")

    def stop(self) -> FenceService:
        """The fence of an abort."""
        return FenceService(
            workload=self.workload,
            uid=self.captured.uid,
            fence=4 * self.epoch + 1,
            op_id=f"{self.run}/stop",
        )

    def _apply(self, wanted: str | None, fence: int, what: str) -> Apply:
        return Apply(
            workload=self.workload,
            captured=self.captured,
            image=wanted,
            fence=fence,
            op_id=f"{self.run}/{what}",
            cause="the contract's test",
        )


def workload(side: Side, service: str) -> Workload:
    """Return where a service runs."""
    return Workload(service=service, namespace=side.namespace, deployment=service, container="app")


async def begin(side: Side, service: str) -> Change:
    """Capture a service."""
    captured = await activity(side.rollouts.capture, Capture(workload=workload(side, service)))
    return Change(side, service, captured)


async def test_a_write_happens_once_and_an_attempt_that_wakes_after_undo_is_refused(
    side: Side,
) -> None:
    change = await begin(side, "buddy")
    assert (await activity(side.rollouts.apply, change.forward())).changed
    assert not (await activity(side.rollouts.apply, change.forward())).changed
    assert (await activity(side.rollouts.apply, change.undo())).changed
    assert not (await activity(side.rollouts.apply, change.undo())).changed
    await refused(side.rollouts.apply, change.forward(), Fenced)


async def test_undo_writes_its_fence_also_when_there_is_nothing_to_revert(side: Side) -> None:
    change = await begin(side, "journey")
    assert not (await activity(side.rollouts.apply, change.undo())).changed
    await refused(side.rollouts.apply, change.forward(), Fenced)


async def test_after_a_stop_only_undo_may_write(side: Side) -> None:
    change = await begin(side, "impact-in")
    await activity(side.rollouts.fence, change.stop())
    await activity(side.rollouts.fence, change.stop())
    await refused(side.rollouts.apply, change.forward(), Fenced)
    assert not (await activity(side.rollouts.apply, change.undo())).changed
