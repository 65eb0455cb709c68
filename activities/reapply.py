"""Rows that a rollback of the database set aside, written into production again."""

import asyncio
import secrets
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import zstandard
from temporalio import activity

from activities.heartbeat import Progress, current_progress
from activities.scratch import scratch
from slipway.errors import BadInput, ForeignChange
from slipway.judgements.rows_file import RowVerdict
from slipway.messages.reapply import (
    UNWRITTEN,
    Reapplied,
    ReapplyFiles,
    RowFile,
    RowOutcome,
    TableOutcome,
)
from slipway.messages.record import Place

if TYPE_CHECKING:
    from activities.adapters.object_store import ObjectStore
    from activities.adapters.postgres.adapter import Postgres
    from activities.adapters.postgres.reapply import Reapplying
    from activities.adapters.postgres.reapply_spool import Spool

_BATCH = 50
"""Rows of a transaction: over 64 savepoints would slow down every other session's snapshots."""
_SHOWN = 100
"""Rows that travel; the object beside the record has all."""


class Reapply:
    """The rows of a run's files, and production."""

    def __init__(self, postgres: "Postgres", store: "ObjectStore") -> None:
        """Both are used by the privileged worker only."""
        self._postgres = postgres
        self._store = store

    @activity.defn(name="backup.reapply")
    async def reapply(self, request: ReapplyFiles) -> Reapplied:
        """Write rows again, each exactly as the file has it or not at all; or only try to.

        What was written before is found there, so that another attempt goes on where one was cut
        off. Raises BadInput for a file that is none, ForeignChange for one that was altered, Fenced
        when the database was migrated or taken back meanwhile.
        """
        began, progress = time.monotonic(), current_progress()
        async with (
            scratch("reapply") as folder,
            self._postgres.reapplying(request.database, request.fence) as work,
        ):
            await work.look(request.ledger)
            with work.spooling(folder, request.chosen) as spool:
                for one in request.files:
                    progress.say(f"reading {one.key}")
                    await self._read(request.place, one, spool, folder)
                _refuse_unmet(spool)
                await _Rows(request, work, spool, progress).all()
                key = await self._write_down(request.place, spool, folder) if request.apply else ""
                return Reapplied(
                    applied=request.apply,
                    files=[one.key for one in request.files],
                    tables=[_table(name, found) for name, found in spool.counts().items()],
                    unwritten=_unwritten(spool),
                    fence=work.fence,
                    outcomes_key=key,
                    seconds=round(time.monotonic() - began, 3),
                )

    async def _read(self, place: Place, one: RowFile, spool: "Spool", folder: Path) -> None:
        if not one.key.startswith(f"{place.folder}artefacts/"):
            raise BadInput(f"{one.key[:200]!r} is no artefact of {place.deployment}.")
        packed = folder / "rows.zst"
        with await asyncio.to_thread(packed.open, "wb") as file:
            digest = await self._store.download(place.bucket, one.key, file)
        if digest != one.sha256:
            what = "is gone" if digest is None else "was altered"
            raise ForeignChange(
                f"{place.bucket}/{one.key} {what}: the record names the digest {one.sha256[:12]}….",
                "Restore the object's first version; the bucket keeps versions.",
            )
        await spool.read(one.key, packed)
        packed.unlink()

    async def _write_down(self, place: Place, spool: "Spool", folder: Path) -> str:
        """Keep the outcome of every row beside the record."""
        file = folder / "outcomes.zst"

        def write() -> None:
            with file.open("wb") as raw, zstandard.ZstdCompressor().stream_writer(raw) as packed:
                for one in spool.outcomes():
                    packed.write(one.model_dump_json().encode() + b"\n")

        await asyncio.to_thread(write)
        stamp = datetime.now(UTC).strftime("%Y%m%dT%H%M%SZ")
        key = f"{place.folder}artefacts/reapplied-{stamp}-{secrets.token_hex(3)}.jsonl.zst"
        await self._store.put_file(place.bucket, key, file)
        return key


class _Rows:
    """All rows of the files, table by table, and again where they waited for each other."""

    def __init__(
        self, request: ReapplyFiles, work: "Reapplying", spool: "Spool", progress: Progress
    ) -> None:
        self._request = request
        self._work = work
        self._spool = spool
        self._progress = progress
        self._done = 0

    async def all(self) -> None:
        """Write or try them."""
        named = self._spool.tables()
        order = await self._work.order([one for one in named if one in self._work.tables])
        for name in named:
            if name not in self._work.tables:
                self._settle(
                    name, "", RowVerdict("refused", f"there is no table {name} to write to")
                )
        outcome = ""
        while await self._pass(order, outcome):
            outcome = "waits"
            if not self._request.apply:
                return  # what was tried was taken back: nobody can tell yet
        for name in order if self._request.apply else ():
            because = "a row that it refers to is not there, nor in the files"
            self._settle(name, "waits", RowVerdict("refused", because, "23503"))

    async def _pass(self, order: list[str], outcome: str) -> bool:
        """Go through the rows that came out so; whether another pass may do more."""
        written = waiting = 0
        for name in order:
            table, after = await self._work.look_at(name), 0
            while batch := self._spool.batch(name, outcome, after, _BATCH):
                after = batch[-1].number
                verdicts = await self._work.write(
                    table, batch, apply=self._request.apply, over=self._request.overwrite
                )
                for one, verdict in zip(batch, verdicts, strict=True):
                    self._spool.note(one.number, verdict)
                    written += verdict.outcome == "applied"
                    waiting += verdict.outcome == "waits"
                self._done += len(batch)
                self._progress.say(f"{self._done} rows looked at, now in {name}")
            if self._request.apply:
                await self._work.leave(name)
        return bool(waiting and (written or not outcome))

    def _settle(self, name: str, outcome: str, verdict: RowVerdict) -> None:
        """Give the same verdict to all rows of a table that came out so."""
        after = 0
        while batch := self._spool.batch(name, outcome, after, 1000):
            after = batch[-1].number
            for one in batch:
                self._spool.note(one.number, verdict)


def _refuse_unmet(spool: "Spool") -> None:
    """A choice that means no row is a slip of the pen: what it was to spare would be written."""
    unmet = [str(one) for one in spool.unmet()]
    if unmet:
        raise BadInput(
            f"No row of the files is {' or '.join(unmet[:5])}.",
            f"Write tables as schema.table; chosen are now: {', '.join(spool.tables()) or 'none'}.",
        )


def _table(name: str, found: dict[str, int]) -> TableOutcome:
    written = found.get("fits", 0) + found.get("applied", 0)
    rest = {one: found.get(one, 0) for one in ("there", *UNWRITTEN)}
    return TableOutcome(table=name, written=written, **rest)


def _unwritten(spool: "Spool") -> list[RowOutcome]:
    """The first rows that a person must look at."""
    found = []
    for one in spool.outcomes(UNWRITTEN):
        found.append(one.model_copy(update={"key": one.key[:200], "because": one.because[:300]}))
        if len(found) == _SHOWN:
            break
    return found
