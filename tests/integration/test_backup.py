"""Backups on a real server and bucket: proved, stored, idempotent, and gone when they fail."""

import asyncio
import os
import re
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import boto3
import pytest
from botocore.config import Config
from botocore.exceptions import ClientError
from temporalio.testing import ActivityEnvironment

from activities.adapters.object_store import ObjectStore
from activities.adapters.postgres import catalog as postgres_catalog
from activities.adapters.postgres import dump as postgres_dump
from activities.adapters.postgres import extent as postgres_extent
from activities.adapters.postgres import progress as postgres_progress
from activities.adapters.postgres import roles as postgres_roles
from activities.backups import Backups
from devstack.world.database import access
from slipway.digest import canonical
from slipway.errors import BackupFailed, BackupNotRestorable, BadInput, SlipwayError
from slipway.judgements.backup import faults_of, sealed
from slipway.messages.backup import Manifest
from slipway.messages.record import BackupTaken
from tests.integration.cutting import cut_off
from tests.integration.data_world import DataWorld, until

pytestmark = pytest.mark.stack


async def _take(world: DataWorld, store: ObjectStore | None = None, tag: str = "1") -> Any:
    backups = Backups(world.postgres, store or world.store)
    return await ActivityEnvironment().run(backups.take, world.take(tag))


async def test_backup_restores_equals_and_is_locked(world: DataWorld) -> None:
    taken = await _take(world)

    assert taken.restored_ok
    assert taken.rows == 2000 + 3000 + 50 + 500 + 1
    tables = {one.table: one.rows for one in taken.tables}
    assert tables["public.events_old"] + tables["public.events_new"] == 3000
    assert "public.events" not in tables  # its rows are its partitions'
    assert taken.key.startswith(f"{world.backup.prefix}prod-backup-2")
    roles = taken.key.replace(".dump.zst", ".globals.sql")
    assert sorted(world.keys()) == sorted([taken.key, roles, taken.manifest_key])
    assert world.databases() == [world.name, taken.side_database]
    head = world.s3.head_object(Bucket=world.stack.bucket, Key=taken.key)
    assert head["ObjectLockMode"] == "COMPLIANCE"
    with pytest.raises(ClientError):
        world.s3.delete_object(
            Bucket=world.stack.bucket, Key=taken.key, VersionId=head["VersionId"]
        )


async def test_side_database_carries_settings_and_grants_and_is_closed(world: DataWorld) -> None:
    taken = await _take(world)

    query = (
        "SELECT setconfig FROM pg_db_role_setting s JOIN pg_database d ON d.oid = s.setdatabase"
        " WHERE datname = '{}'"
    )
    production = world.run(query.format(world.name), "postgres")
    assert sorted(production[0][0]) == sorted(
        world.run(query.format(taken.side_database), "postgres")[0][0]
    )
    query = "SELECT datallowconn, datacl::text FROM pg_database WHERE datname = '{}'"
    opened, grants = world.run(query.format(taken.side_database), "postgres")[0]
    assert opened is False
    assert "teei_app=c" in grants
    assert "=Tc/" not in grants.split(",")[0]  # PUBLIC may not connect


async def test_dump_sees_what_another_sessions_snapshot_sees(world: DataWorld) -> None:
    before = datetime.now(UTC)
    with world.superuser() as holder:
        holder.execute("BEGIN ISOLATION LEVEL REPEATABLE READ")
        found = holder.execute("SELECT pg_export_snapshot()").fetchone() or ("",)
        world.run("INSERT INTO keyless VALUES ('later'); CREATE TABLE late (id int)")
        world.run("CREATE PUBLICATION everything FOR TABLE users")
        async with world.postgres.copying(world.database, f"{world.name}_slipway_snap_1") as work:
            dumped = await work.dump(snapshot=str(found[0]), taken_at=before)
            plain = await work.read_back(dumped.packed)
            await work.restore(plain, "teei_owner", dumped.tables, dumped.schema_sha256)
    assert dumped.taken_at == before
    rows = {one.table: one.rows for one in dumped.tables}
    assert rows["public.keyless"] == 50
    assert "public.late" not in rows
    world.run(f"ALTER DATABASE {work.name} ALLOW_CONNECTIONS true", "postgres")
    assert world.run("SELECT count(*) FROM pg_publication", work.name) == [(0,)]


