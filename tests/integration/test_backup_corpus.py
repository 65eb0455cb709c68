"""At least three of each way a backup can be bad: none is accepted, no good one is refused.

Each is tried where it would be used: `verify`, `restore-to`, and the rollback's restore from the
bucket; those that go wrong while they are made, by taking them. Beside them stands what the
playbook's own check (`pg_restore --list`) says.
"""

import os
import resource
import stat
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path

import pytest
import pytest_asyncio
from temporalio.testing import ActivityEnvironment

from activities.adapters.postgres.adapter import Postgres
from activities.backups import Backups
from activities.database import DatabaseRollback
from activities.shelf import Shelf
from devstack.stack import Stack
from slipway.digest import canonical
from slipway.errors import SlipwayError
from slipway.judgements.backup import dump_key, sealed
from slipway.messages.backup import Manifest
from slipway.messages.shelf import RestoreBackup
from tests.integration import corpus
from tests.integration.corpus import Good, Kit, flipped, kit, packed, with_plain
from tests.integration.data_world import DataWorld, data_world

pytestmark = [pytest.mark.stack, pytest.mark.asyncio(loop_scope="module")]

TABLE: list[tuple[str, str, str, str]] = []
"""Class, damage, who found it, what the playbook's check says."""


@dataclass
class Shop:
    """One world with an older and a newer backup, dumps of other things, and a counter."""

    world: DataWorld
    old: Good
    new: Good
    empty: bytes
    """A dump of the same database without its rows."""
    part: bytes
    """A dump that lacks one table."""
    other: bytes
    """A dump of another database."""
    unrestorable: bytes
    folder: Path
    number: int = 0

    def next(self) -> int:
        self.number += 1
        return self.number


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def shop(stack: Stack, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Shop]:
    folder = tmp_path_factory.mktemp("corpus")
    with data_world(stack, folder) as world:
        world.as_owner("DELETE FROM users WHERE id > 700; DELETE FROM events WHERE id > 100;")
        world.as_owner("SELECT lo_from_bytea(0, 'a large object')")
        backups = Backups(world.postgres, world.store)
        first = await ActivityEnvironment().run(backups.take, world.take("1"))
        world.as_owner("INSERT INTO keyless SELECT 'newer' FROM generate_series(1, 9)")
        second = await ActivityEnvironment().run(backups.take, world.take("2"))
        for side in (first.side_database, second.side_database):
            await world.postgres.drop_side(world.database, side)
        old, new = corpus.read(world, first), corpus.read(world, second)
        yield Shop(
            world,
            old,
            new,
            corpus.dumped(world, "--schema-only"),
            corpus.dumped(world, "--exclude-table-data=orders"),
            corpus.dumped(world, database="postgres"),
            _unrestorable(world),
            folder,
        )


def _unrestorable(world: DataWorld) -> bytes:
    world.as_owner(UNRESTORABLE["check"])
    try:
        return corpus.dumped(world)
    finally:
        world.as_owner(CLEARED)


UNRESTORABLE = {
    "check": "SET search_path = public; CREATE TABLE rates (x int);"
    " CREATE FUNCTION rate(int) RETURNS int IMMUTABLE LANGUAGE sql AS"
    " 'SELECT coalesce(max(x), $1) FROM rates';"
    " ALTER TABLE orders ADD CONSTRAINT doomed CHECK (rate(id) >= 0);",
    "generated column": "SET search_path = public; CREATE TABLE rates (x int);"
    " CREATE FUNCTION rate(int) RETURNS int IMMUTABLE LANGUAGE plpgsql AS"
    " 'BEGIN RETURN (SELECT coalesce(max(x), $1) FROM rates); END';"
    " CREATE TABLE doomed (a int, b int GENERATED ALWAYS AS (rate(a)) STORED);"
    " INSERT INTO doomed VALUES (1);",
    "materialized view": "SET search_path = public; CREATE TABLE rates (x int);"
    " INSERT INTO rates VALUES (1);"
    " CREATE MATERIALIZED VIEW doomed_view AS SELECT 1 / x AS y FROM rates;"
    " UPDATE rates SET x = 0;",
    "rows against a later check": "SET search_path = public; CREATE TABLE rates (x int);"
    " CREATE FUNCTION rate(int) RETURNS boolean IMMUTABLE LANGUAGE sql AS 'SELECT $1 > 0';"
    " ALTER TABLE rates ADD CHECK (rate(x)); INSERT INTO rates VALUES (1);"
    " CREATE OR REPLACE FUNCTION rate(int) RETURNS boolean IMMUTABLE LANGUAGE sql AS"
    " 'SELECT $1 > 5';",
}
CLEARED = """
ALTER TABLE public.orders DROP CONSTRAINT IF EXISTS doomed;
DROP MATERIALIZED VIEW IF EXISTS public.doomed_view; DROP TABLE IF EXISTS public.doomed;
DROP TABLE IF EXISTS public.rates CASCADE; DROP FUNCTION IF EXISTS public.rate(int) CASCADE"""

