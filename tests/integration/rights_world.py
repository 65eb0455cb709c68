"""Databases and roles of a test's own, with exactly the rights that slipway's list names."""

import re
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from uuid import uuid4

import psycopg
from psycopg import sql

from activities.adapters.postgres.adapter import Postgres
from activities.database_look import DatabaseLook
from activities.looks import Looker
from devstack.stack import Stack
from devstack.world import layout
from devstack.world.database import access, templates
from slipway.judgements.database_rights import RIGHTS, DatabaseRight, Login
from slipway.messages.preflight import Finding
from slipway.plan import CorruptionProbe, Database, Plan, Staging
from starter.loading import load_plan
from tests.integration.data_world import FIRST, FIRST_WHEN, SCHEMA, DataWorld, digest

PASSWORD = "of-a-test-only"
PROBE = CorruptionProbe(name="users have addresses", sql="SELECT count(*) > 0 FROM users")
OF_THE_SERVER = ("Free disk", "Replication slots", "WAL takes", "WAL is not archived")
_LEDGER = """CREATE SCHEMA IF NOT EXISTS drizzle;
CREATE TABLE IF NOT EXISTS drizzle.__drizzle_migrations (
    id serial PRIMARY KEY, hash text NOT NULL, created_at bigint);"""


@dataclass
class RightsWorld(DataWorld):
    """Production, control and staging databases; a role for each of slipway's logins."""

    @property
    def owner(self) -> str:
        return f"{self.name}_owner"

    @property
    def stranger(self) -> str:
        """A role that slipway has nothing to do with."""
        return f"{self.name}_stranger"

    def role(self, login: Login) -> str:
        name = {Login.PROBE: "probe", Login.STAGING: "reader"}.get(login, "admin")
        return f"{self.name}_{name}"

    def database_of(self, login: Login) -> str:
        tail = {Login.CONTROL: "_control", Login.STAGING: "_staging"}.get(login, "")
        return f"{self.name}{tail}"

    def reference(self, login: Login, port: int | None = None) -> str:
        stack = self.stack
        url = (
            f"postgresql://{self.role(login)}:{PASSWORD}@{stack.pg_host}:{port or stack.pg_port}"
            f"/{self.database_of(login)}?sslmode=disable"
        )
        path = self.folder / f"{login}.{port}.url"
        layout.write_text(path, url, mode=0o600)
        return f"file:{path}"

    @property
    def database(self) -> Database:
        return Database(
            name=self.name,
            url=self.reference(Login.PRODUCTION),
            admin_url=self.reference(Login.CONTROL),
            probe_url=self.reference(Login.PROBE),
            owner=self.owner,
        )

    @property
    def plan(self) -> Plan:
        staging = Staging(namespace="staging", database=self.reference(Login.STAGING))
        shipped = load_plan("plans/teei-production.yaml")
        parts = {"database": self.database, "staging": staging, "corruption": [PROBE]}
        return shipped.model_copy(update=parts)

    @property
    def names(self) -> dict[str, str]:
        return {"owner": self.owner, "ledger": "drizzle.__drizzle_migrations"}

    def statement(self, right: DatabaseRight) -> str:
        """What grants a right to the role that needs it here."""
        given = {
            "role": self.role(right.login),
            "database": self.database_of(right.login),
            "ledger_schema": "drizzle",
        }
        return right.statement(18).format(**self.names, **given)

    @contextmanager
    def superuser(self, database: str | None = None) -> Iterator[psycopg.Connection]:
        """The same, until the server has ended the session: a look at who is connected, which
        follows at once, would still see it."""
        with super().superuser(database) as connection:
            mine = connection.info.backend_pid
            yield connection
        deadline = time.monotonic() + 120
        with access.superuser(self.stack) as looker:
            query = "SELECT 1 FROM pg_stat_activity WHERE pid = %s"
            while looker.execute(query, [mine]).fetchone():
                assert time.monotonic() < deadline, "a session that was closed does not end"
                time.sleep(0.005)

    def administer(self, statement: str, login: Login = Login.PRODUCTION) -> None:
        """Run SQL as the server's administrator, in the database of a login. Some grants change
        rows that all databases share, and two that change one such row at once fail."""
        with access.taking_turns(self.stack):
            self.in_turn(statement, login)

    def in_turn(self, statement: str, login: Login = Login.PRODUCTION) -> None:
        """The same, by who has the turn."""
        with self.superuser(self.database_of(login)) as connection:
            connection.execute(statement.encode())

    async def findings(self, plan: Plan | None = None) -> list[Finding]:
        """What the preflight says of the databases; of the whole server, which other tests use
        too, only what names this world."""
        look = DatabaseLook(
            Postgres(Path(self.stack.pg_bin)), Looker(at_once=True), plan or self.plan
        )
        return [
            one
            for one in await look.findings()
            if not one.what.startswith(OF_THE_SERVER) or self.name in one.what
        ]


