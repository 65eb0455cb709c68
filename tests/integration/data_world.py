"""A production database of its own for each test, with the rights slipway really has."""

import asyncio
import hashlib
import io
import json
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import uuid4

import boto3
import psycopg
import zstandard
from psycopg import sql

from activities.adapters.object_store import ObjectStore
from activities.adapters.postgres.adapter import Postgres
from devstack.stack import Stack
from devstack.world.database import access, templates
from slipway.messages.backup import TakeBackup
from slipway.messages.migration import RollBackDatabase
from slipway.messages.record import BackupTaken
from slipway.plan import Backup, Database, Migrations
from slipway.release import MigrationFile, MigrationSet

SCHEMA = """
CREATE SCHEMA drizzle;
CREATE TABLE drizzle.__drizzle_migrations (
    id serial PRIMARY KEY, hash text NOT NULL, created_at bigint);
CREATE TYPE mood AS ENUM ('low', 'high');
CREATE TABLE users (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, email text NOT NULL,
    mood mood NOT NULL DEFAULT 'low', settings jsonb NOT NULL DEFAULT '{}', balance numeric(12, 4),
    photo bytea, joined timestamptz NOT NULL DEFAULT now());
CREATE TABLE events (id bigserial, at date NOT NULL, what text, PRIMARY KEY (id, at))
    PARTITION BY RANGE (at);
CREATE TABLE events_old PARTITION OF events FOR VALUES FROM ('2026-01-01') TO ('2026-07-01');
CREATE TABLE events_new PARTITION OF events FOR VALUES FROM ('2026-07-01') TO ('2027-01-01');
CREATE TABLE keyless (what text);
CREATE TABLE orders (id int PRIMARY KEY, user_id bigint REFERENCES users (id));
CREATE MATERIALIZED VIEW moods AS SELECT mood, count(*) AS n FROM users GROUP BY mood;
INSERT INTO users (email, settings, balance, photo)
    SELECT 'u' || n || '@teei.example', jsonb_build_object('n', n), n / 3.0,
           decode(md5(n::text), 'hex')
    FROM generate_series(1, 2000) n;
INSERT INTO events (at, what)
    SELECT date '2026-01-01' + (n % 360), 'e' || n FROM generate_series(1, 3000) n;
INSERT INTO keyless SELECT 'same' FROM generate_series(1, 50);
INSERT INTO orders SELECT n, n FROM generate_series(1, 500) n;
REFRESH MATERIALIZED VIEW moods;
"""
FIRST = "CREATE TABLE first_one (id int PRIMARY KEY);"
FIRST_WHEN = 1_767_225_600_000


def digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


@dataclass
class DataWorld:
    """One production database on the shared server and a prefix of the shared bucket."""

    stack: Stack
    name: str
    folder: Path

    @property
    def deployment(self) -> str:
        return f"production-20261123T202134Z-{self.name[-6:]}"

    @property
    def database(self) -> Database:
        """As a plan names it: slipway's role, not a superuser."""
        url = self._reference(access.ADMIN, self.name)
        return Database(
            name=self.name,
            url=url,
            admin_url=self._reference(access.ADMIN, access.CONTROL),
            probe_url=url,
            owner=access.OWNER,
        )

    def _reference(self, role: str, database: str) -> str:
        return f"file:{access.url_file(self.stack, self.folder, role, database)}"

    @property
    def backup(self) -> Backup:
        return Backup(bucket=self.stack.bucket, prefix=f"test-{self.name}/", retention=90)

    @property
    def postgres(self) -> Postgres:
        return Postgres(Path(self.stack.pg_bin))

    @property
    def store(self) -> ObjectStore:
        return ObjectStore(self.s3)

    @property
    def s3(self) -> Any:
        return boto3.client(
            "s3",
            endpoint_url=self.stack.s3_endpoint,
            aws_access_key_id=self.stack.s3_access_key,
            aws_secret_access_key=self.stack.s3_secret_key,
            region_name="us-east-1",
        )

    def keys(self) -> list[str]:
        found = self.s3.list_objects_v2(Bucket=self.stack.bucket, Prefix=self.backup.prefix)
        return [one["Key"] for one in found.get("Contents", [])]

    @contextmanager
    def superuser(self, database: str | None = None) -> Iterator[psycopg.Connection]:
        """Look from outside, past every right."""
        with access.superuser(self.stack, database or self.name) as connection:
            yield connection

    def run(
        self, query: str, database: str | None = None, values: Sequence[Any] | None = None
    ) -> list[tuple[Any, ...]]:
        with self.superuser(database) as connection:
            cursor = connection.execute(query.encode(), values)
            return cursor.fetchall() if cursor.description else []

    def as_owner(self, query: str) -> None:
        with access.superuser(self.stack, self.name, acting_as=access.OWNER) as connection:
            connection.execute(query.encode())

    def sessions(self) -> list[tuple[Any, ...]]:
        """Who is connected: database, role, state, what it waits for."""
        with self.superuser("postgres") as connection:
            return connection.execute(
                "SELECT datname, usename, state, wait_event FROM pg_stat_activity"
                " WHERE starts_with(datname, %s) AND backend_type <> 'autovacuum worker'",
                [self.name],
            ).fetchall()

    def databases(self) -> list[str]:
        """All databases of this world, side and kept ones too."""
        with self.superuser("postgres") as connection:
            found = connection.execute(
                "SELECT datname FROM pg_database WHERE starts_with(datname, %s) ORDER BY 1",
                [self.name],
            )
            return [one[0] for one in found]

    def take(self, tag: str = "1") -> TakeBackup:
        """Ask for a backup. A dump is named by the second of its snapshot: the next one waits for
        another second."""
        if self.keys():
            time.sleep(1.0 - time.time() % 1.0)
        return TakeBackup(
            deployment=self.deployment,
            database=self.database,
            backup=self.backup,
            requester="dev@teei.example",
            attempt_tag=tag,
        )

    def roll_back(
        self, taken: BackupTaken, op_id: str = "undo", fence: int = 6
    ) -> RollBackDatabase:
        return RollBackDatabase(
            deployment=self.deployment,
            database=self.database,
            migrations=Migrations(),
            backup=taken,
            bucket=self.stack.bucket,
            fence=fence,
            op_id=op_id,
        )


