"""The project's own `db:generate` in a scratch copy: no change, a new column, a renamed column."""

import asyncio
import os
import sys
from pathlib import Path

import psutil  # type: ignore[import-untyped] # has no types of its own
import pytest

from activities.adapters.project import Project
from activities.migration_drift import undeclared
from devstack.stack import Stack
from devstack.world import drizzle, node
from slipway.plan import Migrations
from tests.integration.data_world import until

pytestmark = pytest.mark.stack

SCHEMA = Path("packages/shared-schema/src/schema.ts")


@pytest.fixture(autouse=True)
def with_pnpm(stack: Stack, monkeypatch: pytest.MonkeyPatch) -> None:
    """Find pnpm where the worker runs; and give the worker a credential to keep to itself."""
    monkeypatch.setenv("PATH", f"{node.pnpm(stack).parent}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.setenv("DATABASE_URL", "postgresql://canary:canary@127.0.0.1:1/none")


def workspace(stack: Stack, folder: Path, pending: str) -> Path:
    drizzle.prepare(stack, folder / "workspace", pending)
    return folder / "workspace"


def files(root: Path) -> dict[Path, bytes]:
    return {path: path.read_bytes() for path in (root / drizzle.MIGRATIONS).rglob("*.*")}


@pytest.mark.parametrize("pending", [one for one in drizzle.PENDING if one != "drift"])
async def test_every_pending_set_is_the_whole_of_its_schema(
    stack: Stack, tmp_path: Path, pending: str
) -> None:
    root = workspace(stack, tmp_path, pending)
    assert await undeclared(Project(), root, Migrations()) == []


async def test_a_column_added_without_migration_is_named(stack: Stack, tmp_path: Path) -> None:
    root = workspace(stack, tmp_path, "drift")
    before = files(root)
    (said,) = await undeclared(Project(), root, Migrations())
    assert f"writes {drizzle.MIGRATIONS}/0003_" in said
    assert 'ALTER TABLE "reports" ADD COLUMN "summary" text;' in said
    assert files(root) == before


async def test_a_renamed_column_cannot_be_told_and_blocks(stack: Stack, tmp_path: Path) -> None:
    root = workspace(stack, tmp_path, "one")
    text = (root / SCHEMA).read_text()
    renamed = text.replace('text("display_name")', 'text("shown_name")')
    assert renamed != text
    (root / SCHEMA).write_text(renamed)
    (said,) = await undeclared(Project(), root, Migrations())
    assert "cannot tell" in said
    assert "Interactive prompts require a TTY" in said


async def test_a_missing_program_cannot_tell(stack: Stack, tmp_path: Path) -> None:
    root = workspace(stack, tmp_path, "one")
    (said,) = await undeclared(Project(), root, Migrations(generate=["no-such-program"]))
    assert "cannot tell" in said
    assert "no-such-program" in said


async def test_no_credential_reaches_the_command(stack: Stack, tmp_path: Path) -> None:
    root = workspace(stack, tmp_path, "one")
    seen = tmp_path / "environment"
    script = f"import os; open({str(seen)!r}, 'w').write(repr(dict(os.environ)))"
    await undeclared(Project(), root, Migrations(generate=[sys.executable, "-c", script]))
    assert "canary" not in seen.read_text()
    assert "DATABASE_URL" not in seen.read_text()


async def test_a_cancelled_look_ends_the_command_and_removes_the_copy(
    stack: Stack, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = workspace(stack, tmp_path, "one")
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(scratch))
    seen = tmp_path / "pid"
    script = f"import os, time; open({str(seen)!r}, 'w').write(str(os.getpid())); time.sleep(600)"
    command = [sys.executable, "-c", script]
    look = asyncio.create_task(undeclared(Project(), root, Migrations(generate=command)))
    await until(lambda: seen.exists() and seen.read_text())
    pid = int(seen.read_text())
    look.cancel()
    with pytest.raises(asyncio.CancelledError):
        await look
    assert not psutil.pid_exists(pid)
    assert list(scratch.iterdir()) == []
