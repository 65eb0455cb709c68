"""Every folder of the corpus, read, linted and rehearsed by slipway; and by drizzle-kit."""

import hashlib
import json
import re
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from uuid import uuid4

import pytest
from psycopg import sql
from temporalio.testing import ActivityEnvironment

from activities.adapters.postgres.adapter import Postgres
from activities.adapters.project import Project
from activities.migrations import DatabaseMigrations
from activities.rehearsals import Rehearsals
from devstack.stack import Stack
from devstack.world import drizzle, node
from devstack.world.database import access, copies, templates
from slipway.errors import SlipwayError
from slipway.judgements import rehearsal
from slipway.judgements.migration_text import MigrationText, folder_when, folders_sha256
from slipway.messages.migration import MigrationFinding, MigrationReview, ReviewMigrations
from slipway.messages.rehearsal import Rehearsal, RehearseMigrations
from slipway.plan import Database, Migrations, ReadCheck, Staging
from slipway.release import MigrationFile, MigrationSet
from tests.integration.data_world import Folder
from tests.integration.migration_corpus import CASES, Case

pytestmark = pytest.mark.stack

FOLDER = str(drizzle.MIGRATIONS)
APPLIED = ("20260101000000_platform", "20260301000000_impact_metrics")
LINES: list[str] = []

RUNNER = '''
"""Does what drizzle does: 0.x by the newest row, 1.x by name; says nothing about an error."""
import hashlib, json, os, pathlib, sys
import psycopg
from datetime import datetime, timezone

folder = pathlib.Path("packages/shared-schema/src/migrations")
ledger = "drizzle.__drizzle_migrations"
names = sorted(one.parent.name for one in folder.glob("*/migration.sql"))
found = [(one, folder / one / "migration.sql", None) for one in names]
if not names:
    journal = json.loads((folder / "meta" / "_journal.json").read_text())
    found = [(e["tag"], folder / (e["tag"] + ".sql"), e["when"]) for e in journal["entries"]]
try:
    with psycopg.connect(os.environ["DATABASE_URL"]) as connection:
        rows = connection.execute(f"SELECT to_jsonb(l) FROM {ledger} l").fetchall()
        newest = max((one[0]["created_at"] for one in rows), default=0)
        for tag, path, when in found:
            if when is None and any(one[0].get("name") == tag for one in rows):
                continue
            if when is not None and when <= newest:
                continue
            text = path.read_text()
            for part in text.split("--> statement-breakpoint"):
                connection.execute(part)
            at = when or int(datetime.strptime(tag[:14], "%Y%m%d%H%M%S").replace(
                tzinfo=timezone.utc).timestamp()) * 1000
            extra = ", name" if when is None else ""
            connection.execute(
                f"INSERT INTO {ledger} (hash, created_at{extra})"
                f" VALUES (%s, %s{', %s' if extra else ''})",
                [hashlib.sha256(text.encode()).hexdigest(), at, *([tag] if extra else [])])
except psycopg.Error:
    sys.exit(1)
'''


@pytest.fixture(scope="module")
def base(stack: Stack) -> Iterator[str]:
    """Name of a production database with the TEEI schema that every case copies."""
    name = f"c{uuid4().hex[:10]}"
    copies.ensure_production(stack, name, 10)
    yield name
    copies.drop_all(stack, name)


@pytest.fixture(scope="module", autouse=True)
def table(request: pytest.FixtureRequest) -> Iterator[None]:
    """Print what came of every case when all have run."""
    yield
    capturing = request.config.pluginmanager.getplugin("capturemanager")
    with capturing.global_and_fixture_disabled():
        print("\n" + "\n".join(LINES))


