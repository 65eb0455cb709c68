"""Child processes that end when they must: own session, bounded output, no secret in a message."""

import asyncio
import contextlib
import os
import signal
import threading
import time
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from activities.uninterrupted import uninterrupted
from slipway.errors import SlipwayError
from slipway.judgements.masking import without_passwords

T = TypeVar("T")

TAIL = 16_384
"""Bytes kept of what a child wrote."""
GRACE = 3.0
"""Seconds between SIGTERM and SIGKILL."""
FROZEN = 20.0
"""Seconds that a child may be stopped (SIGSTOP, a debugger): the server keeps what it holds, such
as the locks of a migration, until it is ended."""
_LOOK = 2.0


class DeadlinePassed(SlipwayError):
    """A child that did not end in time and was killed."""

    final = False


class Frozen(SlipwayError):
    """A child that somebody has stopped, and that was killed."""

    final = False


@dataclass(frozen=True)
class Finished:
    """A child that has ended: its exit code and the last of what it wrote."""

    code: int
    stdout: str
    stderr: str

    @property
    def words(self) -> str:
        """The last lines of its complaints on one line, for a message."""
        text = self.stderr.strip() or self.stdout.strip()
        return " ".join(text.split())[-600:]


async def run(
    command: Sequence[str],
    *,
    env: Mapping[str, str],
    cwd: Path | None = None,
    stdin: int | None = None,
    stdout: int | None = None,
    pass_fds: Sequence[int] = (),
    secrets: Sequence[str] = (),
    deadline: float | None = None,
    keep: int = TAIL,
) -> Finished:
    """Run a command to its end and return what it left. A non-zero exit code is no error here.

    `stdin`: a file descriptor that it reads from instead of from nothing. `stdout`: one that takes
    the output instead of it being kept. `keep`: bytes kept.
    `secrets` never appear in the result. When the caller is cancelled, or after `deadline`
    seconds, the child's whole group is ended before this returns.
    Raises SlipwayError when the program is missing, DeadlinePassed at the deadline, Frozen when the
    child or one of its own was stopped and not continued.
    """
    child = await _start(command, env, cwd, (stdin, stdout), pass_fds)
    watch = asyncio.create_task(_watch(child.pid, Path(command[0]).name))
    work = asyncio.create_task(_outcome(child, keep))
    waited: set[asyncio.Task[Any]] = {watch, work}
    try:
        async with asyncio.timeout(deadline):
            await asyncio.wait(waited, return_when=asyncio.FIRST_COMPLETED)
            if watch.done():
                watch.result()
            out, err, code = await work
    except TimeoutError:
        await uninterrupted(_end(child))
        raise DeadlinePassed(
            f"{Path(command[0]).name} did not end within {deadline:g} s and was killed.",
            "Look at what it waited for, then retry.",
        ) from None
    except BaseException:
        await uninterrupted(_end(child))
        raise
    finally:
        watch.cancel()
        work.cancel()
        await asyncio.gather(watch, work, return_exceptions=True)
    return Finished(code, redact(out, secrets), redact(err, secrets))


class Talk:
    """A child that is spoken with over its standard input and output."""

    def __init__(self, child: asyncio.subprocess.Process) -> None:
        self._child = child
        self._errors = asyncio.create_task(_tail(child.stderr, TAIL))

    async def send(self, message: bytes) -> None:
        """Say something. Nothing is raised when it has ended: `read` tells."""
        if self._child.stdin is not None:
            with contextlib.suppress(ConnectionError):
                self._child.stdin.write(message)
                await self._child.stdin.drain()

    async def read(self) -> bytes:
        """Return what it says next; nothing once it has ended."""
        return await self._child.stdout.read(65_536) if self._child.stdout is not None else b""

    async def words(self) -> str:
        """Return the last of its complaints on one line, once it has ended or been told to."""
        await uninterrupted(_end(self._child))
        return " ".join(redact(await self._errors).split())[-600:] or "it said nothing"

    async def end(self) -> None:
        """End it with all that it has started."""
        await uninterrupted(_end(self._child))
        if self._child.stdin is not None:
            self._child.stdin.close()
        self._errors.cancel()
        await asyncio.gather(self._errors, return_exceptions=True)


@contextlib.asynccontextmanager
async def talking(
    command: Sequence[str], *, env: Mapping[str, str], cwd: Path | None = None
) -> AsyncIterator[Talk]:
    """Run a command to speak with. Its whole group is ended afterwards, however that ends.

    Raises SlipwayError when the program is missing."""
    child = Talk(await _start(command, env, cwd, (asyncio.subprocess.PIPE, None), ()))
    try:
        yield child
    finally:
        await child.end()


