"""A committed migration taken back while clients write: no acknowledged write is lost.

The copy that proved the backup follows production on the old schema; the rollback fences, drains
and swaps. Judged by the writer's own log, from outside.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import psycopg
import pytest
from temporalio.testing import ActivityEnvironment

from activities.adapters.fallback import arrival as fallback_arrival
from activities.adapters.fallback import check as fallback_check
from activities.adapters.fallback import store as fallback_store
from activities.adapters.fallback import tail as fallback_tail
from activities.adapters.postgres import dump as postgres_dump
from activities.adapters.postgres.adapter import Postgres
from activities.backups import Backups
from activities.database import DatabaseRollback
from activities.fallbacks import Fallbacks
from slipway.errors import FallbackDiffers, FallbackLost, Unreachable
from slipway.messages.fallback import EndFallback, Followed, FollowFallback
from slipway.messages.migration import DatabaseRolledBack
from slipway.messages.record import BackupTaken
from slipway.states import FallbackState
from tests.integration.cutting import cut_off
from tests.integration.data_world import DataWorld, lines_of, until
from tests.integration.test_database_rollback import _is_open, _migrate, _until, _writing

pytestmark = pytest.mark.stack

LEDGER = "drizzle.__drizzle_migrations"


async def take(world: DataWorld, tag: str = "1") -> BackupTaken:
    """Take a backup whose copy is to follow."""
    request = world.take(tag).model_copy(update={"follow": LEDGER})
    return await ActivityEnvironment().run(Backups(world.postgres, world.store).take, request)


async def roll_back(
    world: DataWorld, taken: BackupTaken, op_id: str = "undo", **more: Any
) -> DatabaseRolledBack:
    """Take the database back with every later write."""
    wanted = {"lossless": True, "catch_up": 240.0, "folder": f"{world.backup.prefix}records/x/"}
    request = world.roll_back(taken, op_id).model_copy(update={**wanted, **more})
    activities = DatabaseRollback(world.postgres, world.store)
    return await ActivityEnvironment().run(activities.roll_back, request)


@asynccontextmanager
async def following(
    world: DataWorld, taken: BackupTaken
) -> "AsyncIterator[asyncio.Task[Followed]]":
    """Follow while the block lasts, as the workflow's activity does."""
    request = FollowFallback(deployment=world.deployment, database=world.database, backup=taken)
    activity = Fallbacks(world.postgres).follow

    async def again_and_again() -> Followed:  # as Temporal does
        while True:
            try:
                return await ActivityEnvironment().run(activity, request)
            except Unreachable:
                await asyncio.sleep(0.1)

    work = asyncio.create_task(again_and_again())
    try:
        yield work
    finally:
        work.cancel()
        await asyncio.gather(work, return_exceptions=True)


async def end(world: DataWorld, taken: BackupTaken) -> list[str]:
    """Drop what the backup keeps."""
    request = EndFallback(deployment=world.deployment, database=world.database, backup=taken)
    return (await ActivityEnvironment().run(Fallbacks(world.postgres).end, request)).dropped


def slots(world: DataWorld) -> list[Any]:
    """The slots that slipway made for this world."""
    return world.run(
        f"SELECT slot_name FROM pg_replication_slots WHERE starts_with(database, '{world.name}')"  # noqa: S608 - a name this test made
    )


