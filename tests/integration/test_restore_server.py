"""Copies of production on another server: proved there, rehearsed there, following from there, and
fetched back for a rollback that loses no write."""

import asyncio
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from temporalio.testing import ActivityEnvironment

from activities.adapters.fallback import control as fallback_control
from activities.adapters.fallback import home as fallback_home
from activities.adapters.fallback import tail as fallback_tail
from activities.backups import Backups
from activities.database import DatabaseRollback
from activities.tidying import Janitor
from devstack.stack import Stack
from slipway.errors import SlipwayError, Unreachable
from slipway.messages.record import Place
from slipway.messages.shelf import TidyRun
from slipway.states import FallbackState
from tests.integration.away_world import AwayWorld, away_world
from tests.integration.cutting import cut_off
from tests.integration.data_world import digest, lines_of, until
from tests.integration.own_postgres import OwnPostgres, own_postgres
from tests.integration.rehearsal_world import Rehearsed
from tests.integration.test_database_rollback import _is_open, _migrate, _until, _writing
from tests.integration.test_lossless_rollback import end, following, roll_back, slots, take

pytestmark = pytest.mark.stack


@pytest.fixture(scope="module")
def other() -> Iterator[OwnPostgres]:
    """The server that holds the copies."""
    with own_postgres() as server:
        yield server


@pytest.fixture
def away(stack: Stack, other: OwnPostgres, tmp_path: Path) -> Iterator[AwayWorld]:
    with away_world(stack, other.stack, tmp_path) as made:
        yield made


def home(world: AwayWorld) -> list[str]:
    """Copies on production's server."""
    return [one for one in world.databases() if one != world.name]


async def test_a_backup_is_proved_on_the_other_server(away: AwayWorld) -> None:
    taken = await take(away)
    assert taken.restored_ok
    assert taken.fallback is not None
    assert (home(away), away.copies()) == ([], [taken.side_database])
    count = "SELECT count(*) FROM users"
    assert away.run(count) == [(2000,)]
    away.there(f"ALTER DATABASE {taken.side_database} ALLOW_CONNECTIONS true")
    assert away.there(count, taken.side_database) == [(2000,)]
    assert away.there("SHOW search_path", taken.side_database) == [("public, drizzle",)]
    assert sorted(await end(away, taken)) == ["database", "publication", "slot"]
    assert (home(away), away.copies(), slots(away)) == ([], [], [])


async def test_a_migration_is_rehearsed_on_the_other_server(
    away: AwayWorld, tmp_path: Path
) -> None:
    case = Rehearsed(away, tmp_path, ["ALTER TABLE users ADD COLUMN nickname text;"])
    side = (await case.take()).side_database
    seen = await case.rehearse()
    assert (seen.error, seen.refused) == ("", [])
    assert "+    nickname text" in seen.schema_diff
    assert (home(away), away.copies(), away.roles_there()) == ([], [side], [])
    applied = await case.apply(seen)
    assert applied.state.schema_sha256 == seen.schema_after


async def test_no_acknowledged_write_is_lost_when_the_copy_is_fetched(away: AwayWorld) -> None:
    with _writing(away) as writer:
        await _until(writer, 20)
        taken = await take(away)
        async with following(away, taken) as work:
            _migrate(away)
            await _until(writer, len(writer.acknowledged) + 100)
            done = await roll_back(away, taken)
            assert (await asyncio.wait_for(work, 120)).state is FallbackState.SWAPPED
        await _until(writer, len(writer.acknowledged) + 20)
    assert (done.changed, done.followed, done.schema_equal) == (True, True, True)
    assert writer.missing() == 0
    assert len(writer.acknowledged) > 140
    assert slots(away) == []
    assert home(away) == [done.kept_as]
    assert await end(away, taken) == ["database"]
    assert (away.copies(), home(away)) == ([], [done.kept_as])
    schemas = "SELECT count(*) FROM pg_namespace WHERE nspname = 'slipway_fallback'"
    assert away.run(schemas) == [(0,)]


async def test_a_copy_that_never_followed_is_fetched_and_catches_up(away: AwayWorld) -> None:
    taken = await take(away)
    _migrate(away)
    away.run("INSERT INTO users (email, nickname) VALUES ('n@teei.example', 'Nick')")
    (last,) = away.run("SELECT max(id) FROM users")[0]
    done = await roll_back(away, taken)
    assert (done.followed, done.aside) == (True, 1)
    assert [one["row"]["nickname"] for one in lines_of(away, done.conflicts_key)] == ["Nick"]
    (next_,) = away.run("INSERT INTO users (email) VALUES ('b@teei.example') RETURNING id")[0]
    assert next_ == last + 1


