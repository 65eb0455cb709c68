"""Migrations on a real server: reviewed, applied by the project's command, fenced, explained."""

import asyncio
import os
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psycopg
import pytest

from activities.adapters.postgres import migrate as postgres_migrate
from slipway.errors import Fenced, ForeignChange, MigrationFailed, MigrationRefused
from tests.integration.data_world import DataWorld, digest, until
from tests.integration.migration_case import HARMLESS, Case

pytestmark = pytest.mark.stack

BROKEN = "ALTER TABLE users ADD COLUMN nickname text;\nALTER TABLE users ADD CHECK (id > 5);"


async def test_applies_once_as_the_owner_and_leaves_no_role(
    world: DataWorld, tmp_path: Path
) -> None:
    case = Case(world, tmp_path, [HARMLESS, "CREATE TABLE gifts (id serial PRIMARY KEY);"])
    before = await case.state()
    applied = await case.apply()

    assert applied.attempts == 1
    assert len(applied.state.ledger) == len(before.ledger) + 2
    assert applied.state.schema_sha256 != before.schema_sha256
    assert world.run("SELECT tableowner FROM pg_tables WHERE tablename = 'gifts'") == [
        ("teei_owner",)
    ]
    assert case.roles() == []
    again = await case.apply()
    assert again.attempts == 0
    assert again.state == applied.state


async def test_failure_tells_the_servers_words_and_changes_nothing(
    world: DataWorld, tmp_path: Path
) -> None:
    case = Case(world, tmp_path, [BROKEN])
    before = await case.state()
    with pytest.raises(MigrationFailed, match=r"SQLSTATE 23514: .*violated") as caught:
        await case.apply()
    assert caught.value.final
    assert await case.state() == before
    assert case.roles() == []


@contextmanager
def _reader(world: DataWorld) -> Iterator[threading.Event]:
    """Hold a lock on users until the event is set, as a long report would."""
    release, ready = threading.Event(), threading.Event()

    def hold() -> None:
        with world.superuser() as connection, connection.transaction():
            connection.execute("SELECT count(*) FROM users")
            ready.set()
            release.wait(240)

    thread = threading.Thread(target=hold)
    thread.start()
    try:
        assert ready.wait(120)
        yield release
    finally:
        release.set()
        thread.join()


async def test_gives_way_to_a_reader_and_tries_again(world: DataWorld, tmp_path: Path) -> None:
    case = Case(world, tmp_path, [HARMLESS])
    case.plan = case.plan.model_copy(update={"lock_timeout": 0.3})
    with _reader(world) as release:
        seen: list[int] = []
        real = postgres_migrate.Migrating.attempt

        async def counting(self: Any, *args: Any, **kwargs: Any) -> Any:
            ran = await real(self, *args, **kwargs)
            seen.append(ran.code)
            if len(seen) == 2:
                release.set()
            return ran

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(postgres_migrate.Migrating, "attempt", counting)
            applied = await case.apply()
    assert seen[:2] == [1, 1]
    assert applied.attempts == len(seen) >= 3
    assert applied.state.ledger[0].hash == digest(HARMLESS)


async def test_gives_up_when_the_lock_never_comes(world: DataWorld, tmp_path: Path) -> None:
    case = Case(world, tmp_path, [HARMLESS])
    case.plan = case.plan.model_copy(update={"lock_timeout": 0.3, "lock_attempts": 2})
    with _reader(world), pytest.raises(MigrationFailed, match="gave way to other sessions 2 times"):
        await case.apply()
    assert case.roles() == []


FROZEN = """
import os, pathlib, runpy, time
pathlib.Path(os.environ["MARK_FOLDER"], "pid").write_text(str(os.getpid()))
while not pathlib.Path(os.environ["MARK_FOLDER"], "go").exists():
    time.sleep(0.02)
runpy.run_path("migrate.py")
"""


async def test_attempt_frozen_before_it_connected_is_locked_out_by_the_fence(
    world: DataWorld, tmp_path: Path
) -> None:
    case = Case(world, tmp_path, [HARMLESS])
    marks = tmp_path / "marks"
    marks.mkdir()
    # a wrapper, since the command's environment is not the worker's
    (tmp_path / "workspace" / "frozen.py").write_text(
        f"import os; os.environ['MARK_FOLDER'] = {str(marks)!r}\n" + FROZEN
    )
    case.plan = case.plan.model_copy(update={"command": [sys.executable, "frozen.py"]})
    before = await case.state()
    applying = asyncio.create_task(case.apply())
    await until(lambda: (marks / "pid").exists() and (marks / "pid").read_text())
    pid = int((marks / "pid").read_text())
    os.kill(pid, signal.SIGSTOP)
    fenced = await case.fence()
    assert fenced.closed_roles == 1
    (marks / "go").touch()
    os.kill(pid, signal.SIGCONT)

    with pytest.raises(Fenced):
        await applying
    assert await case.state() == before
    assert case.roles() == []
    with pytest.raises(Fenced):
        await case.apply()


async def test_fence_ends_an_attempt_in_the_middle_of_its_work(
    world: DataWorld, tmp_path: Path
) -> None:
    case = Case(world, tmp_path, ["ALTER TABLE users ADD COLUMN x int;\nSELECT pg_sleep(600);"])
    before = await case.state()
    applying = asyncio.create_task(case.apply())
    await _sleeping(world)
    fenced = await case.fence()
    assert fenced.ended_backends == 1
    with pytest.raises(Fenced):
        await applying
    assert await case.state() == before