async def test_no_acknowledged_write_is_lost(world: DataWorld) -> None:
    with _writing(world) as writer:
        await _until(writer, 20)
        taken = await take(world)
        assert taken.fallback is not None, taken.no_fallback
        assert [one.partition(":")[0] for one in taken.fallback.not_carried] == [
            "public.keyless",
            "public.moods",
        ]
        async with following(world, taken) as work:
            await _until(writer, len(writer.acknowledged) + 50)
            _migrate(world)
            await _until(writer, len(writer.acknowledged) + 200)
            done = await roll_back(world, taken)
            assert (await work).state is FallbackState.SWAPPED
        await _until(writer, len(writer.acknowledged) + 20)

    assert (done.changed, done.followed, done.schema_equal) == (True, True, True)
    assert writer.missing() == 0
    assert len(writer.acknowledged) > 270
    assert {one.table: (one.unexplained, one.left) for one in done.compared} == {
        "public.users": (0, ""),
        "public.orders": (0, ""),
        "public.events": (0, ""),
        "public.first_one": (0, ""),
    }
    assert "Compared with production: 4 of 4 tables equal" in done.because
    assert done.lost == []
    assert slots(world) == []
    assert taken.side_database not in world.databases()
    assert done.kept_as in world.databases()
    columns = {
        one[0]
        for one in world.run(
            "SELECT column_name FROM information_schema.columns WHERE table_name = 'users'"
        )
    }
    assert "nickname" not in columns
    assert world.run("SELECT count(*) FROM pg_namespace WHERE nspname = 'slipway_fallback'") == [
        (0,)
    ]
    assert world.run("SELECT count(*) FROM pg_publication") == [(0,)]


async def test_rows_that_differ_without_a_reason_are_not_swapped_in_unseen(
    world: DataWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fallback_check, "_MOMENT", 60.0)
    taken = await take(world)
    _migrate(world)
    world.run(f"ALTER DATABASE {taken.side_database} ALLOW_CONNECTIONS true", "postgres")
    world.run("UPDATE users SET email = 'somebody wrote here' WHERE id = 7", taken.side_database)
    world.run("DELETE FROM orders WHERE id = 9", taken.side_database)
    with pytest.raises(FallbackDiffers, match=r"nothing says why") as refused:
        await roll_back(world, taken)
    assert _is_open(world)
    assert "public.users 1 unexplained (id=7)" in str(refused.value)
    assert "public.orders 1 unexplained (id=9)" in str(refused.value)
    key = f"{world.backup.prefix}records/x/artefacts/differing.jsonl.zst"
    assert key in str(refused.value)
    assert [(one["in"], one["row"]["id"]) for one in lines_of(world, key)] == [
        ("production", 9),
        ("production", 7),
        ("copy", 7),
    ]
    # a person has looked, and wants it all the same
    done = await roll_back(world, taken, accepted=True)
    assert done.followed
    assert "Compared with production: 2 of 4 tables equal" in done.because
    assert "public.users 1 unexplained (id=7)" in done.because


