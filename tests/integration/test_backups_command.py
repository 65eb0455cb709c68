"""`slipway backups` as people use it: the real command line, worker code, database and bucket."""

import asyncio
import json
import os
import sys
import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import yaml
from temporalio.client import Client
from temporalio.contrib.pydantic import pydantic_data_converter
from temporalio.testing import ActivityEnvironment
from temporalio.worker import Worker

from activities.around import Around
from activities.backups import Backups
from activities.failures import translating
from activities.heartbeat import beating
from activities.reapply import Reapply
from activities.record import Records
from activities.shelf import Shelf
from activities.tidying import Janitor
from devstack.layout import CHECKOUT
from slipway import names
from slipway.messages.record import Append, BackupTaken, Entry, Opening, Place, ReadRecord
from starter.inquire import served
from tests.fakes.plans import small_plan, small_release
from tests.integration.data_world import DataWorld
from tests.integration.reapply_world import MIGRATION, rows_of, taken_back
from tests.integration.worker_process import becomes
from worker.registry import activities_of
from workflows.registry import WORKFLOWS

pytestmark = pytest.mark.stack


@dataclass(frozen=True)
class Done:
    """What a command printed and its exit code."""

    code: int
    out: str
    err: str


@dataclass
class Desk:
    """A terminal, a plan and a worker for one world."""

    world: DataWorld
    queue: str
    plan: Path

    async def slipway(self, *arguments: str) -> Done:
        """Run a command, without any credential of database or bucket."""
        stack = self.world.stack
        environ = {
            "PATH": os.environ["PATH"],
            "PYTHONPATH": str(CHECKOUT),
            "TEMPORAL_ADDRESS": stack.temporal_address,
            "TEMPORAL_NAMESPACE": stack.temporal_namespace,
            "SLIPWAY_TASK_QUEUE": self.queue,
        }
        child = await asyncio.create_subprocess_exec(
            *(sys.executable, "-c", "from starter.cli import main; main()"),
            *("backups", *arguments, "--plan", str(self.plan)),
            cwd=CHECKOUT,
            env=environ,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        out, err = await child.communicate()
        return Done(child.returncode or 0, out.decode(), err.decode())


@asynccontextmanager
async def _desk(world: DataWorld, folder: Path) -> AsyncIterator[Desk]:
    plan = small_plan(
        environment="production",
        database=world.database.model_dump(mode="json"),
        backup=world.backup.model_dump(mode="json"),
    )
    file = folder / "plan.yaml"
    file.write_text(yaml.safe_dump(plan.model_dump(mode="json", exclude_unset=True)))
    stack = world.stack
    client = await Client.connect(
        stack.temporal_address,
        namespace=stack.temporal_namespace,
        data_converter=pydantic_data_converter,
    )
    queue, store, postgres = f"b-{uuid.uuid4().hex[:8]}", world.store, world.postgres
    serving: list[Any] = [
        Shelf(postgres, store),
        Janitor(postgres, store),
        Records(store),
        Reapply(postgres, store),
    ]
    around = [Around(translating), Around(beating)]
    async with (
        Worker(client, task_queue=queue, workflows=WORKFLOWS, interceptors=around),
        Worker(
            client,
            task_queue=names.privileged(queue),
            activities=[one for each in serving for one in activities_of(each)],
            interceptors=around,
        ),
    ):
        for one in (queue, names.privileged(queue)):
            await becomes(f"{one} to be served", partial(served, client, one))
        yield Desk(world, queue, file)


async def _take(world: DataWorld, tag: str = "1") -> BackupTaken:
    backups = Backups(world.postgres, world.store)
    return await ActivityEnvironment().run(backups.take, world.take(tag))


async def test_backups_are_listed_verified_and_restored_by_the_worker(
    world: DataWorld, tmp_path: Path
) -> None:
    taken = await _take(world)
    async with _desk(world, tmp_path) as desk:
        listed = await desk.slipway("list", world.deployment)
        assert listed.code == 0, listed.err
        assert f"✔ {world.deployment}, backup 1: snapshot" in listed.out
        data = json.loads((await desk.slipway("list", world.deployment, "--json")).out)
        assert [one["key"] for one in data["backups"]] == [taken.key]

        verified = await desk.slipway("verify", "production")  # the environment's newest
        assert verified.code == 0, verified.err
        assert verified.out.startswith(f"Good: {taken.key}")

        drill = f"{world.name}_drill"
        restored = await desk.slipway("restore-to", drill, "--from", world.deployment, "--json")
        assert restored.code == 0, restored.err
        assert json.loads(restored.out)["rows"] == taken.rows
        assert world.run("SELECT count(*) FROM keyless", drill) == [(50,)]
        refused = await desk.slipway("restore-to", world.name, "--from", world.deployment)
        assert refused.code == 2
        assert "production's own name" in refused.err

        world.s3.put_object(Bucket=world.stack.bucket, Key=taken.key, Body=b"something else")
        bad = await desk.slipway("verify", world.deployment)
        assert bad.code == 2
        assert bad.out.startswith("NO GOOD BACKUP")
        assert "was replaced by version" in bad.out


async def _record(world: DataWorld, *more: Entry) -> Place:
    """Write the record of a run of this world: its opening, and what came after."""
    plan, release = small_plan(), small_release()
    place = Place(
        bucket=world.stack.bucket,
        prefix=world.backup.prefix,
        environment="production",
        deployment=world.deployment,
    )
    plan = plan.model_copy(update={"database": world.database, "backup": world.backup})
    opening = Opening(
        deployment=world.deployment,
        workflow_id="deploy-production",
        plan=plan,
        release=release,
        plan_sha256="a" * 64,
        release_sha256="b" * 64,
        requester="dev@teei.example",
    )
    entry = Entry(sequence=0, kind="open", step="open", data=opening.model_dump(mode="json"))
    records = Records(world.store)
    for one in (entry, *more):
        await ActivityEnvironment().run(records.append, Append(place=place, entry=one))
    return place


async def test_terminated_run_is_tidied_by_command(world: DataWorld, tmp_path: Path) -> None:
    taken = await _take(world)
    await _record(world)
    async with _desk(world, tmp_path) as desk:
        done = await desk.slipway("tidy", world.deployment)
        assert done.code == 0, done.err
        assert done.out == f"Dropped: {taken.side_database}\n"
        again = await desk.slipway("tidy", world.deployment)
    assert again.out == "Nothing was left to drop.\n"
    assert world.databases() == [world.name]


async def test_rows_that_a_rollback_set_aside_are_written_again_by_command(
    world: DataWorld, tmp_path: Path
) -> None:
    case = await taken_back(world)
    status = {
        "conflict_file": case.done.conflicts_key,
        "conflict_sha256": case.done.conflicts_sha256,
    }
    end = Entry(sequence=1, kind="end", step="end", data={"status": status})
    place = await _record(world, end)
    world.as_owner(MIGRATION)
    before = rows_of(world)
    async with _desk(world, tmp_path) as desk:
        tried = await desk.slipway("reapply", world.deployment)
        assert tried.code == 2, tried.err  # a person must look at one of them
        assert tried.out.startswith("Tried in ")
        assert rows_of(world) == before
        unsaid = await desk.slipway("reapply", world.deployment, "--apply")
        assert (unsaid.code, "--reason" in unsaid.err) == (2, True)
        why = ("--reason", "release 2.5 has them again", "--person", "dba@teei.example")
        done = await desk.slipway("reapply", world.deployment, "--apply", "--overwrite", *why)
        assert "Written again from conflicts.jsonl.zst" in done.out, done.err
        assert rows_of(world) == rows_of(world, case.done.kept_as)
        again = await desk.slipway("reapply", world.deployment, "--apply", *why, "--json")
        assert not any(one["written"] for one in json.loads(again.out)["tables"])
    read = Records(world.store).read
    record = await ActivityEnvironment().run(read, ReadRecord(place=place))
    notes = [one for one in record.entries if one.step == "reapply"]
    assert [one.sequence for one in notes] == [2, 3, 4, 5]
    assert notes[0].because == (
        "Rows are written again. dba@teei.example: release 2.5 has them again"
    )
    assert notes[1].data["reapply"]["outcomes_key"] in list(world.keys())
