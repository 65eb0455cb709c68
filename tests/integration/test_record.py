"""The record on a real bucket: each entry once, read back whole, verified again."""

import asyncio
from typing import Any

import pytest
from temporalio.testing import ActivityEnvironment

from activities.backups import Backups
from activities.record import Records
from slipway.errors import BadInput, RecordConflict
from slipway.messages.record import (
    Append,
    Appended,
    Artefact,
    Attach,
    Captured,
    Entry,
    FindRecords,
    Place,
    ReadRecord,
    RestoreService,
    VerifyArtefacts,
)
from tests.integration.data_world import DataWorld

pytestmark = pytest.mark.stack


def _place(world: DataWorld, deployment: str = "") -> Place:
    return Place(
        bucket=world.stack.bucket,
        prefix=world.backup.prefix,
        environment="production",
        deployment=deployment or world.deployment,
    )


async def _run(activity: Any, request: Any) -> Any:
    return await ActivityEnvironment().run(activity, request)


def _undo() -> RestoreService:
    captured = Captured(
        uid="u",
        generation=3,
        template={"spec": {"containers": [{"image": "a", "unknownField": 1}]}},
        image="a",
        replicas=2,
        replica_set="rs",
        pod_hash="abc",
    )
    return RestoreService(
        service="buddy", namespace="production", deployment="buddy", captured=captured
    )


async def test_entries_are_written_once_and_read_in_order(world: DataWorld) -> None:
    records, place = Records(world.store), _place(world)
    entries = [
        Entry(sequence=0, kind="open", step="open", data={"requester": "dev"}),
        Entry(sequence=1, kind="intent", step="rollout:buddy", undo=_undo(), because="next"),
        Entry(sequence=2, kind="done", step="rollout:buddy"),
        Entry(sequence=10, kind="end", step="end", data={"outcome": "deployed"}),
    ]
    written: list[Appended] = [
        await _run(records.append, Append(place=place, entry=one)) for one in reversed(entries)
    ]
    assert written[-2].key == f"{place.folder}0001-intent-rollout-buddy.json"
    again = await _run(records.append, Append(place=place, entry=entries[1]))
    assert again == written[-2]
    await _run(records.attach, Attach(place=place, name="approval.json", content="{}"))
    found = await _run(records.read, ReadRecord(place=place))
    assert found.entries == entries


async def test_two_runs_cannot_write_one_record(world: DataWorld) -> None:
    records, place = Records(world.store), _place(world)
    first = Entry(sequence=1, kind="intent", step="rollout:buddy")
    await _run(records.append, Append(place=place, entry=first))
    for other in (
        Entry(sequence=1, kind="intent", step="rollout:buddy", because="another"),
        Entry(sequence=1, kind="intent", step="rollout:journey"),
        Entry(sequence=1, kind="done", step="rollout:buddy"),
    ):
        with pytest.raises(RecordConflict):
            await _run(records.append, Append(place=place, entry=other))
    assert (await _run(records.read, ReadRecord(place=place))).entries == [first]


async def test_entry_that_could_leave_its_folder_is_refused(world: DataWorld) -> None:
    records, place = Records(world.store), _place(world)
    with pytest.raises(BadInput):
        await _run(
            records.append,
            Append(place=place, entry=Entry(sequence=1, kind="intent", step="../../x")),
        )
    for name in ("../x", "a/b", "", ".hidden", "x" * 300):
        with pytest.raises(BadInput):
            await _run(records.attach, Attach(place=place, name=name, content="x"))
    assert world.keys() == []


async def test_records_of_an_environment_newest_first(world: DataWorld) -> None:
    records = Records(world.store)
    for minute, ended in ((1, True), (3, False), (2, True)):
        place = _place(world, f"production-20261123T20{minute:02d}00Z-abcdef")
        await _run(
            records.append, Append(place=place, entry=Entry(sequence=0, kind="open", step="open"))
        )
        if ended:
            end = Entry(sequence=1, kind="end", step="end", data={"outcome": "rolled_back"})
            await _run(records.append, Append(place=place, entry=end))
    forgotten = _place(world, "production-20261123T200400Z-abcdef")
    opening = Entry(sequence=0, kind="open", step="open")
    kept = await _run(records.append, Append(place=forgotten, entry=opening))
    world.s3.delete_object(Bucket=forgotten.bucket, Key=kept.key)
    found = (await _run(records.find, FindRecords(place=_place(world), limit=2))).records
    assert [(one.deployment[20:24], one.ended, one.outcome) for one in found] == [
        ("2003", False, ""),
        ("2002", True, "rolled_back"),
    ]


async def test_altered_entry_is_not_believed(world: DataWorld) -> None:
    records, place = Records(world.store), _place(world)
    entry = Entry(sequence=1, kind="intent", step="rollout:buddy")
    await _run(records.append, Append(place=place, entry=entry))
    other = entry.model_copy(update={"step": "rollout:journey"}).model_dump_json()
    for content in (b"", b"[]", b'{"sequence": -1}', other.encode()):
        world.s3.put_object(Bucket=place.bucket, Key=f"{place.folder}{entry.name}", Body=content)
        with pytest.raises(BadInput, match="0001-intent"):
            await _run(records.read, ReadRecord(place=place))


async def test_verification_reads_every_byte_again(world: DataWorld) -> None:
    records, place = Records(world.store), _place(world)
    kept: list[Artefact] = [
        await _run(records.attach, Attach(place=place, name=f"{name}.json", content=f'"{name}"'))
        for name in ("intact", "gone", "altered")
    ]
    assert (
        await _run(records.attach, Attach(place=place, name="intact.json", content='"intact"'))
        == kept[0]
    )
    taken = await _run(Backups(world.postgres, world.store).take, world.take())
    dump = Artefact(
        name="backup", key=taken.key, sha256=taken.sha256, size=taken.size, at=taken.taken_at
    )
    world.s3.delete_object(Bucket=place.bucket, Key=kept[1].key)
    world.s3.put_object(Bucket=place.bucket, Key=kept[2].key, Body=b'"altereD"')
    request = VerifyArtefacts(place=place, artefacts=[*kept, dump])
    states = (await _run(records.verify, request)).states
    assert [one.intact for one in states] == [True, False, False, True]
    assert "gone" in states[1].because
    assert "altered" in states[2].because
    outside = dump.model_copy(update={"key": "elsewhere/secret"})
    with pytest.raises(BadInput):
        await _run(records.verify, VerifyArtefacts(place=place, artefacts=[outside]))


async def test_same_entry_at_once_is_one_entry(world: DataWorld) -> None:
    records, place = Records(world.store), _place(world)
    entry = Append(place=place, entry=Entry(sequence=4, kind="intent", step="migrate"))
    written = await asyncio.gather(*(_run(records.append, entry) for _ in range(6)))
    assert len({one.sha256 for one in written}) == 1
    assert len(world.keys()) == 1