async def test_snapshot_that_nobody_holds_is_refused(world: DataWorld) -> None:
    with pytest.raises(SlipwayError, match="snapshot"):
        async with world.postgres.copying(world.database, f"{world.name}_slipway_gone_1") as work:
            await work.dump(snapshot="00000003-00000002-1")
    assert world.databases() == [world.name]


async def test_slipways_own_schema_is_in_no_backup(world: DataWorld) -> None:
    before = await world.postgres.state(world.database, "drizzle.__drizzle_migrations")
    world.run("CREATE SCHEMA slipway_fallback CREATE TABLE applied (lsn bigint)")
    world.run("CREATE PUBLICATION slipway FOR TABLE users")
    after = await world.postgres.state(world.database, "drizzle.__drizzle_migrations")
    assert after.schema_sha256 == before.schema_sha256
    taken = await _take(world)
    assert "slipway_fallback.applied" not in {one.table for one in taken.tables}
    assert taken.schema_sha256 == before.schema_sha256


async def test_same_backup_again_returns_the_first(world: DataWorld) -> None:
    first = await _take(world)
    assert await _take(world) == first
    assert len(world.keys()) == 3
    second = await _take(world, tag="2")
    assert second.side_database != first.side_database


async def test_leftovers_of_a_killed_attempt_are_replaced(world: DataWorld) -> None:
    left = f"{world.name}_slipway_{world.name[-6:]}_1"
    world.run(f"CREATE DATABASE {left} OWNER teei_owner", "postgres")
    assert (await _take(world)).restored_ok


