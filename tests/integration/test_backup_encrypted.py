"""Dumps encrypted to age recipients: proved before, unreadable for the worker afterwards."""

from pathlib import Path
from typing import Any

import pyrage
import pytest
from temporalio.testing import ActivityEnvironment

from activities.backups import Backups
from activities.shelf import Shelf
from activities.tidying import Janitor
from slipway.errors import BackupFailed, BackupNotRestorable
from slipway.messages.record import BackupTaken, Place
from slipway.messages.shelf import FindBackup, RestoreBackup, TidyRun
from tests.integration import corpus
from tests.integration.data_world import DataWorld

pytestmark = pytest.mark.stack


class Keys:
    """Two key pairs: of operations, and one that is kept off-line."""

    def __init__(self, folder: Path) -> None:
        self.operations = pyrage.x25519.Identity.generate()
        self.offline = pyrage.x25519.Identity.generate()
        self.recipients = [str(one.to_public()) for one in (self.operations, self.offline)]
        self.file = folder / "identity.txt"
        self.file.write_text(f"# created: today\n{self.offline}\n")
        self.stranger = folder / "stranger.txt"
        self.stranger.write_text(str(pyrage.x25519.Identity.generate()))


async def _take(world: DataWorld, keys: Keys, **changes: Any) -> BackupTaken:
    backup = world.backup.model_copy(update={"recipients": keys.recipients, **changes})
    request = world.take().model_copy(update={"backup": backup})
    return await ActivityEnvironment().run(Backups(world.postgres, world.store).take, request)


def _place(world: DataWorld) -> Place:
    return Place(
        bucket=world.stack.bucket,
        prefix=world.backup.prefix,
        environment="production",
        deployment=world.deployment,
    )


async def test_what_is_stored_can_be_read_by_each_recipient_only(
    world: DataWorld, tmp_path: Path
) -> None:
    keys = Keys(tmp_path)
    taken = await _take(world, keys)
    stored = world.s3.get_object(Bucket=world.stack.bucket, Key=taken.key)["Body"].read()
    assert taken.key.endswith(".dump.zst.age")
    assert (taken.sha256, taken.size) == (corpus.sha(stored), len(stored))
    assert taken.restored_ok
    for identity in (keys.operations, keys.offline):
        assert corpus.unpacked(pyrage.decrypt(stored, [identity])).startswith(b"PGDMP")
    with pytest.raises(pyrage.DecryptError):
        pyrage.decrypt(stored, [pyrage.x25519.Identity.generate()])
    shelf = Shelf(world.postgres, world.store)
    found = await ActivityEnvironment().run(shelf.verify, FindBackup(place=_place(world)))
    assert found.sound, found.faults
    assert "Encrypted to 2 recipients: only the digest" in found.notes[0]
    tidied = TidyRun(place=_place(world), database=world.database)
    assert (
        await ActivityEnvironment().run(Janitor(world.postgres, world.store).tidy, tidied)
    ).objects == []
    assert taken.key in {*world.keys()}


async def test_restoring_needs_an_identity_and_proves_the_same(
    world: DataWorld, tmp_path: Path
) -> None:
    keys = Keys(tmp_path)
    taken = await _take(world, keys)
    shelf = Shelf(world.postgres, world.store)
    drill = f"{world.name}_drill"

    def wish(identity: str | None) -> RestoreBackup:
        wanted = FindBackup(place=_place(world), database=world.database, recorded=taken)
        return RestoreBackup(wanted=wanted, database=world.database, name=drill, identity=identity)

    with pytest.raises(BackupNotRestorable, match=r"backup\.identity"):
        await ActivityEnvironment().run(shelf.restore_to, wish(None))
    with pytest.raises(BackupNotRestorable, match="cannot be decrypted"):
        await ActivityEnvironment().run(shelf.restore_to, wish(f"file:{keys.stranger}"))
    assert world.databases() == [world.name, taken.side_database]
    done = await ActivityEnvironment().run(shelf.restore_to, wish(f"file:{keys.file}"))
    assert done.rows == taken.rows
    assert world.run("SELECT count(*) FROM keyless", drill) == [(50,)]


async def test_altered_ciphertext_is_no_backup(world: DataWorld, tmp_path: Path) -> None:
    keys = Keys(tmp_path)
    taken = await _take(world, keys)
    stored = world.s3.get_object(Bucket=world.stack.bucket, Key=taken.key)["Body"].read()
    async with world.postgres.copying(world.database, f"{world.name}_slipway_age_1") as work:
        for damaged in (stored[:-1], corpus.flipped(stored, 0.5), stored + b"more"):
            file = work.folder / "dump.zst"
            file.write_bytes(damaged)
            with pytest.raises(BackupNotRestorable):
                await work.expand(file, f"file:{keys.file}")
            assert [one.name for one in work.folder.iterdir()] == ["dump.zst"]


async def test_recipient_that_is_none_makes_no_backup(world: DataWorld, tmp_path: Path) -> None:
    keys = Keys(tmp_path)
    keys.recipients = ["age1" + "q" * 58]  # well formed, wrong checksum
    with pytest.raises(BackupFailed, match=r"cannot be encrypted.*backup\.recipients"):
        await _take(world, keys)
    assert (world.databases(), world.keys()) == ([world.name], [])
