"""A copy is compared with production while both are written to: equal, explained, or told."""

import io
import json
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
import zstandard

from activities.adapters.fallback import check as fallback_check
from activities.adapters.fallback import compare as fallback_compare
from activities.adapters.fallback import skipped as fallback_skipped
from activities.adapters.fallback.check import Check, kept, record
from activities.adapters.fallback.compare import Comparison, compare
from activities.adapters.fallback.pairs import pairs
from activities.adapters.postgres.sessions import Connection
from slipway.errors import FallbackDiffers
from tests.integration.data_world import until
from tests.integration.fallback_world import FallbackWorld, Following, fallback_world, following
from tests.integration.own_postgres import OwnPostgres, own_postgres
from tests.integration.test_fallback_crash import SCHEMA, Writer, applied
from tests.integration.test_fallback_handover import backup_of

MORE = """
CREATE TABLE codes (code text PRIMARY KEY, label varchar(20) NOT NULL, n int);
INSERT INTO codes SELECT 'c' || n, 'label ' || n, n FROM generate_series(1, 300) n;
CREATE TABLE twofold (a int, b text, what text, PRIMARY KEY (a, b));
INSERT INTO twofold SELECT n, 'it''s ' || n, 'w' FROM generate_series(1, 50) n;
"""


@pytest.fixture(scope="module")
def server() -> Iterator[OwnPostgres]:
    with own_postgres(fsync="off") as running:
        yield running


@pytest.fixture
async def world(server: OwnPostgres) -> AsyncIterator[FallbackWorld]:
    with fallback_world(server.stack, SCHEMA + MORE) as made:
        await made.begin()
        yield made


@asynccontextmanager
async def both(world: FallbackWorld) -> AsyncIterator[tuple[Connection, Connection]]:
    async with world.sessions.session(world.production) as one, world.side_session() as other:
        yield one, other


async def compared(world: FallbackWorld, follower: Following) -> Comparison:
    async def arrive() -> None:
        await world.drain(follower)

    async with both(world) as (production, side):
        known, left = await pairs(production, side)
        assert left == {}
        return await compare(production, side, arrive, known)


def odd(found: Comparison) -> dict[str, tuple[int, int, int]]:
    """Recorded, migrated and unexplained rows of the tables that differ."""
    return {
        name: (one.recorded, one.migrated, one.unexplained)
        for name, one in found.tables.items()
        if not one.equal
    }


async def test_equal_while_the_application_writes_without_a_pause(world: FallbackWorld) -> None:
    with Writer(world, 7) as writer, following(world) as follower:
        await until(lambda: applied(world) > 50)
        before = writer.acknowledged
        found = await compared(world, follower)
        assert writer.acknowledged > before
        assert found.certain == []
    # what was under way at the last look is settled by a look when nothing is
    async with both(world) as (production, side):
        with following(world) as follower:
            await world.drain(follower)
        known, _ = await pairs(production, side)
        await fallback_compare.settle(production, side, _nothing, known, found)
    assert odd(found) == {}
    assert {name for name, one in found.tables.items() if one.rows} == {
        "public.accounts",
        "public.tellers",
        "public.history",
        "public.twins",
        "public.codes",
        "public.twofold",
    }


async def _nothing() -> None:
    """Nothing is under way."""


PLANTED = {
    "changed": ("UPDATE accounts SET balance = 5 WHERE id = 17", "public.accounts", "id=17"),
    "missing": ("DELETE FROM codes WHERE code = 'c9'", "public.codes", "code=c9"),
    "added": ("INSERT INTO codes VALUES ('new', 'one', 1)", "public.codes", "code=new"),
    "of two columns": (
        "UPDATE twofold SET what = 'x' WHERE a = 5",
        "public.twofold",
        "a=5, b=it's 5",
    ),
    "without a key": ("INSERT INTO twins VALUES ('more')", "public.twins", "a row without a key"),
}


@pytest.mark.parametrize("case", PLANTED)
async def test_a_row_that_differs_is_found(world: FallbackWorld, case: str) -> None:
    query, table, key = PLANTED[case]
    world.run(query, world.side_name)
    with following(world) as follower:
        found = await compared(world, follower)
    assert odd(found) == {table: (0, 0, 1)}
    assert found.tables[table].keys == [key]
    assert found.certain == [table]


async def test_what_a_migration_wrote_itself_is_explained(world: FallbackWorld) -> None:
    with following(world) as follower:
        world.migrate(
            "UPDATE accounts SET note = 'new' WHERE id <= 40;"
            "DELETE FROM codes WHERE n > 290; UPDATE codes SET code = 'k' WHERE code = 'c1';"
            "INSERT INTO tellers VALUES (900, 0); INSERT INTO twins VALUES ('by the migration');"
            "ALTER TABLE twofold ALTER COLUMN what TYPE int USING 4"
        )
        await world.drain(follower)
        found = await compared(world, follower)
    assert odd(found) == {
        "public.accounts": (0, 40, 0),
        "public.codes": (0, 12, 0),
        "public.tellers": (0, 1, 0),
        "public.twins": (0, 1, 0),
    }
    assert found.tables["public.twofold"].without == ["what"]
    # and a difference that it does not explain is found beside them
    world.run("UPDATE accounts SET note = 'odd' WHERE id = 41", world.side_name)
    world.run("DELETE FROM codes WHERE code = 'c5'", world.side_name)
    with following(world) as follower:
        found = await compared(world, follower)
    assert odd(found)["public.accounts"] == (0, 40, 1)
    assert odd(found)["public.codes"] == (0, 12, 1)