@pytest.mark.parametrize("stage", ["dump", "restore", "upload"])
async def test_cancelled_backup_leaves_nothing(
    world: DataWorld, stage: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    reached = asyncio.Event()
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    store = world.store
    if stage == "dump":
        _pause_before(monkeypatch, postgres_catalog, "fingerprints", reached)
    elif stage == "restore":
        _pause_before(monkeypatch, postgres_dump, "restore", reached)
    else:
        _pause_before(monkeypatch, store, "sha256_of", reached)
    await cut_off(_take(world, store), reached)
    assert world.databases() == [world.name]
    assert world.keys() == []
    assert not [one for one in os.listdir(tmp_path) if one.startswith("slipway-")]
    await until(lambda: not world.sessions())  # a backend notices its client's end in a moment


def _pause_before(
    monkeypatch: pytest.MonkeyPatch, owner: Any, name: str, reached: asyncio.Event
) -> None:
    real = getattr(owner, name)

    async def paused(*args: Any, **kwargs: Any) -> Any:
        reached.set()
        await asyncio.Event().wait()
        return await real(*args, **kwargs)

    monkeypatch.setattr(owner, name, paused)


class Altering(ObjectStore):
    """A store in which somebody writes over the dump right after its upload."""

    async def put_file(self, bucket: str, key: str, file: Path, told: Any = None) -> str:
        version = await super().put_file(bucket, key, file, told)
        await self.call("put_object", Bucket=bucket, Key=key, Body=b"something else")
        return version


async def test_altered_upload_is_no_backup(world: DataWorld) -> None:
    with pytest.raises(BackupFailed, match="read back is not what was uploaded"):
        await _take(world, Altering(world.s3))
    assert world.databases() == [world.name]
    assert len(world.keys()) == 1  # the foreign object, and no manifest


async def test_how_far_it_has_come_is_told_with_numbers(
    world: DataWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(postgres_progress, "_EVERY", 0.02)
    told: list[str] = []
    real_restore, real_contents = postgres_dump.restore, postgres_extent.contents

    async def restore(postgres: Any, side: Any, plain: Path) -> None:
        await real_restore(postgres, side, plain)
        await until(
            lambda: any(one.startswith(f"restoring into {side.database}: ") for one in told)
        )

    async def contents(session: Any) -> Any:
        found = await real_contents(session)
        await until(lambda: any(one.startswith("dumping: ") for one in told))
        return found

    monkeypatch.setattr(postgres_dump, "restore", restore)
    monkeypatch.setattr(postgres_dump, "contents", contents)
    async with world.postgres.copying(world.database, f"{world.name}_slipway_far_1") as work:
        work.say = told.append
        dumped = await work.dump()
        await work.prove(await work.read_back(dumped.packed), "teei_owner", dumped)
    assert any(re.search(r"^dumping: [\d.]+ of [\d.]+ MiB", one) for one in told)
    assert any(re.search(r"^restoring into \S+: [\d.]+ of [\d.]+ MiB", one) for one in told)


async def test_truncated_dump_is_no_backup(world: DataWorld, tmp_path: Path) -> None:
    async with world.postgres.copying(world.database, f"{world.name}_slipway_cut_1") as work:
        dumped = await work.dump()
        whole = dumped.packed.file.read_bytes()
        for kept in (0, len(whole) // 2, len(whole) - 1):
            dumped.packed.file.write_bytes(whole[:kept])
            with pytest.raises(BackupNotRestorable, match=r"cut short|damaged"):
                await work.read_back(dumped.packed)
        dumped.packed.file.write_bytes(whole)
        assert (await work.read_back(dumped.packed)).stat().st_size == dumped.packed.plain_size


async def test_copy_that_differs_is_no_backup(
    world: DataWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = postgres_dump.restore

    async def lossy(postgres: Any, side: Any, plain: Path) -> None:
        await real(postgres, side, plain)
        world.run(
            "DELETE FROM keyless WHERE ctid IN (SELECT ctid FROM keyless LIMIT 1)", side.database
        )

    monkeypatch.setattr(postgres_dump, "restore", lossy)
    with pytest.raises(BackupNotRestorable, match=r"public.keyless has 49 rows instead of 50"):
        await _take(world)
    assert world.databases() == [world.name]


async def test_schema_that_cannot_be_restored_is_no_backup(world: DataWorld) -> None:
    # a constraint whose function finds its table only with a search_path: no restore
    world.as_owner(
        "SET search_path = public; CREATE TABLE rates (x int);"
        "CREATE FUNCTION rate(int) RETURNS int IMMUTABLE LANGUAGE sql AS"
        " 'SELECT coalesce(max(x), $1) FROM rates';"
        "ALTER TABLE orders ADD CHECK (rate(id) >= 0);"
    )
    with pytest.raises(BackupNotRestorable, match="rates"):
        await _take(world)
    assert world.databases() == [world.name]
    assert world.keys() == []


async def test_side_database_is_dropped_only_if_slipway_made_it(world: DataWorld) -> None:
    taken = await _take(world)
    assert await world.postgres.drop_side(world.database, taken.side_database)
    assert not await world.postgres.drop_side(world.database, taken.side_database)
    with pytest.raises(BadInput):
        await world.postgres.drop_side(world.database, world.name)
    assert world.databases() == [world.name]


async def test_dead_store_is_told_in_one_sentence(world: DataWorld) -> None:

    client = boto3.client(
        "s3",
        endpoint_url="http://127.0.0.1:9",
        aws_access_key_id="x",
        aws_secret_access_key="y",
        region_name="us-east-1",
        config=Config(retries={"max_attempts": 0}, connect_timeout=1),
    )
    with pytest.raises(SlipwayError, match="object store did not answer") as caught:
        await _take(world, ObjectStore(client))
    assert not caught.value.final


async def test_everything_a_dump_carries_is_proved_and_the_rest_is_named(world: DataWorld) -> None:
    world.as_owner(
        "CREATE UNLOGGED TABLE scratch AS SELECT 1 AS n;"
        "SELECT lo_from_bytea(0, decode(repeat('ab', 5000), 'hex'));"
        "CREATE MATERIALIZED VIEW stale AS SELECT count(*) AS n FROM keyless;"
        "INSERT INTO keyless VALUES ('later');"
        "CREATE SEQUENCE round CYCLE MAXVALUE 3; SELECT nextval('round');"
    )
    world.run("CREATE PUBLICATION outward FOR TABLE users (id, email) WHERE (id > 7), keyless")
    world.run("CREATE PUBLICATION slipway_fallback_x FOR ALL TABLES")
    taken = await _take(world)
    tables = {one.table: one.rows for one in taken.tables}
    assert tables["public.scratch"] == 1
    assert tables["pg_catalog.pg_largeobject_metadata"] == 1
    assert [one.partition(":")[0] for one in taken.not_covered] == [
        "cycling sequence public.round",
        "materialized view public.stale",
    ]
    manifest = _manifest(world, taken)
    assert manifest.identity is not None
    query = "SELECT oid FROM pg_database WHERE datname = current_database()"
    assert world.run(query) == [(manifest.identity.oid,)]
    assert [one.name for one in manifest.publications] == ["outward"]
    definition = manifest.publications[0].definition
    assert "(id, email) WHERE ((id > 7))" in definition
    world.run("DROP PUBLICATION outward")
    world.run(definition)  # it is SQL that the server takes
    assert faults_of(manifest, taken.manifest_key, world.backup.prefix, datetime.now(UTC)) == []


def _manifest(world: DataWorld, taken: BackupTaken) -> Manifest:
    found = world.s3.get_object(Bucket=world.stack.bucket, Key=taken.manifest_key)
    return Manifest.model_validate_json(found["Body"].read())


async def test_changed_large_object_is_a_difference(world: DataWorld) -> None:
    oid = world.run("SELECT lo_from_bytea(0, 'before')")[0][0]
    world.run(f"ALTER LARGE OBJECT {oid} OWNER TO teei_owner")
    taken = await _take(world)
    side = taken.side_database
    world.run(f"ALTER DATABASE {side} ALLOW_CONNECTIONS true", "postgres")
    tables, schema = taken.tables, taken.schema_sha256
    assert await world.postgres.differing(world.database, side, tables, schema) == []
    world.run(f"SELECT lo_put({oid}, 0, 'after!')", side)
    found = await world.postgres.differing(world.database, side, tables, schema)
    assert found == ["pg_catalog.pg_largeobject_metadata has 1 rows with other content"]


async def test_sequence_that_would_give_numbers_again_is_no_backup(
    world: DataWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = postgres_dump.restore

    async def rewinding(postgres: Any, side: Any, plain: Path) -> None:
        await real(postgres, side, plain)
        world.run("SELECT setval('users_id_seq', 5)", side.database)

    monkeypatch.setattr(postgres_dump, "restore", rewinding)
    with pytest.raises(BackupNotRestorable, match=r"users_id_seq stands at 5 instead of 2000"):
        await _take(world)


async def test_roles_are_kept_without_passwords(world: DataWorld) -> None:
    taken = await _take(world)
    manifest = _manifest(world, taken)
    assert manifest.roles is not None
    head = world.s3.head_object(Bucket=world.stack.bucket, Key=manifest.roles.key)
    assert head["ObjectLockMode"] == "COMPLIANCE"
    text = world.s3.get_object(Bucket=world.stack.bucket, Key=manifest.roles.key)["Body"].read()
    for wanted in (
        "CREATE ROLE teei_owner;",
        "GRANT teei_owner TO slipway_admin",
        f'ALTER DATABASE "{world.name}" SET "search_path" = public, drizzle;',
        f'GRANT CONNECT ON DATABASE "{world.name}" TO "teei_app";',
    ):
        assert wanted.encode() in text
    assert b"SCRAM-SHA-256" not in text
    assert b"PASSWORD" not in text.upper().replace(b"PASSWORDS", b"")


async def test_roles_by_catalog_are_sql_that_the_server_takes(world: DataWorld) -> None:
    async with world.postgres.session(world.postgres.target(world.database.admin_url)) as admin:
        text = await postgres_roles.by_catalog(admin)
    assert 'CREATE ROLE "teei_owner"' in text
    stay = {access.OWNER, *access.LOGINS}  # other tests' roles may go meanwhile
    with (
        access.taking_turns(world.stack) as connection,
        connection.transaction(force_rollback=True),
    ):
        for line in text.splitlines():
            if not set(re.findall(r'"([^"]+)"', line.partition(" SET ")[0])) <= stay:
                continue
            known = line.startswith("CREATE ROLE")  # of those only what follows can be tried
            connection.execute((line.partition(";")[2] if known else line).encode())


async def test_manifest_of_another_database_is_not_taken_for_this_ones(world: DataWorld) -> None:
    taken = await _take(world)
    manifest = _manifest(world, taken)
    assert manifest.identity is not None
    other = manifest.model_copy(
        update={"identity": manifest.identity.model_copy(update={"oid": 1})}
    )
    world.s3.put_object(
        Bucket=world.stack.bucket, Key=taken.manifest_key, Body=canonical(sealed(other))
    )
    with pytest.raises(BackupFailed, match="of another database that was called"):
        await _take(world)
    altered = manifest.model_copy(update={"requester": "somebody"})
    world.s3.put_object(Bucket=world.stack.bucket, Key=taken.manifest_key, Body=canonical(altered))
    with pytest.raises(BackupFailed, match="altered after it was written"):
        await _take(world)
