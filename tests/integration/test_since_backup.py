"""What a person is shown before deciding to go back to the backup: every row that differs, by table
and key, from a database that nothing has followed into."""

import pytest
from temporalio.testing import ActivityEnvironment

from activities.database import DatabaseRollback
from slipway.messages.migration import DatabaseCompared
from slipway.messages.record import BackupTaken
from tests.integration.data_world import DataWorld, lines_of, until
from tests.integration.test_database_rollback import _is_open, _migrate, _roll_back, _take
from tests.integration.test_lossless_rollback import _counted, following, roll_back, take

pytestmark = pytest.mark.stack


async def compare(world: DataWorld, taken: BackupTaken) -> DatabaseCompared:
    """As the workflow asks before it asks the person."""
    folder = f"{world.backup.prefix}records/x/"
    request = world.roll_back(taken).model_copy(update={"folder": folder})
    activities = DatabaseRollback(world.postgres, world.store)
    return await ActivityEnvironment().run(activities.compare, request)


def _write(world: DataWorld) -> None:
    world.run("INSERT INTO users (email) SELECT 'later' || n FROM generate_series(1, 9) n")
    world.run("UPDATE users SET email = 'changed' WHERE id <= 7")
    world.run("DELETE FROM orders WHERE id IN (11, 12)")
    world.run("INSERT INTO keyless VALUES ('other')")
    world.run("DELETE FROM keyless WHERE ctid IN (SELECT ctid FROM keyless LIMIT 3)")


async def test_rows_that_differ_are_told_by_table_and_key(world: DataWorld) -> None:
    taken = await _take(world)
    _migrate(world)
    _write(world)
    found = await compare(world, taken)

    seen = {one.table: (one.missing, one.changed, one.gone) for one in found.tables}
    assert seen == {
        "public.users": (9, 7, 0),
        "public.orders": (0, 0, 2),
        "public.keyless": (1, 0, 3),
    }
    assert "public.users 9 new, 7 changed (id=" in found.because
    assert "public.orders 2 removed (id=11 (removed), id=12 (removed))" in found.because
    lines = lines_of(world, found.key)
    assert found.key in found.because
    assert len(lines) == 9 + 7 + 2 + 1 + 3
    removed = [one["row"] for one in lines if one["kind"] == "gone"]
    assert sorted(one["id"] for one in removed if "id" in one) == ["11", "12"]
    assert [one for one in removed if "what" in one] == [{"what": "same"}] * 3
    # nothing was done to production, and what was asked about can be done
    assert _is_open(world)
    assert world.run("SELECT count(*) FROM users WHERE email = 'changed'") == [(7,)]
    assert (await _roll_back(world, taken)).changed
    assert world.run("SELECT count(*) FROM users WHERE email = 'changed'") == [(0,)]


async def test_nothing_written_nothing_told(world: DataWorld) -> None:
    taken = await _take(world)
    found = await compare(world, taken)
    assert (found.tables, found.key) == ([], "")
    assert "No row of" in found.because


async def test_what_a_copy_has_followed_is_told_all_the_same(world: DataWorld) -> None:
    """Bad writes never travel unseen: a copy that has them already is not what is compared with."""
    taken = await take(world)
    async with following(world, taken):
        _write(world)
        query = "SELECT count(*) FROM users WHERE email = 'changed'"
        await until(lambda: _counted(world, query, taken.side_database) == 7)
        _migrate(world)
        found = await compare(world, taken)
        assert found.side != taken.side_database
        seen = {one.table: (one.missing, one.changed, one.gone) for one in found.tables}
        assert seen["public.users"] == (9, 7, 0)
        done = await roll_back(world, taken, lossless=False)
    assert not done.followed
    assert world.run("SELECT count(*) FROM users WHERE email = 'changed'") == [(0,)]