async def test_a_migration_that_removed_too_much_to_note_explains_any_row(
    world: FallbackWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fallback_skipped, "_MOST", 3)
    with following(world) as follower:
        world.migrate("DELETE FROM codes WHERE n > 200; TRUNCATE twofold")
        await world.drain(follower)
        found = await compared(world, follower)
    assert odd(found) == {"public.codes": (0, 100, 0), "public.twofold": (0, 50, 0)}


async def test_what_stands_in_the_conflict_file_is_explained(world: FallbackWorld) -> None:
    with following(world) as follower:
        world.migrate("ALTER TABLE codes ALTER COLUMN label TYPE text")
        world.as_owner(
            "UPDATE codes SET label = repeat('long', 9) WHERE n IN (3, 4)",
            "INSERT INTO codes VALUES ('long', repeat('long', 9), 1)",
            "UPDATE codes SET code = 'other', label = repeat('long', 9) WHERE n = 5",
        )
        await world.drain(follower)
        found = await compared(world, follower)
    assert odd(found) == {"public.codes": (5, 0, 0)}


async def test_a_table_that_differs_everywhere_takes_no_memory_of_its_size(
    world: FallbackWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fallback_compare, "MOST_KEYS", 10)
    world.run("UPDATE accounts SET balance = balance + 1 WHERE id > 100", world.side_name)
    with following(world) as follower:
        found = await compared(world, follower)
    assert odd(found) == {"public.accounts": (0, 0, 900)}
    assert len(found.open["public.accounts"]) == 10
    assert found.certain == ["public.accounts"]


async def test_a_rollback_uses_what_was_compared_while_following(
    world: FallbackWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fallback_check, "_MOMENT", 0.0)
    monkeypatch.setattr(fallback_check, "_SMALL", 0)
    with following(world) as follower:

        async def arrive() -> None:
            await world.drain(follower)

        async with both(world) as (production, side):
            check = Check(backup_of(world))
            await check.before(production, side, arrive, print)
            assert {one.left.partition(":")[0] for one in check.tables} == {"no time"}
            await record(production, side, arrive)
            check = Check(backup_of(world))
            await check.before(production, side, arrive, print)
            await check.closed(production, side)
            assert all(one.equal for one in check.tables)
            world.migrate("ALTER TABLE accounts ADD extra int")
            await world.drain(follower)
            check = Check(backup_of(world))
            await check.before(production, side, arrive, print)
            assert {one.left.partition(":")[0] for one in check.tables} == {"no time"}


async def test_the_last_look_finds_what_came_after_the_first(
    world: FallbackWorld, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fallback_check, "_CLOSED", 60.0)
    with following(world) as follower:

        async def arrive() -> None:
            await world.drain(follower)

        async with both(world) as (production, side):
            check = Check(backup_of(world))
            await check.before(production, side, arrive, print)
            world.run("UPDATE tellers SET balance = 3 WHERE id = 2", world.side_name)
            with pytest.raises(FallbackDiffers, match=r"public.tellers 1 unexplained \(id=2\)"):
                await check.closed(production, side)
            file = tmp_path / "rows"
            assert await check.write(production, side, file) == 2
            accepted = Check(backup_of(world), accepted=True)
            await accepted.before(production, side, arrive, print)
            await accepted.closed(production, side)
    with zstandard.ZstdDecompressor().stream_reader(io.BytesIO(file.read_bytes())) as reader:
        lines = [json.loads(one) for one in io.TextIOWrapper(reader, encoding="utf-8")]
    assert [(one["in"], one["row"]["balance"]) for one in lines] == [("production", 0), ("copy", 3)]


async def test_what_cannot_be_followed_is_said(world: FallbackWorld) -> None:
    with following(world) as follower:

        async def arrive() -> None:
            await world.drain(follower)

        world.migrate(
            "CREATE TABLE codes_2 AS TABLE codes; DROP TABLE codes;"
            "ALTER TABLE codes_2 RENAME TO codes; CREATE TABLE fresh (id int PRIMARY KEY)"
        )
        async with both(world) as (production, side):
            check = Check(backup_of(world))
            await check.before(production, side, arrive, print)
            await check.closed(production, side)
            changes = (await kept(side)).changes
    assert any("public.codes was recreated" in one for one in changes)
    assert any("public.fresh is a new table" in one for one in changes)
    (codes,) = [one for one in check.tables if one.table == "public.codes"]
    assert codes.left == "production has dropped or recreated it"