Make = Callable[[Shop], Kit]


def _altered(text: bytes, old: bytes, new: bytes) -> bytes:
    assert old in text
    return text.replace(old, new, 1)


def _backup(good: Good, **changes: object) -> Manifest:
    taken = good.taken.model_copy(update=changes)
    return good.manifest.model_copy(update={"backup": taken})


KEPT: dict[str, dict[str, Make]] = {
    "truncated": {
        "empty object": lambda s: kit(s.new, dump=b""),
        "cut in half": lambda s: kit(s.new, dump=s.new.dump[: len(s.new.dump) // 2]),
        "last 16 bytes missing": lambda s: kit(s.new, dump=s.new.dump[:-16]),
        "last byte missing": lambda s: kit(s.new, dump=s.new.dump[:-1]),
        "cut at 1 %, manifest fits": lambda s: kit(
            s.new, dump=s.new.dump[: len(s.new.dump) // 100], digests=1
        ),
        "last byte missing, manifest fits": lambda s: kit(s.new, dump=s.new.dump[:-1], digests=1),
        "plain dump cut, packed anew, manifest fits": lambda s: with_plain(
            s.new, s.new.plain[: len(s.new.plain) * 4 // 5]
        ),
        "manifest cut": lambda s: kit(s.new, raw=canonical(s.new.manifest)[:-300]),
    },
    "doubled": {
        "uploaded twice in one": lambda s: kit(s.new, dump=s.new.dump * 2, digests=1),
        "garbage at the end": lambda s: kit(s.new, dump=s.new.dump + b"\0" * 64),
        "garbage at the end, manifest fits": lambda s: kit(
            s.new, dump=s.new.dump + b"\0" * 64, digests=1
        ),
    },
    "flipped bit": {
        "zstd header": lambda s: kit(s.new, dump=flipped(s.new.dump, 0.0)),
        "zstd frame, middle": lambda s: kit(s.new, dump=flipped(s.new.dump, 0.5)),
        "zstd checksum": lambda s: kit(s.new, dump=flipped(s.new.dump, 1.0)),
        "zstd frame, manifest fits": lambda s: kit(s.new, dump=flipped(s.new.dump, 0.6), digests=1),
        "plain dump's table of contents": lambda s: with_plain(
            s.new, flipped(s.new.plain, 0.02), digests=1
        ),
        "plain dump's rows": lambda s: with_plain(
            s.new, _altered(s.new.plain, b"u77@teei", b"u78@teei"), digests=1
        ),
        "plain dump's rows, manifest fits": lambda s: with_plain(
            s.new, _altered(s.new.plain, b"u77@teei", b"u7x@teei")
        ),
        "large object, manifest fits": lambda s: with_plain(
            s.new, _altered(s.new.plain, b"a large object", b"a lArge object")
        ),
        "sequence, manifest fits": lambda s: with_plain(
            s.new, _altered(s.new.plain, b"users_id_seq', 2000", b"users_id_seq', 1000")
        ),
        "manifest's number": lambda s: kit(
            s.new, after=lambda p: p.rewrite(b'"plain_size":', b'"plain_size":1')
        ),
        "manifest's requester": lambda s: kit(
            s.new, after=lambda p: p.rewrite(b"dev@teei", b"dew@teei")
        ),
        "roles": lambda s: kit(s.new, roles=flipped(s.new.roles, 0.5)),
    },
    "part missing": {
        "no dump": lambda s: kit(s.new, dump=None),
        "no roles": lambda s: kit(s.new, roles=None),
        "no manifest": lambda s: kit(s.new, no_manifest=True),
        "a piece in the middle": lambda s: kit(
            s.new, dump=s.new.dump[: len(s.new.dump) // 3] + s.new.dump[len(s.new.dump) // 2 :]
        ),
        "one table's rows, manifest fits": lambda s: with_plain(s.new, s.part),
        "all rows, manifest fits": lambda s: with_plain(s.new, s.empty),
    },
    "wrong database": {
        "another one's dump, manifest fits": lambda s: with_plain(s.new, s.other),
        "another one's, as its manifest says": lambda s: with_plain(
            replace(s.new, manifest=_backup(s.new, database="elsewhere")), s.other
        ),
        "another one's dump, the record knows better": lambda s: with_plain(
            s.new, s.other, recorded=True
        ),
    },
    "stale": {
        "older dump under the newer name": lambda s: kit(s.new, dump=s.old.dump),
        "older dump, manifest fits": lambda s: kit(s.new, dump=s.old.dump, digests=2),
        "older dump, manifest fits, record knows": lambda s: kit(
            s.new, dump=s.old.dump, digests=2, recorded=True
        ),
        "snapshot's time moved": lambda s: kit(
            replace(
                s.new,
                manifest=_backup(s.new, taken_at=s.new.taken.taken_at + timedelta(minutes=4)),
            ),
            after=lambda p: p.put(
                p.manifest.backup.manifest_key,
                canonical(_named_as(p.manifest, s.new, p.prefix)),
            ),
        ),
        "snapshot after it was stored": lambda s: kit(
            replace(
                s.new, manifest=_backup(s.new, taken_at=s.new.taken.taken_at + timedelta(hours=9))
            )
        ),
    },
    "replaced object": {
        "dump written over": lambda s: kit(
            s.new, after=lambda p: p.put(p.manifest.backup.key, b"something else"), hits_dump=True
        ),
        "dump written over by itself, unlocked": lambda s: kit(
            s.new, after=lambda p: p.put(p.manifest.backup.key, s.new.dump)
        ),
        "dump deleted": lambda s: kit(
            s.new, after=lambda p: p.delete(p.manifest.backup.key), hits_dump=True
        ),
        "roles written over": lambda s: kit(
            s.new, after=lambda p: p.put(str(p.manifest.roles and p.manifest.roles.key), b"--")
        ),
        "nothing locked": lambda s: kit(s.new, locked=False),
    },
    "swapped manifest": {
        "the older backup's": lambda s: kit(s.new, raw=canonical(s.old.manifest)),
        "the older backup's, its dump too": lambda s: kit(
            s.new, dump=s.old.dump, raw=canonical(s.old.manifest)
        ),
        "no manifest but JSON": lambda s: kit(s.new, raw=b'{"backup": {}}'),
        "its seal removed": lambda s: kit(
            s.new,
            after=lambda p: p.rewrite(p.manifest.seal.encode(), b""),
        ),
        "says it was not proved": lambda s: kit(
            replace(s.new, manifest=_backup(s.new, restored_ok=False))
        ),
        "of another deployment": lambda s: kit(
            s.new,
            after=lambda p: p.put(
                p.manifest.backup.manifest_key,
                canonical(
                    sealed(
                        p.manifest.model_copy(
                            update={"deployment": "production-20261101T000000Z-00aa00"}
                        )
                    )
                ),
            ),
        ),
        "names fewer rows than the record": lambda s: kit(
            s.new,
            recorded=True,
            after=lambda p: p.put(
                p.manifest.backup.manifest_key,
                canonical(
                    sealed(
                        p.manifest.model_copy(
                            update={"backup": p.manifest.backup.model_copy(update={"tables": []})}
                        )
                    )
                ),
            ),
        ),
    },
    "unrestorable": {
        "check on a function that needs a search_path": lambda s: with_plain(s.new, s.unrestorable),
        "statement that is none": lambda s: with_plain(
            s.new,
            _altered(s.new.plain, b"CREATE TABLE public.orders", b"CREATE TABLA public.orders"),
        ),
        "rows against a key": lambda s: with_plain(
            s.new, _altered(s.new.plain, b"\x008\t8\n", b"\x007\t8\n")
        ),
    },
}


def _named_as(manifest: Manifest, good: Good, prefix: str) -> Manifest:
    """A manifest whose dump still is called after the true time."""
    key = dump_key(prefix, good.taken.taken_at, manifest.deployment)
    backup = manifest.backup.model_copy(update={"key": key})
    return sealed(manifest.model_copy(update={"backup": backup}))


GOOD: dict[str, Make] = {
    "the newer one": lambda s: kit(s.new),
    "the older one": lambda s: kit(s.old),
    "as the record knows it": lambda s: kit(s.new, recorded=True),
    "packed anew by another zstd": lambda s: kit(s.new, dump=packed(s.new.plain), digests=1),
    "an older slipway's, without seal and roles": lambda s: kit(
        s.new,
        after=lambda p: p.put(
            p.manifest.backup.manifest_key,
            canonical(
                p.manifest.model_copy(
                    update={"seal": "", "roles": None, "identity": None, "locked_until": None}
                )
            ),
        ),
    ),
}
CASES = [(kind, name) for kind, cases in KEPT.items() for name in cases]


@pytest.mark.parametrize(("kind", "name"), CASES)
async def test_bad_backup_in_the_bucket_is_not_accepted(shop: Shop, kind: str, name: str) -> None:
    made = KEPT[kind][name](shop)
    placed = corpus.place(shop.world, shop.next(), made)
    verified = await _verified(shop, placed)
    restored = await _restored(shop, placed)
    rolled = await _rolled_back(shop, placed, made)
    assert restored, "restore-to accepted it"
    assert verified or _only_rows_tell(made), "verify accepted it"
    assert rolled or not _hits(shop, made), "the rollback accepted it"
    listed = corpus.playbook_says_good(shop.world.stack.pg_bin, made.dump, shop.folder)
    who = "; ".join(
        f"{one}: {said}"
        for one, said in (("verify", verified), ("restore", restored), ("rollback", rolled))
        if said and (one != "restore" or not verified)
    )
    TABLE.append((kind, name, who, "good" if listed else "bad"))


def _only_rows_tell(made: Kit) -> bool:
    """Where dump and manifest were forged together and no record is there, only a restore can
    tell: `verify` says of such a one that digests and form fit, which is true."""
    return made.digests == 2 and not made.recorded


@pytest.mark.parametrize("name", GOOD)
async def test_good_backup_is_not_refused(shop: Shop, name: str) -> None:
    placed = corpus.place(shop.world, shop.next(), GOOD[name](shop))
    assert await _verified(shop, placed) == ""
    assert await _restored(shop, placed) == ""


async def _verified(shop: Shop, placed: corpus.Placed) -> str:
    shelf = Shelf(shop.world.postgres, shop.world.store)
    try:
        found = await ActivityEnvironment().run(shelf.verify, placed.wanted)
    except SlipwayError as error:
        return error.what
    assert found.sound is not bool(found.faults)
    return "; ".join(found.faults)


async def _restored(shop: Shop, placed: corpus.Placed) -> str:
    world, name = shop.world, f"{shop.world.name}_n{shop.number}"
    shelf = Shelf(world.postgres, world.store)
    request = RestoreBackup(wanted=placed.wanted, database=world.database, name=name)
    try:
        await ActivityEnvironment().run(shelf.restore_to, request)
    except SlipwayError as error:
        assert world.databases() == [world.name]
        return error.what
    world.run(f"DROP DATABASE {name}", "postgres")
    assert world.databases() == [world.name]
    return ""


def _hits(shop: Shop, made: Kit) -> bool:
    """Whether the dump itself is not the one that was proved."""
    return made.dump != shop.new.dump or made.hits_dump


async def _rolled_back(shop: Shop, placed: corpus.Placed, made: Kit) -> str:
    """The rollback knows its backup from the record and trusts no manifest."""
    if not _hits(shop, made):
        return ""
    world = shop.world
    taken = shop.new.taken.model_copy(
        update={"key": placed.manifest.backup.key, "side_database": f"{world.name}_slipway_no_1"}
    )
    request = world.roll_back(taken, op_id=f"undo-{shop.number}").model_copy(
        update={"only_if_changed": False}
    )
    rollback = DatabaseRollback(world.postgres, world.store)
    try:
        await ActivityEnvironment().run(rollback.roll_back, request)
    except SlipwayError as error:
        assert world.databases() == [world.name]
        assert world.run("SELECT count(*) FROM keyless") == [(59,)]  # it is open and unchanged
        return error.what
    return ""


PRODUCERS = {
    "killed in the middle": 'head -c 20000 "$REAL"; kill -9 $$',
    "ends with an error after half": 'head -c 20000 "$REAL"; exit 1',
    "ends well after half": 'head -c 20000 "$REAL"',
    "ends well and wrote nothing": "exit 0",
    "dumps another database": 'cat "$OTHER"',
    "dumps an older state": 'cat "$OLD"',
    "leaves a table out": 'cat "$PART"',
}


@pytest.mark.parametrize("name", PRODUCERS)
async def test_producer_that_dies_or_lies_makes_no_backup(
    shop: Shop, name: str, tmp_path: Path
) -> None:
    world = shop.world
    before = world.keys()
    postgres = Postgres(_programs(shop, tmp_path, PRODUCERS[name]))
    said = await _taking(world, postgres)
    assert said, "it was taken for a backup"
    assert world.keys() == before
    assert world.databases() == [world.name]
    listed = corpus.playbook_says_good(
        world.stack.pg_bin, packed(corpus.produced(tmp_path)), shop.folder
    )
    TABLE.append(("dead or lying producer", name, f"take: {said}", "good" if listed else "bad"))


async def test_full_disk_makes_no_backup(shop: Shop) -> None:
    world = shop.world
    before = world.keys()
    with _files_of_at_most(20_000):
        said = await _taking(world, world.postgres)
    assert "cannot be written" in said
    assert (world.keys(), world.databases()) == (before, [world.name])
    TABLE.append(("dead or lying producer", "full disk", f"take: {said}", "bad"))


@pytest.mark.parametrize("name", UNRESTORABLE)
async def test_schema_that_does_not_restore_makes_no_backup(shop: Shop, name: str) -> None:
    world = shop.world
    before = world.keys()
    world.as_owner(UNRESTORABLE[name])
    try:
        said = await _taking(world, world.postgres)
        listed = corpus.playbook_says_good(
            world.stack.pg_bin, packed(corpus.dumped(world)), shop.folder
        )
    finally:
        world.as_owner(CLEARED)
    assert said, "it was taken for a backup"
    assert (world.keys(), world.databases()) == (before, [world.name])
    TABLE.append(("unrestorable", f"taken: {name}", f"take: {said}", "good" if listed else "bad"))


async def _taking(world: DataWorld, postgres: Postgres) -> str:
    backups = Backups(postgres, world.store)
    try:
        await ActivityEnvironment().run(backups.take, world.take("9"))
    except SlipwayError as error:
        return error.what
    return ""


def _programs(shop: Shop, folder: Path, script: str) -> Path:
    """PostgreSQL's programs, with a pg_dump that behaves as told when it dumps (not when it is
    asked for its version or for the schema, which a broken one could do as well)."""
    real = Path(shop.world.stack.pg_bin)
    for one in ("pg_restore", "pg_dumpall"):
        (folder / one).symlink_to(real / one)
    for name, content in (
        ("REAL", corpus.dumped(shop.world)),
        ("OTHER", shop.other),
        ("OLD", shop.old.plain),
        ("PART", shop.part),
    ):
        (folder / name).write_bytes(content)
    files = "\n".join(f'{name}="{folder / name}"' for name in ("REAL", "OTHER", "OLD", "PART"))
    program = folder / "pg_dump"
    program.write_text(
        f'#!/bin/sh\n{files}\ncase "$*" in\n*--format=custom*) {script} ;;\n'
        f'*) exec "{real / "pg_dump"}" "$@" ;;\nesac\n'
    )
    program.chmod(program.stat().st_mode | stat.S_IXUSR)
    return folder


@contextmanager
def _files_of_at_most(size: int) -> Iterator[None]:
    """Let the kernel refuse every longer file of this process, as a full disk does."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


async def test_the_table_is_long_enough_and_is_printed(
    shop: Shop, capsys: pytest.CaptureFixture[str]
) -> None:
    """Last: prints what was found by whom, beside the playbook's own verdict."""
    del shop
    if len(TABLE) < len(CASES):
        pytest.skip("only a part of the corpus was run")
    kinds = {kind for kind, _, _, _ in TABLE}
    assert len(TABLE) >= 40
    assert all(sum(one[0] == kind for one in TABLE) >= 3 for kind in kinds)
    missed = sum(one[3] == "good" for one in TABLE)
    with capsys.disabled():
        print(f"\n{len(TABLE)} bad backups, all refused; `pg_restore --list` passes {missed}")
        if os.environ.get("SLIPWAY_TABLE"):
            for row in TABLE:
                print(" | ".join(cell[:150] for cell in row))
