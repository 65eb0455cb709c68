"""Generates migrations into a scratch copy of the workspace: a schema that is wholly migrated
yields none."""

import asyncio
import hashlib
from pathlib import Path
from typing import TYPE_CHECKING

from activities.migration_files import copied
from slipway.errors import MigrationRefused, SlipwayError
from slipway.judgements.drift import Generated, judge_generated, not_checked
from slipway.plan import Migrations

if TYPE_CHECKING:
    from activities.adapters.project import Project

_DEADLINE = 120.0
"""Seconds the command may take: it asks no server."""
_READ = 4096


async def undeclared(project: "Project", root: Path, migrations: Migrations) -> list[str]:
    """Return why the migrations of a workspace are not the whole of its schema; none: they are.

    The command gets no address of a database. What cannot be checked is a sentence too.
    """
    try:
        async with copied(root) as workspace:
            return judge_generated(await _generate(project, workspace, migrations), migrations)
    except MigrationRefused:
        raise
    except SlipwayError as error:
        return [not_checked(error.what, migrations)]


async def _generate(project: "Project", workspace: Path, migrations: Migrations) -> Generated:
    folder = workspace / migrations.folder
    before = await asyncio.to_thread(_digests, folder)
    done = await project.run(migrations.generate, workspace, deadline=_DEADLINE)
    after = await asyncio.to_thread(_digests, folder)
    changed = sorted(path for path, digest in after.items() if before.get(path) != digest)
    return Generated(
        code=done.code,
        said=f"{done.stdout}\n{done.stderr}",
        written=[(_named(path, workspace), _beginning(path)) for path in changed],
    )


def _digests(folder: Path) -> dict[Path, str]:
    files = (path for path in folder.rglob("*") if path.is_file() and not path.is_symlink())
    return {path: hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def _named(path: Path, workspace: Path) -> str:
    return path.relative_to(workspace).as_posix()


def _beginning(path: Path) -> str:
    with path.open("rb") as file:
        return file.read(_READ).decode(errors="replace")