async def test_rows_that_break_a_dropped_foreign_key_are_fetched_too(away: AwayWorld) -> None:
    """The copy has taken them, its own constraint forbids them: no plain restore would."""
    taken = await take(away)
    change = "ALTER TABLE orders DROP CONSTRAINT orders_user_id_fkey"
    away.as_owner(change)
    ledger = "INSERT INTO drizzle.__drizzle_migrations (hash, created_at) VALUES"
    away.run(f"{ledger} ('{digest(change)}', 1800000000000)")
    async with following(away, taken):
        away.run("INSERT INTO orders VALUES (9001, 777777)")
        query = "SELECT count(*) FROM orders WHERE id = 9001"
        await until(lambda: _there(away, query, taken.side_database) == 1)
        done = await roll_back(away, taken)
    assert (done.followed, done.schema_equal) == (True, True)
    assert away.run("SELECT user_id FROM orders WHERE id = 9001") == [(777777,)]
    (orphan,) = [one for one in lines_of(away, done.conflicts_key) if one["kind"] == "orphan"]
    assert orphan["table"] == "public.orders"


def _there(world: AwayWorld, query: str, database: str) -> int:
    """A count in the copy on the other server; -1 while it is closed."""
    try:
        return int(world.there(query, database)[0][0])
    except Exception:
        return -1


@pytest.mark.parametrize("where", ["fetching", "fetched", "following", "closed"])
async def test_a_rollback_that_was_cut_off_is_finished_by_the_next_attempt(
    away: AwayWorld, where: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    reached = asyncio.Event()
    owner, name = {
        "fetching": (fallback_home, "_stream"),
        "fetched": (fallback_control, "rehome"),
        "following": (fallback_tail.Tail, "catch_up"),
        "closed": (fallback_tail.Tail, "act"),
    }[where]

    async def hanging(*_: Any, **__: Any) -> None:
        reached.set()
        await asyncio.Event().wait()

    with _writing(away) as writer:
        taken = await take(away)
        async with following(away, taken) as work:
            _migrate(away)
            await _until(writer, len(writer.acknowledged) + 50)
            with monkeypatch.context() as patch:
                patch.setattr(owner, name, hanging)
                await cut_off(roll_back(away, taken), reached)
            assert _is_open(away)
            assert bool(home(away)) == (where != "fetching")
            await _until(writer, len(writer.acknowledged) + 50)
            done = await roll_back(away, taken)
            assert (await asyncio.wait_for(work, 120)).state is FallbackState.SWAPPED
        await _until(writer, len(writer.acknowledged) + 20)
    assert done.followed
    assert writer.missing() == 0
    assert slots(away) == []
    assert home(away) == [done.kept_as]


async def test_without_the_other_server_nothing_is_swapped_and_production_stays_open(
    stack: Stack, tmp_path: Path
) -> None:
    with own_postgres() as gone, away_world(stack, gone.stack, tmp_path) as world:
        taken = await take(world)
        _migrate(world)
        gone.stop()
        with pytest.raises(Unreachable):
            await roll_back(world, taken)
        assert _is_open(world)
        assert home(world) == []
        gone.start()
        assert (await roll_back(world, taken)).followed


async def test_back_to_the_backup_itself(away: AwayWorld) -> None:
    taken = await take(away)
    async with following(away, taken) as work:
        _migrate(away)
        away.run("INSERT INTO users (email) VALUES ('later@teei.example')")
        done = await roll_back(away, taken, lossless=False)
        assert (await asyncio.wait_for(work, 120)).state is not FallbackState.ENDED
    assert (done.changed, done.followed, done.schema_equal) == (True, False, True)
    assert {one.table: one.rows for one in done.lost} == {"public.users": 1}
    assert away.run("SELECT count(*) FROM users") == [(2000,)]
    assert slots(away) == []


async def test_back_to_the_backup_without_the_bucket(away: AwayWorld) -> None:
    """An encrypted dump can be read by a person only: the copy on the other server is fetched."""
    taken = await ActivityEnvironment().run(Backups(away.postgres, away.store).take, away.take())
    _migrate(away)
    nothing: Any = None
    activities = DatabaseRollback(away.postgres, store=nothing)
    done = await ActivityEnvironment().run(activities.roll_back, away.roll_back(taken))
    assert (done.changed, done.schema_equal, done.lost_rows) == (True, True, 0)
    assert home(away) == [done.kept_as]


async def test_the_janitor_tidies_both_servers(away: AwayWorld) -> None:
    taken = await take(away)
    place = Place(
        bucket=away.stack.bucket,
        prefix=away.backup.prefix,
        environment="production",
        deployment=away.deployment,
    )
    request = TidyRun(place=place, database=away.database)
    done = await ActivityEnvironment().run(Janitor(away.postgres, away.store).tidy, request)
    assert done.databases == [taken.side_database]
    assert (away.copies(), home(away), slots(away)) == ([], [], [])


async def test_a_role_that_is_missing_there_is_named(away: AwayWorld) -> None:
    role = f"{away.name}_reader"
    away.run(f"CREATE ROLE {role}")
    try:
        away.as_owner(f"GRANT SELECT ON users TO {role}")
        with pytest.raises(SlipwayError, match=f'role "{role}" does not exist'):
            await take(away)
        assert (away.copies(), home(away), slots(away)) == ([], [], [])
    finally:
        away.run(f"DROP OWNED BY {role}; DROP ROLE {role}")
