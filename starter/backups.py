"""What `slipway backups` asks of the worker, and how it is printed."""

import json
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from slipway import names
from slipway.base import say_length, utc_text
from slipway.markdown import say_size
from slipway.messages.record import Place
from slipway.messages.shelf import (
    DATABASE_NAME,
    BackupList,
    BackupRequest,
    ListBackups,
    RestoredBackup,
    ShelvedBackup,
    Tidied,
    VerifiedBackup,
)
from slipway.plan import Plan
from starter.documents import Lost
from starter.guard import OK, REFUSED, Stop
from starter.inquire import ask_worker, place_of
from starter.lookup import find_or_none, is_id
from starter.render import printable
from starter.session import connect

if TYPE_CHECKING:
    from temporalio.client import Client

_LONGEST = 12 * 3600.0
"""Seconds that reading or restoring a backup may take."""


@dataclass(frozen=True)
class Wanted:
    """A backup as a person names it."""

    name: str
    """A deployment's ID, or an environment for its newest backup."""
    attempt: str
    lost: Lost


async def listed(name: str, lost: Lost, *, as_json: bool) -> int:
    """Print which backups stand in the bucket of an environment."""
    client = await connect()
    found = await _list(client, await _place(client, name, lost))
    if as_json:
        print(json.dumps(found.model_dump(mode="json"), indent=2))
    else:
        print("\n".join(printable(line) for line in list_lines(found)))
    return OK


async def verify(wanted: Wanted, *, as_json: bool) -> int:
    """Have a backup read to its last byte and print what was found."""
    client = await connect()
    request = await _request(client, wanted)
    done = await ask_worker(client, names.VERIFY_BACKUP_TYPE, request, VerifiedBackup, _LONGEST)
    if as_json:
        print(json.dumps(done.model_dump(mode="json"), indent=2))
    else:
        print("\n".join(printable(line) for line in verified_lines(done)))
    return OK if done.sound else REFUSED


async def restore_to(database: str, wanted: Wanted, *, as_json: bool) -> int:
    """Have a backup restored into a new database and print what was proved."""
    if not re.fullmatch(DATABASE_NAME, database):
        raise Stop(
            REFUSED,
            f"{database[:80]!r} cannot name the new database. Use small letters, digits and "
            "underscores, at most 63, such as teei_drill.",
        )
    client = await connect()
    request = await _request(client, wanted, database)
    done = await ask_worker(client, names.RESTORE_BACKUP_TYPE, request, RestoredBackup, _LONGEST)
    if as_json:
        print(json.dumps(done.model_dump(mode="json"), indent=2))
    else:
        print("\n".join(printable(line) for line in restored_lines(done)))
    return OK


async def tidy(name: str, lost: Lost, *, as_json: bool) -> int:
    """Have dropped what a run left that changed nothing. Refused while it runs."""
    client = await connect()
    place = await place_of(client, name, lost)
    found = await find_or_none(client, place.deployment)
    if found is not None and not found.ended:
        raise Stop(
            REFUSED,
            f"{found.id} still runs and needs what it made. End it first: slipway abort {found.id}",
        )
    plan = _plan(lost)
    request = BackupRequest(place=place, database=plan.database if plan else None)
    done = await ask_worker(client, names.TIDY_TYPE, request, Tidied)
    if as_json:
        print(json.dumps(done.model_dump(mode="json"), indent=2))
    else:
        print("\n".join(printable(line) for line in tidied_lines(done)))
    return OK


async def _place(client: "Client", name: str, lost: Lost) -> Place:
    """Backups outlive records and runs: a plan, where it is given, says where they are."""
    is_id(name)  # refuses what can be neither an ID nor an environment
    return lost.place(name) or await place_of(client, name, lost)


async def _list(client: "Client", place: Place) -> BackupList:
    request = ListBackups(place=place)
    return await ask_worker(client, names.LIST_BACKUPS_TYPE, request, BackupList)


