"""What workflow tests take for granted of rehearsals: the fakes and the real ones keep it."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from temporalio.testing import ActivityEnvironment

from activities.migrations import DatabaseMigrations
from activities.rehearsals import Rehearsals
from slipway.errors import ForeignChange
from slipway.messages.migration import ApplyMigrations, PendingMigration
from slipway.messages.rehearsal import Rehearsal, RehearseMigrations
from tests.fakes.activities import FakeMigrations, FakeRehearsals
from tests.fakes.plans import small_plan, small_release
from tests.fakes.world import FakeWorld
from tests.integration.rehearsal_world import Rehearsed

pytestmark = pytest.mark.stack


@dataclass
class Side:
    """One implementation, and what it is asked."""

    rehearsals: Rehearsals | FakeRehearsals
    migrations: DatabaseMigrations | FakeMigrations
    asked: RehearseMigrations
    apply: ApplyMigrations


@pytest.fixture(params=["fake", "real"])
async def side(request: pytest.FixtureRequest, tmp_path: Path) -> Side:
    """The fakes, and the real activities on the real server."""
    if request.param == "real":
        case = Rehearsed(
            request.getfixturevalue("world"), tmp_path, ["ALTER TABLE users ADD COLUMN a text;"]
        )
        return Side(case.activities, case.real, await case.request(), case.to_apply())
    world = FakeWorld()
    return Side(FakeRehearsals(world), FakeMigrations(world), *_fake_requests(world))


def _fake_requests(world: FakeWorld) -> tuple[RehearseMigrations, ApplyMigrations]:
    plan, release = small_plan(), small_release()
    pending = [
        PendingMigration(tag=one.tag, hash=one.sha256, when=1, sql="…", in_staging=True)
        for one in release.migrations.pending
    ]
    common: dict[str, Any] = {
        "deployment": "small-20261123T202134Z-abc123",
        "database": plan.database,
        "migrations": plan.migrations,
        "release": release.migrations,
        "pending": pending,
    }
    asked = RehearseMigrations(
        **common,
        backup_key="k",
        taken_at="2026-11-23T20:21:34Z",
        side_database="teei_small_side_1",
        schema_sha256=FakeMigrations(world)._state().schema_sha256,
        tag="1",
    )
    return asked, ApplyMigrations(**common, fence=4, op_id="migrate")


async def run(call: Callable[[Any], Awaitable[Any]], request: Any) -> Any:
    """Run an activity."""
    return await ActivityEnvironment().run(call, request)


async def test_a_rehearsal_says_what_production_will_be_and_changes_nothing(side: Side) -> None:
    seen: Rehearsal = await run(side.rehearsals.rehearse, side.asked)
    again: Rehearsal = await run(side.rehearsals.rehearse, side.asked)
    assert seen.refused == []
    assert seen.schema_before == side.asked.schema_sha256 == again.schema_before
    assert seen.schema_after == seen.schema_again == again.schema_after != seen.schema_before
    asked = side.apply.model_copy(update={"rehearsed": seen.expected})
    applied = await run(side.migrations.apply, asked)
    assert applied.state.schema_sha256 == seen.schema_after


async def test_production_that_is_not_as_rehearsed_is_not_migrated(side: Side) -> None:
    seen: Rehearsal = await run(side.rehearsals.rehearse, side.asked)
    other = seen.expected.model_copy(update={"schema_before": "0" * 64})
    with pytest.raises(ForeignChange):
        await run(side.migrations.apply, side.apply.model_copy(update={"rehearsed": other}))
