"""Rows that a rollback of the database set aside: written exactly and once, or not at all."""

import asyncio
import hashlib
import io
import json
import os
import signal
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest
import zstandard

from activities.adapters.postgres.adapter import Postgres
from activities.adapters.postgres.swap import Swapping
from devstack.layout import CHECKOUT
from slipway.errors import BadInput, Fenced, ForeignChange
from slipway.messages.reapply import Chosen, Reapplied, RowChoice, RowFile
from slipway.messages.record import BackupTaken
from tests.integration.data_world import DataWorld, lines_of
from tests.integration.reapply_world import MIGRATION, Case, rows_of, taken_back
from tests.integration.reapplying import REACHED
from tests.integration.test_lossless_rollback import _hang, roll_back, slots

pytestmark = pytest.mark.stack


def counts(done: Reapplied) -> dict[str, tuple[int, int, int, int, int]]:
    """Written, there, differing, refused, waiting, by table."""
    return {
        one.table.removeprefix("public."): (
            *(one.written, one.there, one.differs, one.refused, one.waits),
        )
        for one in done.tables
    }


async def test_every_row_is_written_as_production_had_it_once(world: DataWorld) -> None:
    case = await taken_back(world)
    before = world.run("SELECT t::text FROM users t ORDER BY 1")

    tried = await case.reapply()
    assert counts(tried)["zeros"] == (0, 0, 0, 3, 0)  # the old schema has no such table
    assert {one.because for one in tried.unwritten if one.table == "public.zeros"} == {
        "there is no table public.zeros to write to"
    }
    not_null = [one for one in tried.unwritten if one.sqlstate == "23502"]
    assert [one.table for one in not_null] == []  # its added columns come first
    assert world.run("SELECT t::text FROM users t ORDER BY 1") == before

    world.as_owner(MIGRATION)  # the next release has them again
    tried = await case.reapply()
    assert tried.whole is False  # what was tried is taken back: rows still wait for each other
    assert counts(tried)["users"] == (4, 0, 1, 0, 0)
    assert counts(tried)["gifts"] == (3, 0, 0, 0, 0)
    assert world.run("SELECT count(*) FROM gifts") == [(0,)]

    done = await case.reapply(apply=True, overwrite=True, fence=tried.fence)
    assert done.whole is False  # an order of nobody stands there already: told, not touched
    assert [one.kind for one in done.unwritten] == ["orphan"]
    assert counts(done)["users"] == (5, 0, 0, 0, 0)
    assert counts(done)["zeros"] == (3, 0, 0, 0, 0)
    assert counts(done)["boxes"] == (2, 0, 0, 0, 0)
    assert rows_of(world) == rows_of(world, case.done.kept_as)
    written = lines_of(world, done.outcomes_key)
    assert len(written) == 5 + 3 + 2 + 3 + 1
    assert {one["outcome"] for one in written} == {"applied", "refused"}

    again = await case.reapply(apply=True)
    assert [one[:2] for one in counts(again).values()] == [
        (0, 2),
        (0, 3),
        (0, 0),
        (0, 5),
        (0, 3),
    ]
    assert rows_of(world) == rows_of(world, case.done.kept_as)
    assert world.run("INSERT INTO zeros (what) VALUES ('next') RETURNING id") == [(7,)]


