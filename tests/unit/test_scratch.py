"""Folders of work are gone afterwards, also when their worker was killed."""

import asyncio
import os
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from activities import scratch
from activities.scratch import remove_left

WORKER = """
import asyncio, sys
from activities.scratch import scratch

async def work():
    async with scratch("rows") as folder:
        (folder / "rows.jsonl").write_text("a customer")
        print(folder, flush=True)
        await asyncio.sleep(600)

asyncio.run(work())
"""


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The temp folder of the test and of what it starts."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    return tmp_path


def _fill(folder: Path) -> None:
    assert folder.stat().st_mode & 0o077 == 0
    (folder / "deep").mkdir()
    (folder / "deep" / "file").write_text("x")


def _left(here: Path) -> list[Path]:
    return sorted(here.iterdir())


async def test_it_is_this_process_s_own_and_gone_afterwards(here: Path) -> None:
    async with scratch.scratch("rows") as folder, scratch.scratch("rows") as other:
        assert {folder.parent, other.parent} == {here}
        assert folder != other
        _fill(folder)
    assert _left(here) == []


async def test_an_error_and_a_cancellation_leave_nothing(here: Path) -> None:
    with pytest.raises(ValueError, match="no"):
        async with scratch.scratch("rows"):
            raise ValueError("no")

    begun = asyncio.Event()

    async def work() -> None:
        async with scratch.scratch("rows"):
            begun.set()
            await asyncio.sleep(600)

    task = asyncio.create_task(work())
    await begun.wait()
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    assert _left(here) == []


def test_what_a_killed_worker_left_is_removed_and_a_living_one_s_is_not(here: Path) -> None:
    workers = [
        subprocess.Popen([sys.executable, "-c", WORKER], stdout=subprocess.PIPE, text=True)
        for _ in range(2)
    ]
    try:
        folders = [Path(one.stdout.readline().strip()) for one in workers if one.stdout]
        assert remove_left(str(here)) == 0
        workers[0].send_signal(signal.SIGKILL)
        workers[0].wait()
        assert folders[0].exists()

        assert remove_left(str(here)) == 1
        assert not folders[0].exists()
        assert (folders[1] / "rows.jsonl").exists()
    finally:
        for one in workers:
            one.kill()
            one.communicate()
    assert remove_left(str(here)) == 1
    assert _left(here) == []


def test_nothing_else_is_touched(here: Path) -> None:
    prefix = f"slipway-{os.getuid()}-scratch-rows."
    (here / "elsewhere").mkdir()
    (here / "elsewhere" / "file").write_text("x")
    (here / f"{prefix}link.lock").symlink_to(here / "elsewhere" / "file")
    (here / f"{prefix}linked").symlink_to(here / "elsewhere")
    (here / f"{prefix}linked.lock").touch()
    (here / "slipway-others.lock").touch()

    remove_left(str(here))
    assert (here / "elsewhere" / "file").read_text() == "x"
    assert (here / "slipway-others.lock").exists()


async def test_files_that_cannot_be_locked_are_an_error(
    here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise OSError(37, "No locks available")

    monkeypatch.setattr("fcntl.flock", refuse)
    with pytest.raises(OSError, match="No locks"):
        async with scratch.scratch("rows"):
            pass


def test_what_could_not_be_removed_is_found_again(
    here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = here / f"slipway-{os.getuid()}-scratch-rows.1"
    folder.mkdir()  # its lock is gone: nobody works there
    with monkeypatch.context() as patch:
        patch.setattr("shutil.rmtree", lambda *_, **__: None)
        assert remove_left(str(here)) == 0
    assert folder.exists()

    assert remove_left(str(here)) == 1
    assert _left(here) == []


def test_no_entry_of_a_shared_folder_is_in_the_way(here: Path) -> None:
    prefix = f"slipway-{os.getuid()}-scratch-rows."
    os.mkfifo(here / f"{prefix}fifo.lock")
    (here / f"{prefix}folder.lock").mkdir()
    (here / f"{prefix}dead.lock").touch()

    assert remove_left(str(here), str(here / "nowhere")) == 1
    assert not (here / f"{prefix}dead.lock").exists()


async def test_a_folder_that_cannot_be_made_leaves_no_lock(
    here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(Path, "mkdir", full)
        with pytest.raises(OSError, match="No space"):
            async with scratch.scratch("rows"):
                pass
    assert _left(here) == []