@contextmanager
def data_world(stack: Stack, folder: Path) -> Iterator[DataWorld]:
    """Make the database with grants and settings that are in no dump; drop all at the end."""
    world = DataWorld(stack, f"d{uuid4().hex[:10]}", folder)
    with access.taking_turns(stack) as connection:
        access.ensure_roles(stack, connection)
        name = sql.Identifier(world.name)
        owner = sql.Identifier(access.OWNER)
        connection.execute(sql.SQL("CREATE DATABASE {} OWNER {}").format(name, owner))
        for statement in (
            "REVOKE ALL ON DATABASE {} FROM PUBLIC",
            "GRANT CONNECT ON DATABASE {} TO teei_app",
            "ALTER DATABASE {} SET slipway.local_stack = 'true'",
            "ALTER DATABASE {} SET search_path = public, drizzle",
            "ALTER DATABASE {} SET statement_timeout = '120s'",
        ):
            connection.execute(sql.SQL(statement).format(name))
    world.as_owner(SCHEMA + FIRST)
    world.as_owner("GRANT SELECT, INSERT ON ALL TABLES IN SCHEMA public TO teei_app")
    with world.superuser() as connection:
        connection.execute(
            "INSERT INTO drizzle.__drizzle_migrations (hash, created_at) VALUES (%s, %s)",
            [digest(FIRST), FIRST_WHEN],
        )
    try:
        yield world
    finally:
        with access.taking_turns(stack) as connection:
            for one in world.databases():
                templates.drop(connection, one)


class Folder:
    """Artifacts found below a folder."""

    def __init__(self, root: Path) -> None:
        self._root = root

    def path(self, reference: str) -> Path:
        return self._root / reference.removeprefix("artifact:")


RUNNER = '''
"""Does what the migration tool does, and like it says nothing about why it failed."""
import hashlib, json, os, pathlib, sys
import psycopg

folder = pathlib.Path("migrations")
journal = json.loads((folder / "meta" / "_journal.json").read_text())
try:
    with psycopg.connect(os.environ["DATABASE_URL"]) as connection:
        newest = connection.execute(
            "SELECT coalesce(max(created_at), 0) FROM drizzle.__drizzle_migrations").fetchone()[0]
        for entry in journal["entries"]:
            if entry["when"] <= newest:
                continue
            text = (folder / (entry["tag"] + ".sql")).read_text()
            for part in text.split("--> statement-breakpoint"):
                connection.execute(part)
            connection.execute(
                "INSERT INTO drizzle.__drizzle_migrations (hash, created_at) VALUES (%s, %s)",
                [hashlib.sha256(text.encode()).hexdigest(), entry["when"]])
except psycopg.Error:
    sys.exit(1)
'''


def workspace(folder: Path, pending: list[str]) -> tuple[MigrationSet, list[MigrationFile]]:
    """Write a workspace with the applied migration and pending ones; return its release part."""
    migrations = folder / "workspace" / "migrations"
    (migrations / "meta").mkdir(parents=True)
    (folder / "workspace" / "migrate.py").write_text(RUNNER)
    entries = []
    for number, text in enumerate([FIRST, *pending]):
        tag = f"{number:04d}_step"
        (migrations / f"{tag}.sql").write_text(text)
        when = FIRST_WHEN + number * 1000
        entries.append(
            {"idx": number, "version": "7", "when": when, "tag": tag, "breakpoints": True}
        )
    journal = json.dumps({"version": "7", "dialect": "postgresql", "entries": entries})
    (migrations / "meta" / "_journal.json").write_text(journal)
    files = [
        MigrationFile(tag=f"{number + 1:04d}_step", sha256=digest(text))
        for number, text in enumerate(pending)
    ]
    release = MigrationSet(
        workspace="artifact:workspace", journal_sha256=digest(journal), pending=files
    )
    return release, files


def lines_of(world: DataWorld, key: str) -> list[dict[str, Any]]:
    """Return the documents of a file of rows in the bucket."""
    body = world.s3.get_object(Bucket=world.stack.bucket, Key=key)["Body"].read()
    with zstandard.ZstdDecompressor().stream_reader(io.BytesIO(body)) as reader:
        return [json.loads(line) for line in io.TextIOWrapper(reader, encoding="utf-8")]


async def until(condition: Callable[[], object], seconds: float = 120) -> None:
    """Wait for something outside this process; fail when it does not come."""
    async with asyncio.timeout(seconds):
        while not condition():  # noqa: ASYNC110 - files and servers set no events
            await asyncio.sleep(0.02)