async def test_what_was_compared_while_following_needs_no_time_later(
    world: DataWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    taken = await take(world)
    async with following(world, taken):
        _migrate(world)
        world.run("INSERT INTO users (email) VALUES ('c@teei.example')")
        query = (
            "SELECT count(*) FROM slipway_fallback.comparison, jsonb_object_keys(found->'tables')"
        )
        await until(lambda: _counted(world, query, taken.side_database) == 4)
        monkeypatch.setattr(fallback_check, "_MOMENT", 0.0)
        monkeypatch.setattr(fallback_check, "_SMALL", -1)
        done = await roll_back(world, taken)
    assert [one.left for one in done.compared] == [""] * 4
    assert "4 of 4 tables equal (0 of them while it was closed)" in done.because


async def test_it_also_catches_up_only_when_it_is_wanted(world: DataWorld) -> None:
    with _writing(world) as writer:
        taken = await take(world)
        await _until(writer, 50)
        _migrate(world)
        await _until(writer, len(writer.acknowledged) + 100)
        done = await roll_back(world, taken)
    assert done.followed
    assert writer.missing() == 0


async def test_what_the_old_schema_has_no_place_for_is_in_the_file(world: DataWorld) -> None:
    taken = await take(world)
    _migrate(world)
    world.run("INSERT INTO gifts VALUES (7)")
    world.run("INSERT INTO users (email, nickname) VALUES ('n@teei.example', 'Nick')")
    world.run("INSERT INTO orders (id) VALUES (9001)")
    done = await roll_back(world, taken)

    assert (done.conflicts, done.aside) == (0, 2)
    lines = lines_of(world, done.conflicts_key)
    assert {(one["kind"], one["table"]) for one in lines} == {
        ("added-table", "public.gifts"),
        ("added-columns", "public.users"),
    }
    assert [one["row"] for one in lines if one["table"] == "public.gifts"] == [{"id": "7"}]
    (named,) = [one["row"] for one in lines if one["table"] == "public.users"]
    assert named["nickname"] == "Nick"
    assert world.run("SELECT count(*) FROM users WHERE email = 'n@teei.example'") == [(1,)]
    assert world.run("SELECT count(*) FROM orders WHERE id = 9001 AND user_id IS NULL") == [(1,)]


async def test_sequences_go_on_where_production_was(world: DataWorld) -> None:
    taken = await take(world)
    _migrate(world)
    (last,) = world.run("INSERT INTO users (email) VALUES ('a@teei.example') RETURNING id")[0]
    world.run("DELETE FROM users WHERE email = 'a@teei.example'")
    await roll_back(world, taken)
    (next_,) = world.run("INSERT INTO users (email) VALUES ('b@teei.example') RETURNING id")[0]
    assert next_ == last + 1


async def test_unchanged_database_is_only_proved(world: DataWorld) -> None:
    taken = await take(world)
    done = await roll_back(world, taken)
    assert (done.changed, done.followed) == (False, False)
    assert sorted(await end(world, taken)) == ["database", "publication", "slot"]
    assert await end(world, taken) == []
    assert world.databases() == [world.name]


@pytest.mark.parametrize("where", ["catch_up", "act", "swapped"])
async def test_a_rollback_that_was_cut_off_is_finished_by_the_next_attempt(
    world: DataWorld, where: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Cancelled while catching up, while production is closed, and after the swap."""
    reached = asyncio.Event()
    with _writing(world) as writer:
        taken = await take(world)
        async with following(world, taken) as work:
            _migrate(world)
            await _until(writer, len(writer.acknowledged) + 50)
            with monkeypatch.context() as patch:
                if where == "swapped":
                    _hang(patch, Postgres, "retire_fallback", reached)
                else:
                    _hang(patch, fallback_tail.Tail, where, reached)
                await cut_off(roll_back(world, taken), reached)
            assert _is_open(world)
            await _until(writer, len(writer.acknowledged) + 20)
            done = await roll_back(world, taken)
            assert (await asyncio.wait_for(work, 120)).state is FallbackState.SWAPPED
        await _until(writer, len(writer.acknowledged) + 20)
    assert done.followed
    assert writer.missing() == 0
    assert slots(world) == []


def _hang(patch: pytest.MonkeyPatch, owner: Any, name: str, reached: asyncio.Event) -> None:
    async def hanging(*_: Any, **__: Any) -> None:
        reached.set()
        await asyncio.Event().wait()

    patch.setattr(owner, name, hanging)


async def test_a_drain_that_never_ends_reopens_production(
    world: DataWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    taken = await take(world)
    _migrate(world)
    real = fallback_store.mark

    async def never(production: Any) -> str:
        return await real(production) if _is_open(world) else "FFFFFFFF/FFFFFFFF"

    with monkeypatch.context() as patch:  # the drain that ends has the time that it needs
        patch.setattr(fallback_tail, "_CLOSED", 0.5)
        patch.setattr(fallback_arrival, "mark", never)
        with pytest.raises(Unreachable, match="opened again"):
            await roll_back(world, taken)
    assert _is_open(world)
    assert (await roll_back(world, taken)).followed


async def test_a_lost_slot_is_told_and_nothing_is_swapped(world: DataWorld) -> None:
    taken = await take(world)
    _migrate(world)
    assert taken.fallback is not None
    world.run(f"SELECT pg_drop_replication_slot('{taken.fallback.slot}')")
    async with following(world, taken) as work:
        followed = await asyncio.wait_for(work, 120)
    assert followed.state is FallbackState.LOST
    assert taken.fallback.slot in followed.because
    with pytest.raises(FallbackLost):
        await roll_back(world, taken)
    assert _is_open(world)
    # a person decides: back to the backup
    done = await roll_back(world, taken, lossless=False)
    assert (done.changed, done.followed) == (True, False)


def _counted(world: DataWorld, query: str, database: str) -> int:
    """A count in the side database; -1 while it is closed."""
    try:
        return int(world.run(query, database)[0][0])
    except psycopg.OperationalError:
        return -1


_TWO = "INSERT INTO users (email) VALUES ('two{}@teei.example')"


async def test_two_followers_never_work_at_once_and_none_applies_twice(world: DataWorld) -> None:
    taken = await take(world)
    async with following(world, taken), following(world, taken):
        for number in range(40):
            world.run(_TWO.format(number))
            await asyncio.sleep(0)
        query = "SELECT count(*) FROM users WHERE email LIKE 'two%'"
        await until(lambda: _counted(world, query, taken.side_database) == 40)
    assert _counted(world, query, taken.side_database) == 40


async def test_cancelling_the_backup_leaves_no_slot(
    world: DataWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    reached = asyncio.Event()
    _hang(monkeypatch, postgres_dump, "restore", reached)
    task = asyncio.create_task(take(world))
    await asyncio.wait_for(reached.wait(), 120)
    assert len(slots(world)) == 1
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert slots(world) == []
    assert world.run("SELECT count(*) FROM pg_publication") == [(0,)]
    assert world.databases() == [world.name]


async def test_no_ledger_no_fallback_but_a_backup(world: DataWorld) -> None:
    world.run("DROP TABLE drizzle.__drizzle_migrations")
    taken = await take(world)
    assert taken.fallback is None
    assert "ledger" in taken.no_fallback
    assert taken.restored_ok
    assert slots(world) == []


async def test_publications_of_others_survive(world: DataWorld) -> None:
    world.as_owner("CREATE PUBLICATION theirs FOR TABLE public.users WHERE (id > 10)")
    world.run("CREATE PUBLICATION everything FOR ALL TABLES")  # only a superuser may
    taken = await take(world)
    _migrate(world)
    done = await roll_back(world, taken)
    assert world.run("SELECT pubname FROM pg_publication") == [("theirs",)]
    assert "publication everything" in done.because


async def test_what_does_not_follow_is_counted_and_written_down(world: DataWorld) -> None:
    taken = await take(world)
    _migrate(world)
    world.run("INSERT INTO keyless VALUES ('same'), ('other')")
    world.run("INSERT INTO users (email) VALUES ('k@teei.example')")
    done = await roll_back(world, taken)
    assert done.followed
    assert {one.table: one.rows for one in done.lost} == {"public.keyless": 2}
    assert sorted(one["row"]["what"] for one in lines_of(world, done.lost_key)) == ["other", "same"]
    assert world.run("SELECT count(*) FROM users WHERE email = 'k@teei.example'") == [(1,)]


async def test_bad_writes_are_not_carried_where_a_person_chose_the_backup(world: DataWorld) -> None:
    """After corruption: to the backup, although the copy follows and nothing was written yet."""
    taken = await take(world)
    async with following(world, taken) as work:
        _migrate(world)
        done = await roll_back(world, taken, lossless=False)
        assert (await asyncio.wait_for(work, 120)).state is not FallbackState.ENDED
    assert (done.changed, done.followed, done.schema_equal) == (True, False, True)
    assert slots(world) == []
    query = "SELECT count(*) FROM pg_namespace WHERE nspname = 'slipway_fallback'"
    assert world.run(query) == [(0,)]
