"""Rows whose old values a migration changes: a rollback has the old ones, also of what services
wrote since, and what was set for it on production is taken back."""

import asyncio
from pathlib import Path

import psycopg
import pytest
from temporalio.testing import ActivityEnvironment

from activities.adapters.fallback import identity as fallback_identity
from devstack.world.database import access
from slipway.errors import Unreachable
from slipway.messages.record import BackupTaken
from slipway.messages.rehearsal import Rehearsal
from tests.integration.data_world import DataWorld, until
from tests.integration.rehearsal_world import Rehearsed
from tests.integration.test_lossless_rollback import end, following, roll_back, slots, take

pytestmark = pytest.mark.stack
MIGRATION = """
ALTER TABLE users ADD COLUMN nickname text;
UPDATE users SET email = upper(email), nickname = email WHERE id <= 5;
UPDATE events SET what = 'rewritten';
UPDATE orders SET user_id = user_id WHERE id < 10;
"""
IDENTITIES = """
SELECT c.relname, c.relreplident::text FROM pg_class c WHERE c.relkind IN ('r', 'p')
    AND c.relnamespace = 'public'::regnamespace AND c.relreplident <> 'd' ORDER BY 1"""
WHOLE = [("events", "f"), ("events_new", "f"), ("events_old", "f"), ("users", "f")]


class Release(Rehearsed):
    """A release whose migration changes values, on a database whose copy follows."""

    async def begin(self) -> BackupTaken:
        """Take the backup that follows."""
        self.backup = await take(self.world)
        return self.backup

    async def migrate(self) -> Rehearsal:
        """Rehearse, then apply as the workflow does."""
        wanted = (await self.request()).model_copy(update={"followed": True})
        seen = await ActivityEnvironment().run(self.activities.rehearse, wanted)
        assert not seen.refused
        assert self.backup is not None
        assert self.backup.fallback is not None
        order = self.to_apply(seen).model_copy(update={"slot": self.backup.fallback.slot})
        await ActivityEnvironment().run(self.real.apply, order)
        return seen


async def test_a_rollback_has_the_old_values_also_of_rows_that_services_wrote(
    world: DataWorld, tmp_path: Path
) -> None:
    world.as_owner("ALTER TABLE events ADD note text")
    before = world.run("SELECT id, email FROM users WHERE id < 6 ORDER BY id")
    events = world.run("SELECT sum(hashtext(what)) FROM events WHERE id <> 7")
    release = Release(world, tmp_path, [MIGRATION])
    taken = await release.begin()
    async with following(world, taken) as work:
        seen = await release.migrate()
        assert [one.about for one in seen.findings if one.rule == "logs-whole-rows"] == [
            "public.events_new",
            "public.events_old",
            "public.users",
        ]
        assert world.run(IDENTITIES) == WHOLE
        world.as_owner(
            'UPDATE users SET settings = \'{"of": "a service"}\' WHERE id = 3;'
            "UPDATE users SET email = 'chosen@teei.example' WHERE id = 4;"
            "UPDATE events SET note = 'a service' WHERE id = 7; DELETE FROM users WHERE id = 2000"
        )
        done = await roll_back(world, taken)
        await work
    assert (done.followed, done.schema_equal, done.conflicts) == (True, True, 0)
    wanted = [one if one[0] != 4 else (4, "chosen@teei.example") for one in before]
    assert world.run("SELECT id, email FROM users WHERE id < 6 ORDER BY id") == wanted
    assert world.run("SELECT settings->>'of' FROM users WHERE id = 3") == [("a service",)]
    assert world.run("SELECT what, note FROM events WHERE id = 7") == [("e7", "a service")]
    assert world.run("SELECT sum(hashtext(what)) FROM events WHERE id <> 7") == events
    assert world.run("SELECT count(*) FROM users WHERE id = 2000") == [(0,)]
    assert world.run(IDENTITIES) == []
    assert _noted(world, taken) == []


def _noted(world: DataWorld, taken: BackupTaken) -> list[tuple[object, ...]]:
    assert taken.fallback is not None
    query = f"SELECT relation FROM slipway.replica_identity WHERE slot = '{taken.fallback.slot}'"  # noqa: S608 - slipway's own name
    return world.run(query, "slipway")


async def test_a_run_that_is_reset_rehearses_again_beside_a_copy_that_follows(
    world: DataWorld, tmp_path: Path
) -> None:
    release = Release(world, tmp_path, [MIGRATION])
    taken = await release.begin()
    async with following(world, taken) as work:
        await until(lambda: _followers(world, taken))
        await release.migrate()
        world.as_owner("INSERT INTO users (email) VALUES ('later@teei.example')")
        done = await roll_back(world, taken)
        await work
    assert done.followed
    assert world.run("SELECT count(*) FROM users WHERE email = 'later@teei.example'") == [(1,)]


def _followers(world: DataWorld, taken: BackupTaken) -> bool:
    return any(one[0] == taken.side_database for one in world.sessions())


async def test_what_identified_rows_before_is_put_back_with_the_end_of_the_window(
    world: DataWorld, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.as_owner(
        "ALTER TABLE users ADD CONSTRAINT mails UNIQUE (email);"
        "ALTER TABLE users REPLICA IDENTITY USING INDEX mails"
    )
    release = Release(world, tmp_path, [MIGRATION])
    taken = await release.begin()
    await release.migrate()
    assert world.run(IDENTITIES) == WHOLE
    monkeypatch.setattr(fallback_identity, "_PAUSE", 0.01)
    url = access.url(world.stack, access.ADMIN, world.name)
    with psycopg.connect(url) as reader:
        reader.execute("SELECT count(*) FROM users")  # and stays in its transaction
        with pytest.raises(Unreachable, match=r"public\.users is held"):
            await end(world, taken)
    assert "publication" in await end(world, taken)  # the next attempt finds what is left
    assert world.run(IDENTITIES) == [("users", "i")]
    assert slots(world) == []
    assert _noted(world, taken) == []


async def test_an_attempt_that_was_cut_off_in_between_is_completed(
    world: DataWorld, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    release = Release(world, tmp_path, [MIGRATION])
    taken = await release.begin()
    real, reached = fallback_identity._change, asyncio.Event()

    async def once(*given: object) -> None:
        if reached.is_set():
            await asyncio.Event().wait()
        await real(*given)  # type: ignore[arg-type] # as it was called
        reached.set()

    with monkeypatch.context() as patch:
        patch.setattr(fallback_identity, "_change", once)
        work = asyncio.create_task(release.migrate())
        async with asyncio.timeout(120):
            await reached.wait()
        work.cancel()
        with pytest.raises(asyncio.CancelledError):
            await work
    assert len(world.run(IDENTITIES)) == 1
    assert world.run("SELECT count(*) FROM drizzle.__drizzle_migrations") == [(1,)]
    await release.migrate()
    assert world.run(IDENTITIES) == WHOLE
    await end(world, taken)
    assert world.run(IDENTITIES) == []
