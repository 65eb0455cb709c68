"""pg_dump, pg_restore and the migration command, killed or frozen at each stage of their work: the
attempt ends, nothing half-made stays, and the next one succeeds."""

import asyncio
import os
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import psycopg
import pytest
from temporalio.testing import ActivityEnvironment

from activities.backups import Backups
from activities.database import DatabaseRollback
from devstack.world.database import access
from slipway.errors import MigrationFailed, SlipwayError
from tests.integration.data_world import DataWorld
from tests.integration.migration_case import HARMLESS, Case
from tests.integration.strikes import Strike, striking

pytestmark = pytest.mark.stack
SLOW = """
CREATE FUNCTION slow(text) RETURNS text IMMUTABLE LANGUAGE plpgsql AS
    $$ BEGIN PERFORM pg_sleep(0.12); RETURN $1; END $$;
CREATE INDEX slow_one ON keyless (public.slow(what));
"""
"""Six seconds: a busy machine looks rarely."""


def _in(query: str) -> Callable[[DataWorld], bool]:
    """When one of PostgreSQL's tools is in such a query."""

    def there(world: DataWorld) -> bool:
        found = world.run(
            "SELECT 1 FROM pg_stat_activity WHERE application_name = 'slipway tool'"  # noqa: S608 - of this test
            f" AND starts_with(datname, '{world.name}') AND query LIKE '{query}'",
            "postgres",
        )
        return bool(found)

    return there


@contextmanager
def _locked(world: DataWorld) -> Iterator[None]:
    """Somebody holds a table, so that pg_dump waits for it in the middle of its work."""
    url = access.url(world.stack, access.ADMIN, world.name)
    with psycopg.connect(url) as connection:
        connection.execute("LOCK TABLE public.keyless IN ACCESS EXCLUSIVE MODE")
        yield


KILL, STOP = signal.SIGKILL, signal.SIGSTOP
STAGES: dict[str, tuple[signal.Signals, str, str, Callable[[DataWorld], bool] | None]] = {
    "pg_dump at once": (KILL, "pg_dump", "--format=custom", None),
    "pg_dump waiting": (STOP, "pg_dump", "--format=custom", _in("LOCK TABLE%")),
    "pg_dump of the schema": (KILL, "pg_dump", "--schema-only", None),
    "pg_restore reading": (STOP, "pg_restore", "--file=/dev/null", None),
    "pg_restore at once": (STOP, "pg_restore", "--jobs", None),
    "pg_restore in an index": (KILL, "pg_restore", "--jobs", _in("CREATE INDEX slow_one%")),
}


@pytest.mark.parametrize("stage", STAGES)
async def test_a_backup_whose_tool_is_struck_leaves_nothing_and_is_tried_again(
    world: DataWorld, stage: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    number, program, word, moment = STAGES[stage]
    if "index" in stage:
        world.as_owner(SLOW)
    backups = Backups(world.postgres, world.store)
    strike = Strike(program, number, moment and partial(moment, world), word)
    with striking(monkeypatch, strike):
        work = asyncio.create_task(ActivityEnvironment().run(backups.take, world.take()))
        if stage == "pg_dump waiting":
            with _locked(world):
                await asyncio.wait({work}, timeout=120)
        with pytest.raises(SlipwayError) as told:
            await work
    assert strike.struck
    assert not told.value.final, "Temporal would not try again"
    assert world.databases() == [world.name]
    assert list(world.keys()) == []
    for one in strike.struck:
        with pytest.raises(ProcessLookupError):
            os.kill(one, 0)
    taken = await ActivityEnvironment().run(backups.take, world.take())
    assert taken.restored_ok


COMMAND = """
import os, pathlib, runpy, signal, sys
import psycopg

def struck(stage):
    if stage == {stage!r} and not pathlib.Path({mark!r}).exists():
        pathlib.Path({mark!r}).touch()
        os.kill(os.getpid(), {number})

struck("before it connects")
text = pathlib.Path("migrations/0001_step.sql").read_text()
with psycopg.connect(os.environ["DATABASE_URL"]) as connection:
    connection.execute(text)
    struck("in its transaction")
    if {stage!r} != "between change and ledger":
        connection.rollback()
    else:
        connection.commit()
struck("between change and ledger")
runpy.run_path("migrate.py")
struck("after it has committed")
"""
CHILD = [
    ("before it connects", STOP),
    ("in its transaction", KILL),
    ("in its transaction", STOP),
    ("between change and ledger", KILL),
    ("after it has committed", KILL),
    ("after it has committed", STOP),
]


@pytest.mark.parametrize(("stage", "number"), CHILD)
async def test_a_migration_whose_command_is_struck_is_known_for_what_it_did(
    world: DataWorld,
    tmp_path: Path,
    stage: str,
    number: signal.Signals,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    case, mark = Case(world, tmp_path, [HARMLESS]), tmp_path / "struck"
    text = COMMAND.format(stage=stage, mark=str(mark), number=int(number))
    (tmp_path / "workspace" / "struck.py").write_text(text)
    case.plan = case.plan.model_copy(update={"command": [sys.executable, "struck.py"]})
    backups = Backups(world.postgres, world.store)
    taken = await ActivityEnvironment().run(backups.take, world.take())
    monkeypatch.setattr("activities.adapters.processes.FROZEN", 0.5)
    monkeypatch.setattr("activities.adapters.processes.GRACE", 0.2)
    frozen = number is STOP
    if stage == "after it has committed" and not frozen:
        assert (await case.apply()).attempts == 1  # the ledger says what the exit code does not
    else:
        with pytest.raises(SlipwayError) as told:
            await case.apply()
        assert told.value.final is not frozen
        assert isinstance(told.value, MigrationFailed) is not frozen
    assert mark.exists()
    assert case.roles() == []  # and no session of theirs holds a lock
    if stage == "between change and ledger":
        with pytest.raises(SlipwayError):
            await case.apply()  # the change is there, its row is not: it cannot go forward
        undo = DatabaseRollback(world.postgres, world.store)
        rolled = await ActivityEnvironment().run(undo.roll_back, world.roll_back(taken))
        assert (rolled.changed, rolled.schema_equal) == (True, True)
        return
    done = await case.apply(8)
    assert done.attempts == (0 if stage == "after it has committed" else 1)
    assert world.run("SELECT count(*) FROM drizzle.__drizzle_migrations") == [(2,)]