async def _outcome(child: asyncio.subprocess.Process, keep: int) -> tuple[str, str, int]:
    """What a child writes and how it ends."""
    return await asyncio.gather(_tail(child.stdout, keep), _tail(child.stderr, TAIL), child.wait())


async def _watch(group: int, name: str) -> None:
    """Raise Frozen when a process of a group stays stopped; where that cannot be seen, wait."""
    since: float | None = None
    while True:
        await asyncio.sleep(min(_LOOK, FROZEN / 4))
        now = time.monotonic()
        since = (since or now) if await asyncio.to_thread(_is_stopped, group) else None
        if since is not None and now - since >= FROZEN:
            raise Frozen(
                f"{name} was stopped for {FROZEN:g} s (SIGSTOP, a debugger?) and was killed.",
                "It is tried again.",
            )


def _is_stopped(group: int) -> bool:
    """Whether a process of a process group is stopped."""
    return any(state in "Tt" for state in _states(group))


def _states(group: int) -> Iterator[str]:
    """Yield the states of a process group's processes, as Linux tells them."""
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):
            state, _, of = stat.read_text().rpartition(") ")[2].split()[:3]
            if int(of) == group:
                yield state


async def _start(
    command: Sequence[str],
    env: Mapping[str, str],
    cwd: Path | None,
    ends: tuple[int | None, int | None],
    pass_fds: Sequence[int],
) -> asyncio.subprocess.Process:
    stdin, stdout = ends
    try:
        return await asyncio.create_subprocess_exec(
            *command,
            env=dict(env),
            cwd=cwd,
            stdin=asyncio.subprocess.DEVNULL if stdin is None else stdin,
            stdout=asyncio.subprocess.PIPE if stdout is None else stdout,
            stderr=asyncio.subprocess.PIPE,
            pass_fds=tuple(pass_fds),
            start_new_session=True,
        )
    except (FileNotFoundError, PermissionError) as error:
        raise SlipwayError(
            f"The program {command[0]} cannot be started: {error.strerror}.",
            "Install it where the worker runs, or add its folder to PATH.",
        ) from None


async def _tail(stream: asyncio.StreamReader | None, keep: int) -> str:
    kept = bytearray()
    while stream is not None and (chunk := await stream.read(65_536)):
        kept += chunk
        del kept[:-keep]
    return kept.decode(errors="replace")


async def _end(child: asyncio.subprocess.Process) -> None:
    """End the child's group: SIGTERM, a grace time, SIGKILL (which also ends a stopped one)."""
    _signal_group(child.pid, signal.SIGTERM)
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(GRACE):
            await child.wait()
    _signal_group(child.pid, signal.SIGKILL)
    await child.wait()
    until = time.monotonic() + GRACE
    while await asyncio.to_thread(_lives, child.pid):  # what it has started may still write
        if time.monotonic() > until:
            return
        await asyncio.sleep(0.02)


def _lives(group: int) -> bool:
    """Whether a process of a process group is left; where that cannot be seen, none is."""
    try:
        os.killpg(group, 0)
    except (ProcessLookupError, PermissionError):
        return False
    return any(state not in "ZX" for state in _states(group))  # dead ones may wait for their parent


def _signal_group(pid: int, number: signal.Signals) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(pid, number)


@contextlib.asynccontextmanager
async def afresh(forget: Callable[[], Coroutine[Any, Any, None]]) -> AsyncIterator[None]:
    """Begin without what an earlier attempt left, and when this one fails or is cancelled, leave
    nothing either. The first error is the one that is told."""
    try:
        await forget()
        yield
    except BaseException:
        with contextlib.suppress(Exception):
            await uninterrupted(forget())
        raise


async def together(*works: Coroutine[Any, Any, Any]) -> list[Any]:
    """Run works side by side and return their results. The first failure, and a cancellation,
    ends the others before it is raised."""
    tasks = [asyncio.ensure_future(work) for work in works]
    try:
        return list(await asyncio.gather(*tasks))
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def in_stoppable_thread(work: Callable[[threading.Event], T]) -> T:
    """Run blocking work in a thread. It is given an event to look at between two pieces: set when
    the caller was cancelled. Only when the work has ended is the cancellation raised."""
    stop = threading.Event()
    task = asyncio.create_task(asyncio.to_thread(work, stop))
    try:
        return await asyncio.shield(task)
    except asyncio.CancelledError:
        stop.set()
        await asyncio.gather(task, return_exceptions=True)
        raise


class Stopped(Exception):
    """Raised inside a stoppable thread when it was told to stop; nobody waits for it."""


def redact(text: str, secrets: Sequence[str] = ()) -> str:
    """Return text without the given secrets and without passwords in addresses."""
    for secret in secrets:
        if secret:
            text = text.replace(secret, "***")
    return without_passwords(text)
