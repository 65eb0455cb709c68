"""Rehearsing pending migrations on copies of the restored backup."""

import asyncio
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from temporalio import activity

from activities.heartbeat import Progress, current_progress
from activities.migration_files import Workspaces, copied, read_migrations
from slipway.errors import ForeignChange
from slipway.judgements.backup import schema_sha256, side_name
from slipway.judgements.corruption import ProbeResult
from slipway.judgements.lock_trace import LockTrace
from slipway.judgements.migration_text import MigrationText
from slipway.judgements.migrations import pending_of, unequal
from slipway.judgements.rehearsal import judge, schema_diff
from slipway.judgements.table_changes import Table, to_hash, touched, without_ledger
from slipway.messages.rehearsal import Rehearsal, RehearseMigrations
from slipway.plan import CorruptionProbe

if TYPE_CHECKING:
    from activities.adapters.postgres.adapter import Postgres
    from activities.adapters.postgres.migrate import Ran
    from activities.adapters.postgres.rehearse import Rehearsing

_MOST_LOCKS = 50
Hashes = dict[tuple[str, str], list[str]]


@dataclass
class _Forward:
    """The first run, and what the copy was like before and after it."""

    error: str = ""
    seconds: float = 0.0
    trace: LockTrace = field(default_factory=LockTrace)
    before: list[Table] = field(default_factory=list)
    after: list[Table] = field(default_factory=list)
    hashes: Hashes = field(default_factory=dict)
    schema_before: str = ""
    schema_after: str = ""
    broken: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


@dataclass
class _Again:
    """The second run, and what the old tables held before it."""

    hashes: Hashes = field(default_factory=dict)
    schema: str = ""
    error: str = ""


class Rehearsals:
    """Pending migrations, tried where they can do no harm."""

    def __init__(self, postgres: "Postgres", artifacts: Workspaces) -> None:
        """`artifacts` finds the release's workspace."""
        self._postgres = postgres
        self._artifacts = artifacts

    @activity.defn(name="migrations.rehearse")
    async def rehearse(self, request: RehearseMigrations) -> Rehearsal:
        """Migrate a copy of the restored backup, look at it, drop it, and do it once more.

        A migration that fails is a finding, no error. Raises ForeignChange when ledger or
        workspace are not what was reviewed, SlipwayError when there is no copy to be had.
        """
        root = await asyncio.to_thread(self._artifacts.path, request.release.workspace)
        name = side_name(request.database.name, request.deployment, request.tag + "r")
        async with (
            copied(root) as workspace,
            self._postgres.rehearsing(
                request.database, request.deployment, request.side_database, name
            ) as place,
        ):
            texts = await read_migrations(workspace, request.migrations.folder, request.release)
            one = _OneRehearsal(request, texts, workspace, place, current_progress())
            return await one.whole()