async def _sleeping(world: DataWorld) -> None:
    await until(lambda: any(one[3] == "PgSleep" for one in world.sessions()))


async def test_cancelled_attempt_leaves_no_child_session_or_role(
    world: DataWorld, tmp_path: Path
) -> None:
    case = Case(world, tmp_path, ["ALTER TABLE users ADD COLUMN x int;\nSELECT pg_sleep(600);"])
    before = await case.state()
    applying = asyncio.create_task(case.apply())
    await _sleeping(world)
    applying.cancel()
    with pytest.raises(asyncio.CancelledError):
        await applying
    assert case.roles() == []
    assert not [one for one in world.sessions() if one[2] == "active"]
    assert await case.state() == before


async def test_leftover_of_a_killed_worker_is_ended_by_the_next_attempt(
    world: DataWorld, tmp_path: Path
) -> None:
    case = Case(world, tmp_path, [HARMLESS])

    # a worker that died: its role still stands, its session still holds a lock
    async with world.postgres.migrating(case.request()) as work:
        attempt = await work._open(5.0, 60, 60)
    with psycopg.connect(
        host=world.stack.pg_host,
        port=world.stack.pg_port,
        user=attempt.role,
        password=attempt.password,
        dbname=world.name,
    ) as left:
        left.execute("LOCK TABLE users")
        applied = await case.apply()
        assert applied.attempts == 1
        with pytest.raises(psycopg.OperationalError):
            left.execute("SELECT 1")
    assert case.roles() == []


async def test_another_operation_or_lower_fence_is_refused(
    world: DataWorld, tmp_path: Path
) -> None:
    case = Case(world, tmp_path, [HARMLESS])
    await case.apply(fence=8)
    for fence, op_id in ((8, "other"), (4, "migrate")):
        with pytest.raises(Fenced):
            await case.apply(fence=fence, op_id=op_id)


async def test_changed_workspace_or_ledger_is_refused(world: DataWorld, tmp_path: Path) -> None:
    case = Case(world, tmp_path, [HARMLESS])
    file = tmp_path / "workspace" / "migrations" / "0001_step.sql"
    file.write_text(HARMLESS + "\n-- edited")
    with pytest.raises(ForeignChange):
        await case.apply()
    file.write_text(HARMLESS)
    journal = tmp_path / "workspace" / "migrations" / "meta" / "_journal.json"
    journal.write_text(journal.read_text() + " ")
    with pytest.raises(MigrationRefused, match="digest"):
        await case.apply()


async def test_review_compares_both_ledgers(world: DataWorld, tmp_path: Path) -> None:
    case = Case(world, tmp_path, [HARMLESS])
    found = await case.review()
    assert [one.tag for one in found.pending] == ["0001_step"]
    assert found.refused == ["0001_step has not been applied in staging."]
    assert [one.tag for one in found.applied] == ["0000_step"]


async def test_an_index_that_was_never_finished_is_noted(world: DataWorld, tmp_path: Path) -> None:
    case = Case(world, tmp_path, [HARMLESS])
    with world.superuser() as connection, pytest.raises(psycopg.errors.UniqueViolation):
        connection.execute("CREATE UNIQUE INDEX CONCURRENTLY broken ON keyless (what)")
    notes = (await case.review()).notes
    assert any("Index public.broken is invalid" in one for one in notes)
    await case.apply()


async def test_pending_sql_is_linted_and_comments_do_not_silence_the_linter(
    world: DataWorld, tmp_path: Path
) -> None:
    case = Case(
        world,
        tmp_path,
        [
            "-- squawk-ignore ban-drop-column\nALTER TABLE users DROP COLUMN photo;",
            "DELETE FROM keyless;",
        ],
    )
    found = await case.review()
    assert not any("not linted" in one for one in found.notes), found.notes
    assert [(one.rule, one.about) for one in found.findings if one.severity == "block"] == [
        ("drop-column", "0001_step"),
        ("delete-all", "0002_step"),
    ]


async def test_command_that_cannot_start_or_says_nothing_is_told(
    world: DataWorld, tmp_path: Path
) -> None:
    case = Case(world, tmp_path, [HARMLESS])
    quiet = "import os, sys; sys.exit(f'cannot: ' + os.environ['DATABASE_URL'])"
    case.plan = case.plan.model_copy(update={"command": [sys.executable, "-c", quiet]})
    with pytest.raises(MigrationFailed, match=r"cannot: ") as caught:
        await case.apply()
    assert "slipway_mig" not in str(caught.value)
    case.plan = case.plan.model_copy(update={"command": ["no-such-command"]})
    with pytest.raises(Exception, match="no-such-command cannot be started"):
        await case.apply()
    assert case.roles() == []


async def test_success_without_effect_is_a_failure(world: DataWorld, tmp_path: Path) -> None:
    case = Case(world, tmp_path, [HARMLESS])
    case.plan = case.plan.model_copy(update={"command": ["true"]})
    with pytest.raises(MigrationFailed, match="reports success, but 0001_step is not in"):
        await case.apply()
