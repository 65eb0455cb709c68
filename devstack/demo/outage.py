"""What disturbs a run from outside: a shared server that stops, a row that is written meanwhile.
Both are put right whatever happens."""

import threading
import time
from collections.abc import Callable
from types import TracebackType
from typing import Any, Protocol, Self

import psycopg

from devstack import single
from devstack.demo.troubles import Outage
from devstack.errors import StackError
from devstack.stack import Stack
from devstack.world.database import access


class Disturbance(Protocol):
    """Something that disturbs a run. It is shown every status, and puts right at its end what it
    has done to shared servers."""

    @property
    def began(self) -> float | None:
        """When it began, in seconds since 1970; None while it has not."""

    def see(self, status: dict[str, Any]) -> None:
        """Take up how the run stands."""

    def __enter__(self) -> Self: ...

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None: ...


class Calm:
    """No disturbance."""

    @property
    def began(self) -> None:
        """Never."""

    def see(self, status: dict[str, Any]) -> None:
        """Do nothing."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        return


class ServerAway:
    """Stops a server while the second service is deployed."""

    def __init__(self, stack: Stack, outage: Outage, tell: Callable[[str], None]) -> None:
        self._stack, self._outage, self._tell = stack, outage, tell
        self._over = threading.Event()
        self._thread: threading.Thread | None = None
        self.began: float | None = None

    def see(self, status: dict[str, Any]) -> None:
        """Begin once the first service is deployed."""
        deployed = [one for one in status["services"] if one["state"] == "deployed"]
        if self._thread is None and status["phase"] == "roll_out" and deployed:
            self._thread = threading.Thread(target=self._away, name="outage", daemon=True)
            self._thread.start()

    def _away(self) -> None:
        self.began = time.time()
        self._tell(f"{self._outage.server} is stopped")
        single.end(self._stack, self._outage.server)
        self._over.wait(self._outage.seconds)
        single.back(self._stack, self._outage.server)
        self._tell(f"{self._outage.server} serves again")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        if self._thread is None:
            return
        self._thread.join(timeout=300)
        if self._thread.is_alive():
            raise StackError(f"{self._outage.server} does not come back: `make stack` tries again.")


class RowMeanwhile:
    """Writes a row as the application does, once approval is waited for: the backup is taken and
    the migration rehearsed by then. The row is gone afterwards."""

    _NAME = "Written after the backup"

    def __init__(self, stack: Stack, database: str, tell: Callable[[str], None]) -> None:
        self._stack, self._database, self._tell = stack, database, tell
        self.began: float | None = None

    def see(self, status: dict[str, Any]) -> None:
        """Write the row when the run waits for its approval."""
        if self.began is not None or status["phase"] != "approval":
            return
        self.began = time.time()
        address = access.url(self._stack, access.APP, self._database)
        with psycopg.connect(address, connect_timeout=10) as connection:
            connection.execute(
                "INSERT INTO organisations (name, country) VALUES (%s, 'Norway')", [self._NAME]
            )
        self._tell("an organisation was added whose country is no code")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self.began is None:
            return
        with access.superuser(self._stack, self._database) as connection:
            connection.execute("DELETE FROM organisations WHERE name = %s", [self._NAME])
