"""Workers that die or freeze where they are told to: `python -m tests.faults.worker FOLDER`.

The process itself only keeps a child running for each role, which is slipway's own worker with two
interceptors more. One ends (SIGKILL) or freezes (SIGSTOP) the child at the boundaries of
activities: before one has done anything, and after it has done all but before Temporal knows of it.
`backup.take.after:1` strikes when a child comes there for the first time, whichever child it is. A
killed child is followed by another at once; a frozen one is followed at once and woken after
FREEZE_SECONDS, when the server has given up its work. The other lets the server do so sooner.

The folder holds `points` (a boundary a line) and `orders.json` (`signal`: KILL or STOP,
`environments`: that of each role); a file of a boundary's name says that it was reached.
"""

import asyncio
import json
import os
import signal
import sys
import time
from datetime import timedelta
from pathlib import Path
from typing import Any

from temporalio import activity, workflow
from temporalio.worker import (
    ExecuteActivityInput,
    Interceptor,
    StartActivityInput,
    WorkflowInboundInterceptor,
    WorkflowInterceptorClassInput,
    WorkflowOutboundInterceptor,
)

from activities.around import Around, Execute
from worker import registry, serve
from worker.logs import log_to_stderr
from worker.settings import Role, Settings, read_settings

POINTS, ORDERS = "points", "orders.json"
HEARTBEAT = timedelta(seconds=4)
"""The server gives struck work up after that; what lives beats three times as often."""
FREEZE_SECONDS = 6.0
"""Beyond HEARTBEAT: frozen work is given up before it wakes."""
AWAKE = 3
"""So many woken workers live on, the newest: dozens of them would take the CPU from who works."""
_LOOK_SECONDS = 0.05


class Strikes:
    """Strikes once at each boundary of the folder's list."""

    def __init__(self, folder: Path, number: signal.Signals) -> None:
        self.folder = folder
        self.number = number
        points = (one.rpartition(":") for one in (folder / POINTS).read_text().split())
        self.points = {boundary: int(time) for boundary, _, time in points}

    async def around(self, input_: ExecuteActivityInput, execute: Execute) -> Any:
        """Run an activity between its two boundaries."""
        name = activity.info().activity_type
        self.reached(f"{name}.before")
        result = await execute(input_)
        self.reached(f"{name}.after")
        return result

    def reached(self, boundary: str) -> None:
        """End or freeze this process when a boundary of the list is reached for the n-th time."""
        wanted = self.points.get(boundary, 0)
        for number in range(1, wanted + 1):
            try:
                mark = self.folder / f"{boundary}:{number}"
                os.close(os.open(mark, os.O_CREAT | os.O_EXCL | os.O_WRONLY))
            except FileExistsError:
                continue
            if number == wanted:
                os.kill(os.getpid(), self.number)
            return


class _Sooner(WorkflowOutboundInterceptor):
    """Shortens heartbeat timeouts to HEARTBEAT."""

    def start_activity(
        self,
        input: StartActivityInput,  # noqa: A002 - the SDK's name
    ) -> workflow.ActivityHandle[Any]:
        """Start the activity; the server gives it up sooner."""
        if input.heartbeat_timeout:
            input.heartbeat_timeout = min(input.heartbeat_timeout, HEARTBEAT)
        return super().start_activity(input)


class _Inbound(WorkflowInboundInterceptor):
    def init(self, outbound: WorkflowOutboundInterceptor) -> None:
        """Put _Sooner between workflow and server."""
        super().init(_Sooner(outbound))


class Impatient(Interceptor):
    """Lets the server miss struck work sooner than slipway's workers would: most of a struck run's
    time is waiting for that."""

    def workflow_interceptor_class(
        self,
        input: WorkflowInterceptorClassInput,  # noqa: A002 - the SDK's name
    ) -> type[WorkflowInboundInterceptor]:
        """Return what shortens the heartbeat timeouts."""
        return _Inbound


def main() -> int:
    """Keep a worker of each role alive until SIGTERM."""
    folder = Path(sys.argv[1])
    orders = json.loads((folder / ORDERS).read_text())
    log_to_stderr("INFO")
    registry.workflows()  # imported once, here: a child then starts in a moment
    for method in (registry.unprivileged, registry.privileged):
        method(Settings(role=Role.ALL, task_queue="none", artifacts=folder))
    strikes = Strikes(folder, signal.Signals[f"SIG{orders['signal']}"])
    return Keeper(orders["environments"], strikes).keep()


class Keeper:
    """Keeps one working child a role; wakes frozen ones when their time has come."""

    def __init__(self, environments: dict[str, dict[str, str]], strikes: Strikes) -> None:
        self._environments = environments
        self._strikes = strikes
        self._roles: dict[int, str] = {}
        """Role by child, frozen ones included."""
        self._frozen: dict[int, float] = {}
        self._woken: list[int] = []
        self._ended: set[int] = set()
        """Woken once, told to end: nobody follows them."""
        self._told = False

    def keep(self) -> int:
        """Run until SIGTERM or until whoever started this is gone, then end every child."""
        signal.signal(signal.SIGTERM, self._on_term)
        parent = os.getppid()
        for role in self._environments:
            self._fork(role)
        while not self._told and os.getppid() == parent:
            self._look()
            time.sleep(_LOOK_SECONDS)
        for child in self._roles:
            os.kill(child, signal.SIGCONT)
            os.kill(child, signal.SIGTERM)
        for child in self._roles:
            os.waitpid(child, 0)
        return 0

    def _on_term(self, *_: object) -> None:
        self._told = True

    def _fork(self, role: str) -> None:
        child = os.fork()
        if child == 0:
            code = 1
            try:
                signal.signal(signal.SIGTERM, signal.SIG_DFL)
                os.environ.clear()
                os.environ.update(self._environments[role])
                settings = read_settings(os.environ, role)
                asyncio.run(serve.serve(settings, (Around(self._strikes.around), Impatient())))
                code = 0
            finally:
                sys.stderr.flush()
                os._exit(code)
        self._roles[child] = role

    def _look(self) -> None:
        child, status = os.waitpid(-1, os.WNOHANG | os.WUNTRACED)
        if child and os.WIFSTOPPED(status):
            self._frozen[child] = time.monotonic() + FREEZE_SECONDS
            self._woken = [one for one in self._woken if one != child]
            self._fork(self._roles[child])
        elif child:
            self._frozen.pop(child, None)
            self._woken = [one for one in self._woken if one != child]
            role = self._roles.pop(child)
            if child in self._ended:
                self._ended.remove(child)
            else:
                self._fork(role)
        for one, until in list(self._frozen.items()):
            if time.monotonic() > until:
                del self._frozen[one]
                os.kill(one, signal.SIGCONT)
                self._woken.append(one)
        for one in self._woken[:-AWAKE]:
            os.kill(one, signal.SIGTERM)
            self._ended.add(one)
        del self._woken[:-AWAKE]


if __name__ == "__main__":
    sys.exit(main())