@pytest.mark.parametrize("where", ["finish", "retire_fallback"])
async def test_files_of_an_attempt_that_was_cut_off_are_those_of_the_next(
    world: DataWorld, where: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    reached = asyncio.Event()
    with monkeypatch.context() as patch:
        owner = {"finish": Swapping, "retire_fallback": Postgres}[where]
        _hang(patch, owner, where, reached)
        cut_off = asyncio.create_task(taken_back(world))
        async with asyncio.timeout(120):
            await reached.wait()
        cut_off.cancel()
        with pytest.raises(asyncio.CancelledError):
            await cut_off
    folder = f"{world.backup.prefix}records/production/{world.deployment}/"
    case = Case(world, await roll_back(world, _taken(world), folder=folder))
    assert (case.done.followed, case.done.aside) == (True, 11)
    assert len(case.files) == 1
    assert (await case.reapply()).tables
    assert slots(world) == []


def _taken(world: DataWorld) -> BackupTaken:
    return BackupTaken.model_validate_json((world.folder / "taken.json").read_text())


async def test_what_somebody_wrote_since_is_not_overwritten_unasked(world: DataWorld) -> None:
    case = await taken_back(world)
    world.as_owner(MIGRATION)
    world.as_owner("UPDATE users SET nickname = 'Newer' WHERE id = 7")
    done = await case.reapply(apply=True)
    assert counts(done)["users"] == (3, 0, 2, 0, 0)
    assert {one.key for one in done.unwritten if one.outcome == "differs"} == {'["7"]', '["8"]'}
    assert world.run("SELECT nickname FROM users WHERE id = 7") == [("Newer",)]
    await case.reapply(apply=True, overwrite=True)
    assert world.run("SELECT nickname FROM users WHERE id = 7") == [("Nick",)]


RENAMED = """
ALTER TABLE users ALTER email DROP NOT NULL; ALTER TABLE users RENAME email TO mail;
ALTER TABLE users RENAME TO people; ALTER TABLE orders ALTER user_id TYPE text;
ALTER TABLE orders RENAME user_id TO who;
"""


async def test_only_what_a_person_chooses_is_written(world: DataWorld) -> None:
    case = await taken_back(world)
    world.as_owner(MIGRATION)
    one, users = RowChoice(table="public.users", key=["7"]), RowChoice(table="public.users")
    zeros, slip = RowChoice(table="public.zeros"), RowChoice(table="public.user")
    for chosen in (Chosen(only=[zeros, slip]), Chosen(without=[slip])):
        with pytest.raises(BadInput, match=r"No row of the files is public\.user\."):
            await case.reapply(chosen=chosen, apply=True)
    assert world.run("SELECT count(*) FROM zeros") == [(0,)]

    whole = counts(await case.reapply())
    but_one = counts(await case.reapply(chosen=Chosen(without=[one])))
    assert sum(whole["users"]) - sum(but_one["users"]) == 1
    assert {**whole, "users": but_one["users"]} == but_one

    chosen = Chosen(only=[zeros, users], without=[one])
    done = await case.reapply(chosen=chosen, apply=True, overwrite=True)
    assert {"zeros", "users"} == counts(done).keys()
    assert counts(done)["zeros"] == (3, 0, 0, 0, 0)
    assert sum(counts(done)["users"]) == sum(whole["users"]) - 1
    assert world.run("SELECT count(*) FROM gifts") == [(0,)]
    assert world.run("SELECT nickname FROM users WHERE id = 7") != [("Nick",)]
    await case.reapply(chosen=Chosen(only=[one]), apply=True)
    assert world.run("SELECT nickname FROM users WHERE id = 7") == [("Nick",)]


async def test_renamed_things_are_found_by_whatever_name_they_have(world: DataWorld) -> None:
    world.as_owner("ALTER TABLE orders DROP CONSTRAINT orders_user_id_fkey")
    writes = "INSERT INTO people (mail) VALUES (NULL); INSERT INTO orders VALUES (9001, 'nobody')"
    case = await taken_back(world, RENAMED, writes)
    assert case.done.conflicts == 2
    world.as_owner("ALTER TABLE users ALTER email DROP NOT NULL")  # the old schema, widened
    done = await case.reapply(apply=True)
    assert counts(done)["users"] == (1, 0, 0, 0, 0)
    assert [(one.table, one.sqlstate) for one in done.unwritten] == [("public.orders", "22P02")]
    world.as_owner(RENAMED.replace("ALTER TABLE users ALTER email DROP NOT NULL;", ""))
    done = await case.reapply(apply=True)
    assert counts(done) == {"people": (0, 1, 0, 0, 0), "orders": (1, 0, 0, 0, 0)}
    for query in ("SELECT t::text FROM people t ORDER BY 1", "SELECT * FROM orders ORDER BY 1"):
        assert world.run(query) == world.run(query, case.done.kept_as)


async def test_what_would_be_stored_otherwise_is_refused(world: DataWorld) -> None:
    case = await taken_back(world)
    world.as_owner(MIGRATION.replace("numeric(6, 2)", "numeric(6, 1)"))
    world.as_owner(
        "CREATE FUNCTION louder() RETURNS trigger LANGUAGE plpgsql AS"
        " $$ BEGIN NEW.what = upper(NEW.what); RETURN NEW; END $$;"
        "CREATE TRIGGER louder BEFORE INSERT ON zeros FOR EACH ROW EXECUTE FUNCTION louder();"
        "ALTER TABLE boxes ADD CHECK (open IS NOT NULL)"
    )
    done = await case.reapply(apply=True)
    why = {(one.table, one.key): (one.sqlstate, one.because) for one in done.unwritten}
    assert why["public.zeros", '["5"]'] == (
        "",
        "what would be stored otherwise than production had it",
    )
    assert why["public.boxes", '["2"]'][0] in ("23514", "23503")
    assert ("public.zeros", '["4"]') in why  # it refers to the one that was refused
    assert world.run("SELECT count(*) FROM boxes WHERE id = 2") == [(0,)]


async def test_a_killed_worker_s_rows_are_found_and_the_rest_is_written(
    world: DataWorld, tmp_path: Path
) -> None:
    case = await taken_back(
        world,
        "CREATE TABLE gifts (id int, what text); CREATE TABLE kept (id int PRIMARY KEY, w text)",
        "INSERT INTO gifts SELECT 1, 'same' FROM generate_series(1, 700);"
        "INSERT INTO kept SELECT n, 'n' || n FROM generate_series(1, 700) n",
    )
    world.as_owner("CREATE TABLE gifts (id int, what text)")
    world.as_owner("CREATE TABLE kept (id int PRIMARY KEY, w text)")
    for transaction, written in ((3, 100), (19, 900)):  # of 50 rows each
        await _killed_in(case, tmp_path, transaction)
        assert world.run("SELECT (SELECT count(*) FROM gifts) + (SELECT count(*) FROM kept)") == [
            (written,)
        ]
    done = await case.reapply(apply=True)
    assert counts(done)["gifts"][1] + counts(done)["kept"][1] >= 900
    for query in (
        "SELECT t::text FROM gifts t ORDER BY 1",
        "SELECT t::text FROM kept t ORDER BY 1",
    ):
        assert world.run(query) == world.run(query, case.done.kept_as)


async def _killed_in(case: Case, folder: Path, transaction: int) -> None:
    """Write rows in another process, and kill it outright in a transaction."""
    world, request = case.world, folder / "request.json"
    request.write_text(case.request(apply=True).model_dump_json())
    stack = folder / "stack.json"
    stack.write_text(json.dumps(asdict(world.stack)))
    child = await asyncio.create_subprocess_exec(
        sys.executable,
        *("-m", "tests.integration.reapplying", str(stack), world.name, str(folder), str(request)),
        str(transaction),
        cwd=CHECKOUT,
        env={**os.environ, "PYTHONPATH": str(CHECKOUT)},
        stdout=asyncio.subprocess.PIPE,
    )
    assert child.stdout is not None
    said = await asyncio.wait_for(child.stdout.readline(), 300)
    assert said.decode().strip() == REACHED, "it ended before it was killed"
    child.send_signal(signal.SIGKILL)
    assert await child.wait() == -signal.SIGKILL


async def test_it_stops_at_a_later_decision_and_waits_for_nobody(world: DataWorld) -> None:
    case = await taken_back(world)
    tried = await case.reapply()
    admin = world.postgres.target(world.database.admin_url)
    async with world.postgres.session(admin, "change") as session:
        await session.execute(
            "UPDATE slipway.fence SET fence = fence + 4 WHERE database = %s", [world.name]
        )
        with pytest.raises(Fenced, match="migrated or taken back meanwhile"):
            await case.reapply(apply=True, fence=tried.fence)
        await session.execute(
            "SELECT pg_advisory_lock(20905, hashtext(%s))", [f"change {world.name}"]
        )
        with pytest.raises(ForeignChange, match="just now"):
            await case.reapply()
    assert (await case.reapply()).fence == tried.fence + 4


def _packed(*lines: Any) -> bytes:
    text = b"".join(
        one if isinstance(one, bytes) else json.dumps(one).encode() + b"\n" for one in lines
    )
    return zstandard.ZstdCompressor().compress(text)


async def _given(case: Case, content: bytes, number: int = 0) -> Reapplied:
    key = f"{case.place.folder}artefacts/given-{number}.zst"
    case.world.s3.upload_fileobj(io.BytesIO(content), case.world.stack.bucket, key)
    file = RowFile(key=key, sha256=hashlib.sha256(content).hexdigest())
    return await case.reapply(files=[file], apply=True, overwrite=True)


async def test_only_rows_of_tables_are_written_whatever_a_file_says(world: DataWorld) -> None:
    case = await taken_back(world)
    row = {"kind": "missing", "row": {"id": "1", "hash": "h", "created_at": "1"}}
    odd = 'public.users"; DROP TABLE users; --'
    tables = ["drizzle.__drizzle_migrations", "pg_catalog.pg_class", "slipway_fallback.x", odd]
    lines = [{**row, "table": one} for one in tables]
    lines += [
        {"kind": "missing", "table": "public.orders", "row": {"id": "77", 'x" = 1; --': "1"}},
        {"kind": "missing", "table": "public.orders", "row": {"id": "not a number"}},
        {"kind": "missing", "table": "public.orders", "row": {"id": "78", "user_id": "\x00"}},
        {"kind": "missing", "table": "public.orders", "row": {"id": "\ud800"}},
        {"kind": "missing", "table": "public.orders", "row": {"user_id": "1"}},
    ]
    before = world.run("SELECT count(*) FROM orders")
    done = await _given(case, _packed(*lines))
    assert sum(one.refused for one in done.tables) == len(lines)
    assert world.run("SELECT count(*) FROM orders") == before
    assert {one.sqlstate for one in done.unwritten} >= {"22P02", "22021"}


NO_FILES = {
    "packed": b"no zstandard",
    "cut": _packed(b'{"kind": "missing", "table": "public.orders", "row": {"id"'),
    "deep": _packed(b"[" * 100_000 + b"\n"),
    "list": _packed(["a list"]),
    "kind": _packed({"kind": "new kind", "table": "public.orders"}),
    "value": _packed({"kind": "missing", "table": "public.orders", "row": {"id": {"deep": 1}}}),
    "operation": _packed({"kind": "refused", "table": "public.orders", "operation": "merge"}),
}


async def test_what_is_no_file_of_rows_is_refused_as_a_whole(world: DataWorld) -> None:
    for number, content in enumerate(NO_FILES.values()):
        with pytest.raises(BadInput, match="is no file of rows"):
            await _given(Case(world), content, number)


async def test_an_altered_file_and_one_of_elsewhere_are_refused(world: DataWorld) -> None:
    case = await taken_back(world)
    (file,) = case.files
    with pytest.raises(ForeignChange, match="was altered"):
        await case.reapply(files=[file.model_copy(update={"sha256": "0" * 64})])
    gone = RowFile(key=f"{case.place.folder}artefacts/gone.zst", sha256="0" * 64)
    with pytest.raises(ForeignChange, match="is gone"):
        await case.reapply(files=[gone])
    elsewhere = RowFile(key=f"{case.place.prefix}manifests/x", sha256="0" * 64)
    with pytest.raises(BadInput, match="no artefact"):
        await case.reapply(files=[elsewhere])
