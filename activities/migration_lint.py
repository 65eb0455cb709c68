"""Pending SQL read by a linter, squawk, in a folder of its own."""

import asyncio
from pathlib import Path
from typing import TYPE_CHECKING

from activities.scratch import scratch
from slipway.errors import SlipwayError
from slipway.judgements.lint import WANTED, lint_findings, parse_linted
from slipway.judgements.migration_text import MigrationText
from slipway.messages.migration import MigrationFinding

if TYPE_CHECKING:
    from activities.adapters.project import Project

_DEADLINE = 60.0
_LONGEST = 4 * 1024 * 1024
_SILENCERS = (("squawk-ignore", "squawk_ignore"), ("squawk-disable", "squawk_disable"))
"""Comments by which a migration would silence the linter that looks at it."""


async def linted(
    project: "Project", texts: list[MigrationText]
) -> tuple[list[MigrationFinding], list[str]]:
    """Return findings about each migration, and notes about what was not linted and why.

    Our own rules need no linter: they are applied in any case.
    """
    findings: list[MigrationFinding] = []
    notes: dict[str, None] = {}
    for one in texts:
        try:
            printed = parse_linted(await _printed(project, one.sql))
        except SlipwayError as error:
            printed = []
            notes[f"Pending SQL was not linted: {error.what}"] = None
        findings += lint_findings(one.tag, one.sql, printed)
    return findings, list(notes)


async def _printed(project: "Project", sql: str) -> str:
    async with scratch("lint") as folder:
        await asyncio.to_thread(_write, folder / "migration.sql", sql)
        command = [project.beside("squawk"), "--reporter=json", "--assume-in-transaction"]
        command.append(f"--include={','.join(WANTED)}")
        done = await project.run(
            [*command, "migration.sql"], folder, deadline=_DEADLINE, keep=_LONGEST
        )
    if done.code not in (0, 1):
        raise SlipwayError(f"squawk failed: {done.words}.", "Install squawk-cli anew.")
    return done.stdout.strip() or "[]"


def _write(path: Path, sql: str) -> None:
    for silencer, harmless in _SILENCERS:
        sql = sql.replace(silencer, harmless)
    path.write_text(sql)
