"""The rules that the workflow tests rely on: the fakes and the real activities both keep them."""

import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from activities.leases import Leases
from activities.record import Records
from activities.rollouts import Rollouts
from devstack.world.images import image
from slipway.errors import Fenced, ForeignChange, Held, RecordConflict
from slipway.messages.migration import FenceDatabase
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
from tests.fakes.activities import FakeLeases, FakeMigrations, FakeRecords, FakeRollouts
from tests.fakes.world import FakeDeployment, FakeWorld
from tests.integration.cluster_world import activity
from tests.integration.data_world import DataWorld
from tests.integration.migration_case import HARMLESS, Case

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


class Environment:
    """An environment of its own, and the requests for its Lease."""

    def __init__(self, side: Side) -> None:
        self.names = {"namespace": side.namespace, "environment": f"lease-{uuid4().hex[:8]}"}

    def ask(self, who: str, **more: Any) -> AcquireLease:
        """Take it."""
        return AcquireLease(**self.names, deployment=who, **more)

    def give(self, who: str, **more: Any) -> ReleaseLease:
        """Give it back."""
        return ReleaseLease(**self.names, deployment=who, **more)


async def test_a_lease_has_one_holder_and_rising_epochs(side: Side) -> None:
    environment = Environment(side)
    ask, give = environment.ask, environment.give
    first: LeaseHeld = await activity(side.leases.acquire, ask("one"))
    assert await activity(side.leases.acquire, ask("one")) == first
    await refused(side.leases.acquire, ask("two"), Held)
    fresh: LeaseHeld = await activity(side.leases.acquire, ask("one", fresh=True))
    assert fresh.epoch > first.epoch
    await activity(side.leases.release, give("two"))
    await refused(side.leases.acquire, ask("three"), Held)
    await activity(side.leases.release, give("one"))
    second: LeaseHeld = await activity(side.leases.acquire, ask("three"))
    assert second.epoch > fresh.epoch
    assert fresh.undo_fence < second.do_fence


async def test_a_turn_that_is_over_does_not_take_the_lease_again(side: Side) -> None:
    environment, leases = Environment(side), side.leases
    ask, give = environment.ask, environment.give
    await activity(leases.acquire, ask("one"))
    await activity(leases.release, give("one"))
    await activity(leases.release, give("never seen to hold it"))
    for late in (ask("one"), ask("one", fresh=True), ask("never seen to hold it")):
        await refused(leases.acquire, late, Fenced)

    held: LeaseHeld = await activity(leases.acquire, ask("one", turn=1000))
    await refused(leases.acquire, ask("one", turn=999), Fenced)
    await activity(leases.release, give("one"))
    await refused(leases.acquire, ask("two"), Held)
    assert await activity(leases.acquire, ask("one", turn=1001)) == held
    await activity(leases.release, give("one", turn=1000))
    await refused(leases.acquire, ask("two"), Held)
    await activity(leases.release, give("one", turn=1001))
    await refused(leases.acquire, ask("one", turn=1000), Fenced)
    after: LeaseHeld = await activity(leases.acquire, ask("two"))
    assert after.epoch > held.epoch


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


class FakeCase:
    """One pending migration in the world in memory; as `Case` does on the real server."""

    def __init__(self, real: Case) -> None:
        self._real = real
        self._world = FakeWorld()

    async def apply(self, fence: int = 4) -> None:
        """The deployment applies it."""
        await activity(FakeMigrations(self._world).apply, self._real.request(fence))

    async def fence(self, fence: int = 6, op_id: str = "undo") -> None:
        """An abort's or an undo's fence."""
        request = self._real.request(fence, op_id)
        await activity(
            FakeMigrations(self._world).fence,
            FenceDatabase(
                deployment=request.deployment, database=request.database, fence=fence, op_id=op_id
            ),
        )

    def applied_by_hand(self) -> None:
        """Somebody else applies it."""
        self._world.ledger += [one.hash for one in self._real.pending]


@pytest.fixture(params=["fake", "real"])
def case(request: pytest.FixtureRequest, world: DataWorld, tmp_path: Path) -> Case | FakeCase:
    """One pending migration."""
    real = Case(world, tmp_path, [HARMLESS])
    return real if request.param == "real" else FakeCase(real)


async def test_an_applied_migration_is_ours_in_every_later_epoch(case: Case | FakeCase) -> None:
    await case.apply(4)
    await case.apply(4)
    await case.fence(5, "stop")
    with pytest.raises(Fenced):
        await case.apply(4)
    await case.apply(8)


async def test_a_migration_of_somebody_else_s_is_refused_every_time(case: Case | FakeCase) -> None:
    case.applied_by_hand()
    for fence in (4, 4, 8):
        with pytest.raises(ForeignChange):
            await case.apply(fence)


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
