"""Children end when they must; secrets stay secret; clean-up is not cut off."""

import asyncio
import os
import signal
import sys
from pathlib import Path

import pytest

from activities.adapters import processes, references
from activities.adapters.processes import DeadlinePassed, Frozen, redact, run, talking, together
from activities.uninterrupted import uninterrupted
from slipway.errors import BadInput, SlipwayError

GRANDCHILD = (
    "import subprocess, sys, time, pathlib, os\n"
    "child = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(600)'])\n"
    "pathlib.Path(sys.argv[1]).write_text(f'{os.getpid()} {child.pid}')\n"
    "time.sleep(600)\n"
)


async def _pids(file: Path) -> list[int]:
    async with asyncio.timeout(120):
        while True:
            text = await asyncio.to_thread(lambda: file.read_text() if file.exists() else "")
            if text:
                return [int(word) for word in text.split()]
            await asyncio.sleep(0.01)


async def _gone(pid: int) -> None:
    """Wait until a process is gone, or dead and waiting for its parent."""

    def alive() -> bool:
        try:
            return "State:\tZ" not in Path(f"/proc/{pid}/status").read_text()
        except OSError:
            return False

    async with asyncio.timeout(120):
        while await asyncio.to_thread(alive):  # noqa: ASYNC110 - a process sets no event
            await asyncio.sleep(0.01)


@pytest.mark.skipif(sys.platform != "linux", reason="looks into /proc")
async def test_a_child_that_somebody_froze_is_killed_and_one_that_goes_on_is_not(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(processes, "GRACE", 0.2)
    monkeypatch.setattr(processes, "FROZEN", 0.4)
    with pytest.raises(Frozen, match="sh was stopped"):
        await run(["/bin/sh", "-c", "kill -STOP $$"], env={})
    grandchild = "sh -c 'kill -STOP $$' & wait"
    with pytest.raises(Frozen):
        await run(["/bin/sh", "-c", grandchild], env={})
    # It is told again and again: once may come before it has stopped. A busy machine takes long.
    monkeypatch.setattr(processes, "FROZEN", 120.0)
    monkeypatch.setattr(processes, "_LOOK", 0.05)
    goes_on = "(while sleep 0.1 && kill -CONT $$; do :; done) & kill -STOP $$; echo on"
    done = await run(["/bin/sh", "-c", goes_on], env={})
    assert done.stdout == "on\n"


@pytest.mark.skipif(sys.platform != "linux", reason="looks into /proc")
@pytest.mark.parametrize("stopped", [False, True])
async def test_cancelled_command_takes_its_whole_group_along(
    tmp_path: Path, stopped: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(processes, "GRACE", 0.2)
    file = tmp_path / "pids"
    task = asyncio.create_task(run([sys.executable, "-c", GRANDCHILD, str(file)], env={}))
    pids = await _pids(file)
    if stopped:
        os.kill(pids[0], signal.SIGSTOP)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    for pid in pids:
        await _gone(pid)


def test_what_a_command_that_was_spoken_with_has_started_has_ended_with_it(tmp_path: Path) -> None:
    """It may hold a folder that is removed next."""
    pid = tmp_path / "pid"
    left = "import signal; signal.pause()"
    begin = (
        "import subprocess, sys;"
        f"left = subprocess.Popen([sys.executable, '-c', {left!r}], stdout=-3, stderr=-3);"
        f"open({str(pid)!r}, 'w').write(str(left.pid))"
    )

    async def spoken_with() -> None:
        async with talking([sys.executable, "-c", begin], env={}) as child:
            assert await child.read() == b""

    asyncio.run(spoken_with())
    stat = Path(f"/proc/{pid.read_text()}/stat")
    assert not stat.exists() or stat.read_text().rpartition(") ")[2].startswith("Z")


async def test_deadline_kills_and_says_so() -> None:
    with pytest.raises(DeadlinePassed, match=r"did not end within 0.2 s"):
        await run([sys.executable, "-c", "import time; time.sleep(600)"], env={}, deadline=0.2)


async def test_output_is_bounded_and_without_secrets() -> None:
    script = (
        "import sys; print('x' * 100_000); sys.stderr.write('a postgresql://u:hunter2@h/d b s3')"
    )
    done = await run([sys.executable, "-c", script], env={}, secrets=["s3"], keep=500)
    assert len(done.stdout) == 500
    assert done.words == "a postgresql://u:***@h/d b ***"


async def test_missing_program_is_one_sentence() -> None:
    with pytest.raises(SlipwayError, match="no-such-program cannot be started"):
        await run(["no-such-program"], env={"PATH": ""})


async def test_environment_of_the_worker_is_not_passed_on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CANARY", "hunter2")
    done = await run([sys.executable, "-c", "import os; print(os.environ)"], env={"ONLY": "this"})
    assert "ONLY" in done.stdout
    assert "CANARY" not in done.stdout


async def test_clean_up_survives_cancellation() -> None:
    finished = []
    began = asyncio.Event()

    async def clean() -> None:
        began.set()
        for _ in range(3):
            await asyncio.sleep(0)
        finished.append(True)

    task = asyncio.create_task(uninterrupted(clean()))
    await began.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert finished == [True]


async def test_first_failure_ends_the_others() -> None:
    ended = []

    async def long() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            ended.append(True)

    async def fails() -> None:
        await asyncio.sleep(0)
        raise ValueError("broken")

    with pytest.raises(ValueError, match="broken"):
        await together(long(), fails())
    assert ended == [True]


def test_redaction_keeps_the_rest() -> None:
    assert redact("x postgres://me:pa:ss@h/d y", ["zzz"]) == "x postgres://me:***@h/d y"


def test_references_lead_to_values_or_name_themselves(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "secret"
    file.write_text("hunter2\n")
    monkeypatch.setenv("SLIPWAY_TEST", "value")
    assert references.resolve(f"file:{file}") == "hunter2"
    assert references.resolve("env:SLIPWAY_TEST") == "value"
    (tmp_path / "large").write_text("x" * 70_000)
    (tmp_path / "binary").write_bytes(b"\xff\xfe")
    (tmp_path / "empty").write_text("\n")
    for name in ("large", "binary", "empty", "absent", "."):
        with pytest.raises(BadInput, match=f"file:{tmp_path}"):
            references.resolve(f"file:{tmp_path}/{name}")
    with pytest.raises(BadInput, match="env:SLIPWAY_ABSENT"):
        references.resolve("env:SLIPWAY_ABSENT")
    with pytest.raises(BadInput):
        references.resolve("hunter2")
