"""A database that was taken back with every later write, and the rows that were set aside."""

from dataclasses import dataclass
from typing import Any

from temporalio.testing import ActivityEnvironment

from activities.reapply import Reapply
from slipway.messages.migration import DatabaseRolledBack
from slipway.messages.reapply import Reapplied, ReapplyFiles, RowFile
from slipway.messages.record import Place
from tests.integration.data_world import DataWorld, digest
from tests.integration.test_lossless_rollback import LEDGER, roll_back, take

MIGRATION = """
ALTER TABLE users ADD nickname text, ADD score numeric(6, 2) NOT NULL DEFAULT 1.50, ADD note json;
ALTER TABLE users ALTER email DROP NOT NULL;
ALTER TABLE orders DROP CONSTRAINT orders_user_id_fkey;
CREATE TABLE zeros (id serial PRIMARY KEY, parent int REFERENCES zeros (id), what text);
CREATE TABLE boxes (id int PRIMARY KEY, zero int NOT NULL REFERENCES zeros (id), open boolean);
CREATE TABLE gifts (id int, what text);
"""
WRITES = """
INSERT INTO users (email, nickname, score) VALUES (NULL, 'Nobody', 12.30), (NULL, NULL, 1.50);
INSERT INTO users (email, note) VALUES ('n@teei.example', '{"b": 1,  "a": 1.50}');
UPDATE users SET nickname = 'Nick' WHERE id = 7;
UPDATE users SET email = NULL WHERE id = 8;
INSERT INTO orders VALUES (9001, 999999);
INSERT INTO zeros VALUES (5, NULL, 'first'), (4, 5, 'refers to a later one'), (6, 4, NULL);
INSERT INTO boxes VALUES (1, 6, true), (2, 5, NULL);
INSERT INTO gifts VALUES (1, 'same'), (1, 'same'), (2, E'quote '' and \\\\ and \\n');
"""


def rows_of(world: DataWorld, database: str | None = None) -> dict[str, list[Any]]:
    """The content of what the migration is about, as text."""
    tables = ("users", "zeros", "boxes", "gifts")
    query = "SELECT t::text FROM {} t ORDER BY 1"
    return {one: world.run(query.format(one), database) for one in tables}


_NOTHING = DatabaseRolledBack(
    changed=False, schema_equal=True, rows_equal=True, because="nothing was taken back"
)


@dataclass
class Case:
    """A rollback that set rows aside."""

    world: DataWorld
    done: DatabaseRolledBack = _NOTHING

    @property
    def place(self) -> Place:
        return Place(
            bucket=self.world.stack.bucket,
            prefix=self.world.backup.prefix,
            environment="production",
            deployment=self.world.deployment,
        )

    @property
    def files(self) -> list[RowFile]:
        pairs = [
            (self.done.conflicts_key, self.done.conflicts_sha256),
            (self.done.lost_key, self.done.lost_sha256),
        ]
        return [RowFile(key=key, sha256=sha) for key, sha in pairs if key]

    def request(self, **more: Any) -> ReapplyFiles:
        return ReapplyFiles(
            place=self.place,
            database=self.world.database,
            ledger=LEDGER,
            files=more.pop("files", None) or self.files,
        ).model_copy(update=more)

    async def reapply(self, **more: Any) -> Reapplied:
        activity = Reapply(self.world.postgres, self.world.store).reapply
        return await ActivityEnvironment().run(activity, self.request(**more))


async def taken_back(world: DataWorld, migration: str = MIGRATION, writes: str = WRITES) -> Case:
    """Back up, migrate, write, and take the database back."""
    taken = await take(world)
    (world.folder / "taken.json").write_text(taken.model_dump_json())  # for another attempt
    world.as_owner(migration)
    world.run(
        "INSERT INTO drizzle.__drizzle_migrations (hash, created_at) VALUES (%s, 1800000000000)",
        values=[digest(migration)],
    )
    world.as_owner(writes)
    folder = f"{world.backup.prefix}records/production/{world.deployment}/"
    return Case(world, await roll_back(world, taken, folder=folder))