async def _request(client: "Client", wanted: Wanted, database: str = "") -> BackupRequest:
    place = await _place(client, wanted.name, wanted.lost)
    attempt = wanted.attempt
    if not is_id(wanted.name) and not attempt:
        place, attempt = await _newest(client, place)
    plan = _plan(wanted.lost)
    return BackupRequest(
        place=place,
        attempt_tag=attempt,
        database=plan.database if plan else None,
        identity=plan.backup.identity if plan else None,
        name=database,
    )


async def _newest(client: "Client", place: Place) -> tuple[Place, str]:
    """The newest backup of an environment need not be its newest deployment's."""
    for one in (await _list(client, place)).backups:
        if one.deployment and environment_of(one.deployment) == place.environment:
            return place.model_copy(update={"deployment": one.deployment}), one.attempt_tag
    raise Stop(
        REFUSED,
        f"There is no backup of {place.environment} in {place.bucket}/{place.prefix}. "
        f"Look what stands there: slipway backups list {place.environment}",
    )


def environment_of(deployment: str) -> str:
    """Return the environment of a deployment; empty where a manifest names something else."""
    try:
        return names.environment_of(deployment)
    except ValueError:
        return ""


def _plan(lost: Lost) -> Plan | None:
    if lost.plan is None:
        return None
    from starter.loading import load_plan

    return load_plan(lost.plan, lost.overlay)


def list_lines(found: BackupList) -> list[str]:
    """Return two lines a backup, newest first."""
    if not found.backups:
        return ["No backup is kept there."]
    return [line for one in found.backups for line in _entry(one)]


def _entry(one: ShelvedBackup) -> list[str]:
    if one.faults:
        return [f"✘ {one.manifest_key}", f"    NO GOOD BACKUP: {'; '.join(one.faults)}"]
    at = utc_text(one.taken_at) if one.taken_at else "?"
    lock = f"locked until {utc_text(one.locked_until)}" if one.locked_until else "lock unknown"
    return [
        f"✔ {one.deployment}, backup {one.attempt_tag}: snapshot {at} of {one.database}",
        f"    {say_size(one.size)}, {one.rows} rows in {one.tables} tables, by {one.requester}, "
        f"{lock}",
    ]


def verified_lines(done: VerifiedBackup) -> list[str]:
    """Return what reading everything again found; the verdict first."""
    one = done.backup
    if not done.sound:
        faults = [f"  ✘ {fault}" for fault in done.faults]
        return [f"NO GOOD BACKUP: {one.manifest_key}", *faults, *_notes(done.notes)]
    return [
        f"Good: {one.key} is what was restored and compared at {_at(one)}.",
        f"  {say_size(one.size)} read to the last byte in {say_length(max(done.seconds, 0.001))}; "
        f"{one.rows} rows in {one.tables} tables.",
        *_notes(done.notes),
    ]


def restored_lines(done: RestoredBackup) -> list[str]:
    """Return what was restored and proved."""
    return [
        f"Database {done.name} equals the backup of {_at(done.backup)}: {done.rows} rows in "
        f"{done.tables} tables, schema and sequences, in {say_length(max(done.seconds, 0.001))}.",
        f'  It is open to its owner only. When nobody needs it: DROP DATABASE "{done.name}"',
        *_notes(done.notes),
    ]


def tidied_lines(done: Tidied) -> list[str]:
    """Return what is gone and what was left."""
    gone = [*done.slots, *done.databases, *done.objects]
    lines = [f"Dropped: {one}" for one in gone] or ["Nothing was left to drop."]
    return (lines if gone or not done.left else []) + [f"Left: {one}" for one in done.left]


def _at(one: ShelvedBackup) -> str:
    return utc_text(one.taken_at) if one.taken_at else "an unknown time"


def _notes(notes: list[str]) -> list[str]:
    return [f"  · {one}" for one in notes]