class Bench:
    """One case on databases of its own: production, its restored copy, staging's ledger."""

    def __init__(self, stack: Stack, base: str, case: Case, folder: Path) -> None:
        self.stack, self.case, self.folder = stack, case, folder
        self.name = f"{base}_{uuid4().hex[:6]}"
        self.deployment = f"production-20261123T202134Z-{uuid4().hex[:6]}"
        self.workspace = folder / "workspace"
        self.migrations = self.workspace / FOLDER
        drizzle.prepare(stack, self.workspace, "none")
        (self.workspace / "migrate.py").write_text(RUNNER)
        self._databases(base)
        self.texts = self._folders() if case.folders else self._journal()
        self.release = self._release()
        self._staging()

    def _databases(self, base: str) -> None:
        with access.taking_turns(self.stack) as connection:
            templates.create(connection, self.name, base)
        if self.case.folders:
            self.run(
                "ALTER TABLE drizzle.__drizzle_migrations"
                " ADD COLUMN name text, ADD COLUMN applied_at timestamptz"
            )
            for number, name in enumerate(APPLIED, 1):
                self.run(
                    "UPDATE drizzle.__drizzle_migrations SET name = %s, created_at = %s"
                    " WHERE id = %s",
                    values=(name, folder_when(name), number),
                )
        if self.case.ledger:
            self.run(self.case.ledger)
        with access.taking_turns(self.stack) as connection:
            templates.create(connection, self.side, self.name)
            connection.execute(
                sql.SQL("ALTER DATABASE {} ALLOW_CONNECTIONS false").format(
                    sql.Identifier(self.side)
                )
            )

    @property
    def side(self) -> str:
        """The restored backup."""
        return f"{self.name}_slipway_{self.deployment[-6:]}_1"

    def run(
        self, query: str, database: str | None = None, values: tuple[object, ...] = ()
    ) -> list[tuple[object, ...]]:
        """Look from outside."""
        with access.superuser(self.stack, database or self.name) as connection:
            cursor = connection.execute(query.encode(), values or None)
            return cursor.fetchall() if cursor.description else []

    def _journal(self) -> list[MigrationText]:
        case, path = self.case, self.migrations / "meta" / "_journal.json"
        journal = json.loads(path.read_text())
        newest = journal["entries"][-1]["when"]
        texts = []
        for number, text in enumerate(case.files):
            tag = f"{number + 2:04d}_case"
            when = newest + (case.whens[number] if case.whens else 1000 * (number + 1))
            entry = {"idx": number + 2, "version": "7", "when": when, "tag": tag}
            journal["entries"].append({**entry, "breakpoints": True})
            (self.migrations / f"{tag}.sql").write_text(text)
            texts.append(_text(tag, when, text))
        path.write_text(json.dumps(journal))
        if case.edit:
            self._edit()
        if case.missing:
            (self.migrations / f"{texts[-1].tag}.sql").unlink()
        return texts

    def _folders(self) -> list[MigrationText]:
        case = self.case
        for name, file in zip(APPLIED, ("0000_platform", "0001_impact_metrics"), strict=True):
            (self.migrations / name).mkdir()
            (self.migrations / f"{file}.sql").rename(self.migrations / name / "migration.sql")
        if not case.journal_too:
            (self.migrations / "meta" / "_journal.json").unlink()
        texts = []
        for name, text in zip(case.folders, case.files, strict=True):
            (self.migrations / name).mkdir()
            (self.migrations / name / "migration.sql").write_text(text)
            texts.append(_text(name, 0, text))
        if case.edit:
            self._edit()
        return texts

    def _edit(self) -> None:
        path = self.migrations / self.case.edit
        path.write_text(path.read_text() + "\n-- edited")

    def _release(self) -> MigrationSet:
        pinned = ""
        if self.case.folders:
            every = sorted(one.parent for one in self.migrations.glob("*/migration.sql"))
            read = [(one.name, (one / "migration.sql").read_text()) for one in every]
            pinned = folders_sha256([_text(name, 0, text) for name, text in read])
        else:
            content = (self.migrations / "meta" / "_journal.json").read_bytes()
            pinned = hashlib.sha256(content).hexdigest()
        return MigrationSet(
            workspace="artifact:workspace",
            journal_sha256=pinned,
            pending=[MigrationFile(tag=one.tag, sha256=one.hash) for one in self.texts],
        )

    def _staging(self) -> None:
        """Staging has applied everything, in another database."""
        name = f"{self.name}_staging"
        with access.taking_turns(self.stack) as connection:
            templates.create(connection, name)
        self.run(
            "CREATE SCHEMA drizzle; CREATE TABLE drizzle.__drizzle_migrations"
            " (id serial, hash text, created_at bigint);"
            "GRANT USAGE ON SCHEMA drizzle TO PUBLIC;"
            "GRANT SELECT ON ALL TABLES IN SCHEMA drizzle TO PUBLIC",
            name,
        )
        for one in self.texts:
            self.run(
                "INSERT INTO drizzle.__drizzle_migrations (hash, created_at) VALUES (%s, %s)",
                name,
                (one.hash, one.when),
            )

    def _ledger(self) -> list[tuple[object, ...]]:
        return self.run("SELECT * FROM drizzle.__drizzle_migrations ORDER BY id")

    def _url(self, role: str, database: str) -> str:
        return f"file:{access.url_file(self.stack, self.folder, role, database)}"

    async def judged(self) -> str:
        """Return what slipway says, as the corpus writes it."""
        url = self._url(access.ADMIN, self.name)
        database = Database(
            name=self.name,
            url=url,
            admin_url=self._url(access.ADMIN, access.CONTROL),
            probe_url=url,
            owner=access.OWNER,
        )
        checks = [ReadCheck(name="old code", sql=self.case.read)] if self.case.read else []
        plan = Migrations(
            command=[sys.executable, "migrate.py"], generate=[], read_checks=checks, deadline=60
        )
        postgres = Postgres(Path(self.stack.pg_bin))
        asked = ReviewMigrations(
            database=database,
            staging=Staging(
                namespace="s", database=self._url(access.ADMIN, f"{self.name}_staging")
            ),
            migrations=plan,
            release=self.release,
        )
        real = DatabaseMigrations(postgres, Folder(self.folder), Project())
        try:
            review: MigrationReview = await ActivityEnvironment().run(real.review, asked)
        except SlipwayError as error:
            return f"refuses {error.what}"
        if review.refused:
            return f"refuses {' '.join(review.refused)}"
        request = RehearseMigrations(
            deployment=self.deployment,
            database=database,
            migrations=plan,
            release=self.release,
            pending=review.pending,
            backup_key="k",
            taken_at=datetime.now(UTC),
            side_database=self.side,
            schema_sha256="0" * 64,
            tag="1",
        )
        before = self._ledger()
        rehearsals = Rehearsals(postgres, Folder(self.folder))
        seen: Rehearsal = await ActivityEnvironment().run(rehearsals.rehearse, request)
        assert self._ledger() == before
        return _said(review.findings, seen)

    def by_kit(self) -> str:
        """Run drizzle-kit for real on the same database; return what it did."""
        before = len(self._ledger())
        objects = self._schema()
        done = subprocess.run(
            ["pnpm", "db:migrate"],
            cwd=self.workspace,
            env=node.environment(
                self.stack,
                DATABASE_URL=access.url(self.stack, access.ADMIN, self.name)
                + f"?options=-c%20role%3D{access.OWNER}",
            ),
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
            stdin=subprocess.DEVNULL,
        )
        applied = len(self._ledger()) - before
        said = re.sub(r"\s+", " ", f"{done.stdout} {done.stderr}")
        if done.returncode == 0:
            return "ok" if applied == len(self.texts) else "skips silently"
        if self._schema() != objects:
            return "half done"
        told = re.search(r"(?<!ELIFECYCLE  Command )\b(error:|Error:|No file|violates)", said)
        return "fails" if told else "fails silently"

    def _schema(self) -> list[tuple[object, ...]]:
        return self.run(
            "SELECT table_name, column_name FROM information_schema.columns"
            " WHERE table_schema = 'public' ORDER BY 1, 2"
        )


