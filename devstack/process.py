"""Child processes that outlive the command that started them.

Each runs in a session of its own with a log file and a pid file. The pid file also holds the
process's start time, so a number that the system has given to another program is never signalled.
"""

from __future__ import annotations

import json
import os
import pwd
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path

from devstack.errors import StackError, tail

POLL_SECONDS = 0.05
LOG_BYTES = 20_000_000
KILL_SECONDS = 10.0
# Servers in Go collect the garbage of small heaps often, and one machine with few cores runs them
# all. The limit makes them collect as usual once a heap is large.
RARE_COLLECTIONS = {"GOGC": "400", "GOMEMLIMIT": "1GiB"}


@dataclass(frozen=True)
class Spec:
    """How to start one program, and how to end it. `user` is an account's name, as root only."""

    name: str
    argv: tuple[str, ...]
    env: Mapping[str, str] = field(default_factory=dict)
    cwd: Path | None = None
    user: str | None = None
    stop_signal: int = signal.SIGTERM
    grace_seconds: float = 15.0


@dataclass(frozen=True)
class Remains:
    """What a pid file says."""

    pid: int
    started: str
    stop_signal: int
    grace_seconds: float


class Processes:
    """The children of one stack folder: `run/NAME.pid` and `logs/NAME.log`."""

    def __init__(self, root: Path) -> None:
        self._run = root / "run"
        self._logs = root / "logs"
        for folder in (self._run, self._logs):
            folder.mkdir(parents=True, exist_ok=True)

    def names(self) -> list[str]:
        """Every program that was started and not yet stopped, dead or alive."""
        return sorted(path.stem for path in self._run.glob("*.pid"))

    def log_path(self, name: str) -> Path:
        """Where the program's standard output and standard error go."""
        return self._logs / f"{name}.log"

    def pid(self, name: str) -> int | None:
        """The program's process id while it lives."""
        remains = self._read(name)
        if remains is None or start_time(remains.pid) != remains.started:
            return None
        return remains.pid

    def start(self, spec: Spec) -> int:
        """Start the program and record it; returns its process id."""
        _rotate(self.log_path(spec.name))
        with self.log_path(spec.name).open("ab") as log:
            log.write(f"--- start {spec.argv[0]}\n".encode())
            log.flush()
            child = subprocess.Popen(
                spec.argv,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                env={**_plain_environment(), **spec.env},
                cwd=spec.cwd or self._run,
                user=spec.user,
                group=_group_of(spec.user),
                extra_groups=[] if spec.user else None,
                start_new_session=True,
            )
        # The object would warn at its collection that the child still runs: that is intended.
        child.returncode = 0
        remains = Remains(
            child.pid, start_time(child.pid) or "gone", spec.stop_signal, spec.grace_seconds
        )
        _write_atomically(self._file(spec.name), json.dumps(asdict(remains)))
        return child.pid

    def stop(self, name: str) -> bool:
        """Stop the program and wait for its end; True when it was running."""
        remains = self._read(name)
        running = remains is not None and self.pid(name) is not None
        if remains is not None and running:
            _end(name, remains)
        self._file(name).unlink(missing_ok=True)
        return running

    def send(self, name: str, number: int) -> None:
        """Send a signal to the program and its children; SIGKILL is waited for.

        Nothing happens when it does not run.
        """
        remains = self._read(name)
        if remains is None or self.pid(name) is None:
            return
        with suppress(ProcessLookupError):
            os.killpg(remains.pid, number)
        deadline = time.monotonic() + KILL_SECONDS
        while number == signal.SIGKILL and start_time(remains.pid) == remains.started:
            if time.monotonic() > deadline:
                raise StackError(f"{name} (process {remains.pid}) does not end, even by SIGKILL.")
            time.sleep(POLL_SECONDS)

    def wait_ready(self, name: str, check: Callable[[], str | None], seconds: float) -> None:
        """Wait until `check` returns None; it returns what is still missing.

        Raises StackError when the program ends first or the deadline passes.
        """
        deadline = time.monotonic() + seconds
        while (missing := check()) is not None:
            if self.pid(name) is None:
                raise StackError(f"{name} ended while starting.\n{self._story(name)}")
            if time.monotonic() > deadline:
                raise StackError(
                    f"{name} is not ready after {seconds:.0f} s: {missing}.\n{self._story(name)}"
                )
            time.sleep(POLL_SECONDS)

    def _story(self, name: str) -> str:
        log = self.log_path(name)
        return f"{tail(log)}\nThe whole log: {log}\nThen: python -m devstack down, and up again."

    def _file(self, name: str) -> Path:
        return self._run / f"{name}.pid"

    def _read(self, name: str) -> Remains | None:
        try:
            return Remains(**json.loads(self._file(name).read_text()))
        except (OSError, ValueError, TypeError):
            return None


def _rotate(log: Path) -> None:
    """Keep one old log beside the new one, so that logs never fill a disk over many starts."""
    if log.exists() and log.stat().st_size > LOG_BYTES:
        log.replace(log.with_suffix(".log.old"))


def start_time(pid: int) -> str | None:
    """When the process began, in the system's own notation; None when it is gone or a zombie."""
    with suppress(ChildProcessError):
        os.waitpid(pid, os.WNOHANG)  # a dead child of ours stays a zombie until asked
    if not sys.platform.startswith("linux"):
        return _start_time_by_ps(pid)
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return None
    return None if fields[0] in "ZX" else fields[19]


def _start_time_by_ps(pid: int) -> str | None:
    answer = subprocess.run(
        ["ps", "-o", "stat=,lstart=", "-p", str(pid)], capture_output=True, text=True, check=False
    )
    state, _, started = answer.stdout.strip().partition(" ")
    return started.strip() if started and not state.startswith("Z") else None


def _end(name: str, remains: Remains) -> None:
    for number, seconds in (
        (remains.stop_signal, remains.grace_seconds),
        (signal.SIGKILL, KILL_SECONDS),
    ):
        with suppress(ProcessLookupError):
            if number == signal.SIGKILL:
                os.killpg(remains.pid, number)
            else:
                os.kill(remains.pid, number)
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            if start_time(remains.pid) != remains.started:
                return
            time.sleep(POLL_SECONDS)
    raise StackError(f"{name} (process {remains.pid}) does not end, not even by SIGKILL.")


def _plain_environment() -> dict[str, str]:
    """What servers inherit: no proxies and no credentials of the caller."""
    keep = ("PATH", "HOME", "LANG", "TMPDIR", "TZ", "XDG_CACHE_HOME", "VIRTUAL_ENV")
    return {key: os.environ[key] for key in keep if key in os.environ} | RARE_COLLECTIONS


def _group_of(user: str | None) -> int | None:
    if user is None:
        return None
    return pwd.getpwnam(user).pw_gid


def _write_atomically(path: Path, text: str) -> None:
    temporary = path.with_suffix(f".{os.getpid()}.tmp")
    temporary.write_text(text)
    temporary.replace(path)
