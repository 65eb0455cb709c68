"""The real PgBouncer in front of a test's database, started as a user that is not root."""

import shutil
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import psycopg
from psycopg.rows import dict_row

from devstack import build, ports
from devstack.layout import HOST
from devstack.process import Processes, Spec
from devstack.products import PGBOUNCER
from devstack.servers.postgres import server_user
from devstack.stack import Stack
from devstack.world import layout
from devstack.world.database import access
from tests.integration.data_world import until

CONSOLE, LOOKER = "console", "looker"
"""Who may pause, and who may only look."""
_NAME = "pgbouncer"
_PASSWORD = "of-a-test-only"


@dataclass
class OwnPgBouncer:
    """A pooler of a test's own."""

    stack: Stack
    root: Path
    port: int

    def url(self, role: str, database: str) -> str:
        """How a client of the services connects."""
        word = access.password(self.stack, role)
        return f"postgresql://{role}:{word}@{HOST}:{self.port}/{database}"

    def reference(self, folder: Path, user: str = CONSOLE) -> str:
        """What a plan calls it by."""
        path = folder / f"pooler.{user}.{self.port}.url"
        layout.write_text(path, self._console(user), mode=0o600)
        return f"file:{path}"

    def _console(self, user: str) -> str:
        return f"postgresql://{user}:{_PASSWORD}@{HOST}:{self.port}/pgbouncer"

    def run(self, words: str) -> list[dict[str, object]]:
        """Say something at the console."""
        with psycopg.connect(self._console(CONSOLE), autocommit=True, row_factory=dict_row) as one:
            cursor = one.execute(words.encode())
            return cursor.fetchall() if cursor.description else []

    def paused(self, name: str) -> bool:
        """Whether clients of an entry wait."""
        return any(one["name"] == name and one["paused"] for one in self.run("SHOW DATABASES"))

    def serves(self) -> bool:
        try:
            return bool(self.run("SHOW VERSION"))
        except psycopg.OperationalError:
            return False

    def start(self) -> None:
        """Start it, or start it again."""
        program = str(build.ensure([PGBOUNCER])[_NAME])
        user = server_user()
        as_user = ("-u", user) if user else ()
        argv = (program, *as_user, str(self.root / "pgbouncer.ini"))
        Processes(self.root).start(Spec(_NAME, argv, cwd=self.root))

    def stop(self) -> None:
        Processes(self.root).stop(_NAME)


@contextmanager
def _configured(
    stack: Stack, databases: Mapping[str, str], settings: Mapping[str, str]
) -> Iterator[OwnPgBouncer]:
    root = Path(tempfile.mkdtemp(prefix="slipway-pooler-", dir="/var/tmp"))
    root.chmod(0o755)
    pooler = OwnPgBouncer(stack, root, ports.choose([_NAME], {})[_NAME])
    given = {
        "listen_addr": HOST,
        "listen_port": str(pooler.port),
        "unix_socket_dir": "",
        "auth_type": "scram-sha-256",
        "auth_file": str(root / "users"),
        "admin_users": CONSOLE,
        "stats_users": LOOKER,
        "pool_mode": "transaction",
        **settings,
    }
    lines = ["[databases]"]
    for name, database in databases.items():
        lines.append(f"{name} = host={stack.pg_host} port={stack.pg_port} dbname={database}")
    lines += ["[pgbouncer]", *(f"{name} = {value}" for name, value in given.items())]
    (root / "pgbouncer.ini").write_text("\n".join(lines) + "\n")
    users = {CONSOLE: _PASSWORD, LOOKER: _PASSWORD}
    users |= {role: access.password(stack, role) for role in (access.APP, access.ADMIN)}
    secrets = root / "users"
    secrets.touch(mode=0o600)
    secrets.write_text("".join(f'"{role}" "{word}"\n' for role, word in users.items()))
    user = server_user()
    if user:
        shutil.chown(secrets, user)
    try:
        yield pooler
    finally:
        pooler.stop()
        shutil.rmtree(root, ignore_errors=True)


@contextmanager
def own_pgbouncer(
    stack: Stack, databases: Mapping[str, str], **settings: str
) -> Iterator[OwnPgBouncer]:
    """A running pooler. `databases`: what it calls them, and their names on the server."""
    with _configured(stack, databases, settings) as pooler:
        pooler.start()
        yield pooler


async def serving(pooler: OwnPgBouncer) -> OwnPgBouncer:
    """Wait until it answers."""
    await until(pooler.serves)
    return pooler
