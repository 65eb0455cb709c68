"""A PostgreSQL server of a test's own: one that it may restart, kill and starve."""

import os
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import fields
from pathlib import Path

import psycopg
from psycopg import sql

from devstack import ports
from devstack.layout import HOST, Layout
from devstack.process import Processes, Spec
from devstack.servers import postgres
from devstack.stack import Stack
from devstack.world.database import access

_NAME = "postgres"
_PASSWORD = "of-a-test-only"
_SECONDS = 120.0


class OwnPostgres:
    """A cluster in a folder of its own. SLIPWAY_POSTGRES names other programs."""

    def __init__(self, root: Path, settings: dict[str, str]) -> None:
        """`root`: a folder that the server's user can reach."""
        layout = Layout.open(root, running=False)
        self._programs = postgres.bin_folder(layout)
        self._user = postgres.server_user()
        self._data = root / "cluster"
        self._port = ports.choose(["own"], {})["own"]
        given = {**postgres.SETTINGS, "port": str(self._port)}
        del given["max_slot_wal_keep_size"]  # what a command line sets, `set` could not change
        self._settings = {**given, **settings}
        self._processes = Processes(root)
        blank = {field.name: "" for field in fields(Stack)}
        own = {
            "pg_host": HOST,
            "pg_superuser": postgres.SUPERUSER,
            "pg_superuser_password": _PASSWORD,
            "pg_bin": str(self._programs),
            "pg_data": str(self._data),
            "run_dir": str(root),
        }
        self.stack = Stack(**{**blank, **own, "pg_port": self._port})  # type: ignore[arg-type] # the one number

    @property
    def pid(self) -> int:
        """The first process of the server."""
        found = self._processes.pid(_NAME)
        assert found is not None
        return found

    def create(self) -> None:
        """Make the cluster."""
        self._data.mkdir(mode=0o700)
        secret = self._data.with_name("secret")
        secret.write_text(_PASSWORD)
        if self._user:
            shutil.chown(self._data, self._user)
            shutil.chown(secret, self._user)
        command = [str(self._programs / "initdb"), "-D", str(self._data), "-U", postgres.SUPERUSER]
        command += ["--encoding=UTF8", "--locale=C", "--auth=scram-sha-256", "--no-sync"]
        done = subprocess.run(
            [*command, f"--pwfile={secret}"],
            user=self._user,
            cwd=self._data,
            env={"PATH": os.environ.get("PATH", ""), "LC_ALL": "C"},
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr

    def start(self) -> None:
        """Start it and wait until it serves; after a kill its old processes must first be gone."""
        given = [part for pair in self._settings.items() for part in ("-c", "=".join(pair))]
        program = str(self._programs / "postgres")
        spec = Spec(
            _NAME,
            (program, "-D", str(self._data), *given),
            cwd=self._data,
            user=self._user,
            stop_signal=signal.SIGINT,
            grace_seconds=30,
        )
        deadline = time.monotonic() + _SECONDS
        while not self._serves():
            assert time.monotonic() < deadline, self._processes.log_path(_NAME).read_text()[-2000:]
            if self._processes.pid(_NAME) is None:
                self._processes.start(spec)
            time.sleep(0.05)

    def _serves(self) -> bool:
        if self._processes.pid(_NAME) is None:
            return False
        try:
            access.superuser(self.stack).close()
        except psycopg.OperationalError:
            return False
        return True

    def stop(self) -> None:
        """Stop it in order."""
        self._processes.stop(_NAME)

    def kill(self) -> None:
        """SIGKILL its first process: nothing is put in order."""
        self._processes.send(_NAME, signal.SIGKILL)

    def set(self, name: str, value: str) -> None:
        """Change a setting of the running server."""
        with access.superuser(self.stack) as connection:
            connection.execute(
                sql.SQL("ALTER SYSTEM SET {} = {}").format(sql.Identifier(name), sql.Literal(value))
            )
            connection.execute("SELECT pg_reload_conf()")


@contextmanager
def own_postgres(**settings: str) -> Iterator[OwnPostgres]:
    """A running server with the stack's roles; everything of it is gone afterwards."""
    root = Path(tempfile.mkdtemp(prefix="slipway-own-", dir="/var/tmp"))
    root.chmod(0o755)
    server = OwnPostgres(root, settings)
    try:
        server.create()
        server.start()
        with access.superuser(server.stack) as connection:
            access.ensure_roles(server.stack, connection)
        yield server
    finally:
        server.stop()
        postgres.forget(Layout.open(root, running=True))
        shutil.rmtree(root, ignore_errors=True)
