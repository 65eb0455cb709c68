"""Every schema drift on one slot: rows are kept and equal on the old columns, or recorded one by
one. Followed live, and by a follower that is behind all of the migrations."""

from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass

import pytest

from activities.adapters.fallback import intake as fallback_intake
from activities.adapters.fallback import side as fallback_side
from activities.adapters.fallback.changes import carried_now
from activities.adapters.fallback.compare import Comparison, compare
from activities.adapters.fallback.orphans import Orphan, orphans
from activities.adapters.fallback.pairs import pairs
from activities.adapters.fallback.store import Conflict
from tests.integration.drift_cases import CASES, Case
from tests.integration.fallback_world import FallbackWorld, Following, fallback_world, following
from tests.integration.own_postgres import OwnPostgres, own_postgres


@dataclass
class Seen:
    """What became of all cases."""

    world: FallbackWorld
    conflicts: list[Conflict]
    orphans: list[Orphan]
    told: list[str]
    compared: Comparison


def in_schema(case: Case, text: str) -> str:
    return f"SET search_path = {case.name}; {text}"


def setup() -> str:
    parts = [f"CREATE SCHEMA {one.name}; {in_schema(one, one.setup)}" for one in CASES]
    return ";".join(parts)


def before(world: FallbackWorld) -> None:
    for case in CASES:
        world.as_owner(*(in_schema(case, one) for one in case.before))


def after(world: FallbackWorld) -> None:
    for case in CASES:
        if case.unledgered:
            world.as_owner(in_schema(case, case.migration))
        else:
            world.migrate(in_schema(case, case.migration))
    for case in CASES:
        world.as_owner(*(in_schema(case, one) for one in case.after))


@pytest.fixture(scope="module")
def server() -> Iterator[OwnPostgres]:
    with own_postgres() as running:
        yield running


@pytest.fixture(scope="module", params=["live", "behind", "behind in pieces"])
async def seen(server: OwnPostgres, request: pytest.FixtureRequest) -> AsyncIterator[Seen]:
    """All cases happen, then everything is looked at."""
    with fallback_world(server.stack, setup()) as world:
        await world.begin()
        if request.param == "live":
            with following(world) as follower:
                before(world)
                after(world)
                yield await look(world, follower)
        else:
            before(world)
            after(world)
            with pytest.MonkeyPatch.context() as patch:
                if "pieces" in request.param:  # every transaction of two changes is a large one
                    patch.setattr(fallback_intake, "_MOST", 2)
                    patch.setattr(fallback_side, "_MOST_PREPARED", 5)
                with following(world) as follower:
                    yield await look(world, follower)


async def look(world: FallbackWorld, follower: Following) -> Seen:
    await world.drain(follower)
    async with world.side_session() as side:
        found = await orphans(side)
    async with world.sessions.session(world.production) as production:
        told = await carried_now(production, world.carried, world.left)
        async with world.side_session() as side:
            known, _ = await pairs(production, side)

            async def arrive() -> None:
                await world.drain(follower)

            compared = await compare(production, side, arrive, known)
    return Seen(world, await world.conflicts(), found, told, compared)


@pytest.mark.parametrize("case", CASES, ids=lambda one: one.name)
async def test_rows_are_kept_equal_or_recorded(seen: Seen, case: Case) -> None:
    for production, side in case.same:
        one, other = seen.world.hashes(production, side, f"SET search_path = {case.name}, public")
        assert one == other, production
        assert one[0] > 0
    for query, expected in case.side:
        assert seen.world.run(in_schema(case, query), seen.world.side_name) == expected
    found = [
        (one.operation, one.kind, one.sqlstate)
        for one in seen.conflicts
        if one.table.partition(".")[0] in (case.name, f"{case.name}_elsewhere")
    ]
    assert sorted(found) == sorted(case.conflicts)
    told = [one for one in seen.told if f"{case.name}." in one]
    assert len(told) == len(case.told)
    for one in case.told:
        assert any(one in sentence for sentence in told), told


async def test_rows_that_break_what_a_replica_role_skips_are_found(seen: Seen) -> None:
    found = {(one.kind, one.table, one.constraint): (one.count, one.keys) for one in seen.orphans}
    missing = [{"id": number} for number in range(2, 21)]
    assert found == {
        ("orphan", "foreign_key_dropped.child", "child_t_fkey"): (2, [{"id": 5}, {"id": 101}]),
        ("orphan", "truncate_referenced.other", "other_id_fkey"): (19, missing),
        ("duplicate", "deferrable_unique_dropped.t", "t_a_key"): (1, [{"a": "a2"}]),
    }


async def test_no_row_differs_without_a_reason(seen: Seen) -> None:
    found = seen.compared.tables
    assert {name: one.keys for name, one in found.items() if one.unexplained} == {}
    assert sum(one.equal for one in found.values()) > 10
