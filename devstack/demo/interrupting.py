"""Does the interruptions of a run, one after the other, and puts everything right afterwards."""

import threading
import time
from collections.abc import Callable, Sequence
from typing import Any, Self

from devstack import single, up
from devstack.demo import workers
from devstack.demo.interruptions import FROZEN_SECONDS, Interruption
from devstack.errors import StackError
from devstack.stack import Stack

_OVERLAP = 5.0
"""Seconds that a woken worker and its replacement work side by side."""


class Interrupting:
    """A disturbance: begins with the run, ends with it at the latest."""

    def __init__(
        self,
        stack: Stack,
        queue: str,
        planned: Sequence[Interruption],
        tell: Callable[[str], None],
    ) -> None:
        self._stack, self._queue, self._planned, self._tell = stack, queue, planned, tell
        self._over = threading.Event()
        self._hurry = threading.Event()
        self._thread: threading.Thread | None = None
        self._failed = ""
        self.began: float | None = None
        self.done: list[Interruption] = []

    def see(self, status: dict[str, Any]) -> None:
        """Begin as soon as the run can be seen. A rollback is short: then there is no pause."""
        if status["phase"] == "roll_back":
            self._hurry.set()
        if self._thread is None and status["outcome"] == "running":
            self.began = time.time()
            self._thread = threading.Thread(target=self._all, name="interruptions", daemon=True)
            self._thread.start()

    def _all(self) -> None:
        for number, one in enumerate(self._planned, 1):
            self._hurry.wait(one.pause)
            if self._over.is_set():
                self._tell(f"the run has ended before {len(self._planned) - number + 1} of them")
                return
            self._tell(f"{number} of {len(self._planned)}: {one}")
            began = time.monotonic()
            try:
                self._strike(one)
            except (StackError, OSError) as error:
                self._failed = str(error)
                return
            self.done.append(one)
            self._tell(f"{number} of {len(self._planned)}: over after {_since(began)} s")

    def _strike(self, one: Interruption) -> None:
        if not one.worker:
            single.end(self._stack, one.whom, kill=True)
            single.back(self._stack, one.whom)
            return
        crew = workers.Crew(self._stack, self._queue, one.whom)
        match one.kind:
            case "killed":
                crew.kill()
                crew.start()
            case "replaced":
                crew.stop()
                crew.start()
            case "frozen":
                self._freeze(crew)

    def _freeze(self, crew: workers.Crew) -> None:
        until = time.monotonic() + FROZEN_SECONDS
        crew.freeze()
        try:
            crew.replacement.start()
            time.sleep(max(0.0, until - time.monotonic()))
        finally:
            crew.thaw()
        time.sleep(_OVERLAP)
        crew.replacement.stop()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        """Finish what has begun; then every server serves and both workers are fresh."""
        self._over.set()
        self._hurry.set()
        if self._thread is not None:
            self._thread.join(timeout=240)
        up.up()
        workers.start(self._stack, self._queue)
        if self._failed:
            raise StackError(self._failed)


def _since(began: float) -> str:
    return f"{time.monotonic() - began:.0f}"