def taken(statement: str) -> str:
    """Return what takes away what a statement grants."""
    for pattern, reverse in (
        (r"ALTER ROLE (\S+) (CREATE\w+|REPLICATION);", r"ALTER ROLE \1 NO\2;"),
        (r"ALTER DATABASE (\S+) OWNER TO \S+;", r"ALTER DATABASE \1 OWNER TO postgres;"),
        (r"GRANT (\S+) TO (\S+) WITH (\w+) TRUE;", r"REVOKE \3 OPTION FOR \1 FROM \2;"),
        (r"GRANT (.+ ON .+) TO (\S+);", r"REVOKE \1 FROM \2;"),
        (r"GRANT (\S+) TO (\S+);", r"REVOKE \1 FROM \2;"),
    ):
        if re.fullmatch(pattern, statement):
            return re.sub(pattern, reverse, statement)
    raise AssertionError(f"say here how to take away what this grants: {statement}")


@contextmanager
def rights_world(stack: Stack, folder: Path) -> Iterator[RightsWorld]:
    """Make databases and roles, and grant every right of the list; remove all at the end."""
    world = RightsWorld(stack, f"r{uuid4().hex[:10]}", folder)
    try:
        with access.taking_turns(stack):
            _make(world)
        yield world
    finally:
        with access.taking_turns(stack):
            _remove(world)


def _make(world: RightsWorld) -> None:
    with access.superuser(world.stack) as connection:
        for role in (world.owner, world.stranger):
            connection.execute(sql.SQL("CREATE ROLE {}").format(sql.Identifier(role)))
        for role in {world.role(login) for login in Login}:
            words = sql.SQL("CREATE ROLE {} LOGIN PASSWORD {}")
            connection.execute(words.format(sql.Identifier(role), sql.Literal(PASSWORD)))
        for name in {world.database_of(login) for login in Login}:
            connection.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))
    for right in (one for one in RIGHTS if "OWNER TO" in one.grant):
        world.in_turn(world.statement(right), right.login)
    with access.superuser(world.stack, world.name, acting_as=world.owner) as connection:
        connection.execute((SCHEMA + FIRST).encode())
        connection.execute("ALTER TABLE keyless REPLICA IDENTITY FULL")
        connection.execute(
            "INSERT INTO drizzle.__drizzle_migrations (hash, created_at) VALUES (%s, %s)",
            [digest(FIRST), FIRST_WHEN],
        )
    world.in_turn(_LEDGER, Login.STAGING)
    for right in RIGHTS:
        world.in_turn(world.statement(right), right.login)
    world.in_turn(f"GRANT pg_read_all_data TO {world.role(Login.PROBE)}")


def _remove(world: RightsWorld) -> None:
    # a prepared transaction that is left holds up the whole server
    prepared = "SELECT gid FROM pg_prepared_xacts WHERE database = current_database()"
    for (gid,) in world.run(prepared):
        world.in_turn(f"ROLLBACK PREPARED '{gid}'")
    with access.superuser(world.stack) as connection:
        connection.execute(
            "SELECT pg_drop_replication_slot(slot_name) FROM pg_replication_slots"
            " WHERE slot_name = %s AND NOT active",
            [world.name],
        )
        for name in world.databases():
            templates.drop(connection, name)
        found = connection.execute(
            "SELECT rolname FROM pg_roles WHERE starts_with(rolname, %s) ORDER BY rolname DESC",
            [f"{world.name}_"],
        ).fetchall()
        for (role,) in found:
            connection.execute(
                sql.SQL("DROP OWNED BY {0} CASCADE; DROP ROLE {0}").format(sql.Identifier(role))
            )
