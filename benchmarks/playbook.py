"""The playbook's own commands, as a person would run them: what slipway is compared with."""

import subprocess
from pathlib import Path
from typing import IO

from psycopg import sql

from benchmarks.world import World, timed
from devstack.world.database import access


class Playbook:
    """A person with the superuser's password and PostgreSQL's tools."""

    def __init__(self, world: World) -> None:
        """`world`: whose database it is about."""
        self._world = world

    def dump(self, file: Path) -> float:
        """`pg_dump $URL > file`; return its seconds."""
        took = timed()
        with file.open("xb") as output:
            self._run("pg_dump", stdout=output)
        return took()

    def dump_custom(self, file: Path) -> float:
        """`pg_dump -Fc`, the form that pg_restore can check; return its seconds."""
        took = timed()
        self._run("pg_dump", "--format=custom", f"--file={file}")
        return took()

    def restore(self, file: Path) -> float:
        """Drop the database, create it and `psql < file`; return the seconds until the services may
        connect again.

        The playbook's bare `psql < file` on the live database would restore nothing (each table is
        there already) and report success. Rights on a database are in no dump: as they were, the
        services may connect only after the last row is in.
        """
        name, took = sql.Identifier(self._world.name), timed()
        with self._world.superuser("postgres") as connection:
            connection.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(name))
            owner = sql.Identifier(access.OWNER)
            connection.execute(sql.SQL("CREATE DATABASE {} OWNER {}").format(name, owner))
            connection.execute(sql.SQL("REVOKE ALL ON DATABASE {} FROM PUBLIC").format(name))
            self._run(
                "psql", "-X", "-q", "-v", "ON_ERROR_STOP=1", "-o", "/dev/null", "-f", str(file)
            )
            app = sql.Identifier(access.APP)
            connection.execute(sql.SQL("GRANT CONNECT ON DATABASE {} TO {}").format(name, app))
        return took()

    def execute(self, statement: str) -> float:
        """`psql -c statement`, with no limit to how long it waits; return its seconds."""
        took = timed()
        self._run("psql", "-X", "-q", "-v", "ON_ERROR_STOP=1", "-c", statement)
        return took()

    def _run(
        self, tool: str, *arguments: str, stdout: int | IO[bytes] = subprocess.DEVNULL
    ) -> None:
        stack = self._world.stack
        address = ["-h", stack.pg_host, "-p", str(stack.pg_port), "-U", stack.pg_superuser]
        done = subprocess.run(
            [str(Path(stack.pg_bin) / tool), *address, "-d", self._world.name, *arguments],
            env={"PGPASSWORD": stack.pg_superuser_password, "LC_ALL": "C"},
            stdin=subprocess.DEVNULL,
            stdout=stdout,
            stderr=subprocess.PIPE,
            check=False,
        )
        if done.returncode:
            words = done.stderr.decode(errors="replace")[-500:]
            raise RuntimeError(f"{tool} ended with {done.returncode}: {words}")