class _OneRehearsal:
    """The steps of one rehearsal, in order."""

    def __init__(
        self,
        request: RehearseMigrations,
        texts: list[MigrationText],
        workspace: Path,
        place: "Rehearsing",
        progress: Progress,
    ) -> None:
        self._request = request
        self._plan = request.migrations
        self._texts = texts
        self._workspace = workspace
        self._place = place
        self._progress = progress

    async def whole(self) -> Rehearsal:
        """Forward, back, forward again; and production as it was."""
        before = await self._place.production_now(self._plan.ledger)
        first = await self._forward()
        again = _Again()
        if not first.error:
            again = await self._again(first)
        untouched = before == await self._place.production_now(self._plan.ledger)
        seen = await asyncio.to_thread(self._told, first, again)
        return seen.model_copy(update={"findings": judge(seen, untouched=untouched)})

    async def _forward(self) -> _Forward:
        place, plan, first = self._place, self._plan, _Forward()
        self._progress.say("copying the restored backup")
        await place.copy()
        await self._check_pending()
        if await place.everybody_may_connect():
            first.notes.append(
                f"Every role of the server may connect to {self._request.database.name}; a "
                "rehearsal is kept from it by its own relay only. REVOKE CONNECT … FROM PUBLIC."
            )
        first.before = without_ledger(await place.tables(), plan.ledger)
        first.schema_before = await place.schema()
        ran_before = await self._checks()
        self._progress.say(f"{' '.join(plan.command)} on a copy of the backup")
        await self._run(first)
        if first.error:
            return first
        self._progress.say("comparing what the migration left")
        first.after = without_ledger(await place.tables(), plan.ledger)
        for one in to_hash(first.before, first.after):
            columns, key = list(one.columns), list(one.key)
            first.hashes[one.before] = await place.column_hashes(one.after, columns, key)
        first.schema_after = await place.schema()
        self._compare_checks(first, ran_before, await self._checks())
        return first

    async def _check_pending(self) -> None:
        """The restored backup must be what was reviewed, or something else would be rehearsed."""
        pending = pending_of(self._texts, await self._place.ledger(self._plan.ledger))
        if [one.hash for one in pending] != [one.hash for one in self._request.pending]:
            raise ForeignChange(
                f"{len(pending)} migrations are pending in the backup, "
                f"{len(self._request.pending)} were reviewed: ledger or workspace has changed.",
                "Look at who migrated the database, then start again.",
            )

    async def _run(self, first: _Forward) -> None:
        plan, began = self._plan, time.monotonic()
        names = {one.oid: one.label for one in first.before}
        done = await self._place.perform(
            plan.command, self._workspace, deadline=plan.deadline, names=names
        )
        first.seconds, first.trace = time.monotonic() - began, done.trace
        left = unequal(self._texts, await self._place.ledger(plan.ledger))
        if left:
            first.error = failure(done.ran, left)

    async def _checks(self) -> list[ProbeResult]:
        reads = [CorruptionProbe(name=one.name, sql=one.sql) for one in self._plan.read_checks]
        return [
            *await self._place.checked(reads, boolean=False),
            *await self._place.checked(self._request.corruption, boolean=True),
        ]

    def _compare_checks(
        self, first: _Forward, before: Sequence[ProbeResult], after: Sequence[ProbeResult]
    ) -> None:
        for old, new in zip(before, after, strict=True):
            if not old.sound:
                first.notes.append(
                    f"Read check {old.name!r} fails on the backup already: {old.because}."
                )
            elif not new.sound:
                first.broken.append(f"{new.name}: {new.because}"[:400])

    async def _again(self, first: _Forward) -> _Again:
        """Back to the backup, hash what stood there, and forward once more."""
        place, plan = self._place, self._plan
        self._progress.say("back: dropping the copy and copying the backup again")
        await place.copy()
        again = _Again()
        again.hashes = {
            one.before: await place.column_hashes(one.before, list(one.columns), list(one.key))
            for one in to_hash(first.before, first.after)
        }
        self._progress.say(f"{' '.join(plan.command)} once more")
        done = await place.perform(plan.command, self._workspace, deadline=plan.deadline, names={})
        left = unequal(self._texts, await place.ledger(plan.ledger))
        if left:
            again.error = failure(done.ran, left)
        else:
            again.schema = await place.schema()
        return again

    def _told(self, first: _Forward, again: _Again) -> Rehearsal:
        done = not first.error
        pairs = {name: (old, first.hashes[name]) for name, old in again.hashes.items()}
        sizes = {one.label: {"size": one.size, "rows": one.rows} for one in first.before}
        return Rehearsal(
            backup_key=self._request.backup_key,
            taken_at=self._request.taken_at,
            error=first.error,
            seconds=round(first.seconds, 3),
            busiest=first.trace.statements(),
            locks=[
                one.model_copy(update=sizes.get(one.table, {}))
                for one in first.trace.locks()[:_MOST_LOCKS]
            ],
            tables=touched(first.before, first.after, pairs) if done else [],
            broken=first.broken,
            followed=self._request.followed,
            schema_before=schema_sha256(first.schema_before),
            schema_after=schema_sha256(first.schema_after) if done else "",
            schema_again=schema_sha256(again.schema) if again.schema else "",
            error_again=again.error,
            schema_diff=schema_diff(first.schema_before, first.schema_after) if done else "",
            notes=first.notes,
        )


def failure(ran: "Ran", left: list[str]) -> str:
    """Return why a run of the migration command failed, in the server's own words if it spoke.

    `left`: how ledger and journal differ afterwards.
    """
    if ran.code == 0:
        return f"the migration command reports success, but {' '.join(left[:5])}".rstrip(".")
    if ran.error is not None:
        return ran.error.sentence.rstrip(".")
    return f"the migration command failed before PostgreSQL reported an error: {ran.words}"[:900]