def _text(tag: str, when: int, text: str) -> MigrationText:
    digest = hashlib.sha256(text.encode()).hexdigest()
    return MigrationText(tag=tag, when=when, hash=digest, sql=text)


def _said(linted: list[MigrationFinding], seen: Rehearsal) -> str:
    if seen.refused:
        return f"stops {' '.join(one.rule for one in seen.refused)}: {seen.error}"
    rules = {one.rule for one in [*linted, *seen.findings] if one.severity == "block"}
    return f"asks {' '.join(sorted(rules))}" if rules else "goes on"


@pytest.mark.parametrize("case", CASES, ids=lambda one: one.name)
async def test_slipway_finds_what_drizzle_kit_does_in_silence(
    stack: Stack, base: str, tmp_path: Path, case: Case, monkeypatch: pytest.MonkeyPatch
) -> None:
    if "locks" not in case.slipway:  # the others hold theirs as long as the machine takes to commit
        monkeypatch.setattr(rehearsal, "NOTICED", 60.0)
    bench = Bench(stack, base, case, tmp_path)
    said = await bench.judged()
    kit = "not run" if case.folders else bench.by_kit()
    LINES.append(f"{case.name:42} | {kit:16} | {said[:90]}")
    kind, _, words = case.slipway.partition(" ")
    assert said.startswith(kind), said
    assert words in said, said
    assert kit == case.kit or case.kit == "any", kit
    assert case.accept in said


def test_the_corpus_is_large_enough_and_names_every_kind_of_answer() -> None:
    assert len(CASES) >= 25
    assert {one.slipway.partition(" ")[0] for one in CASES} == {"refuses", "stops", "asks", "goes"}
    assert {one.accept for one in CASES if one.accept} <= set(Migrations().explicit_word)
