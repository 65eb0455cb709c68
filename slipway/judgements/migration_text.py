"""A migration as the workspace holds it: an entry of drizzle's journal (0.x), or a folder named
after its time (1.x)."""

import hashlib
import re
from datetime import UTC, datetime

from slipway.base import Document, Sha256
from slipway.errors import BadInput
from slipway.release import Tag
from slipway.verdicts import Reason


class MigrationText(Document):
    """A migration of the workspace: a journal's entry with its file, or a folder."""

    tag: Tag
    when: int
    hash: Sha256
    sql: str
    folder: bool = False
    """Whether it is a folder of drizzle 1.x, which decides by name what is pending."""


_FOLDER = re.compile(r"^\d{14}_[A-Za-z0-9._-]{1,180}$")


def is_folder(name: str) -> bool:
    """Whether a folder's name is one that drizzle 1.x gives: `20260512000000_architecture_lab`."""
    return _FOLDER.match(name) is not None


def folder_when(name: str) -> int:
    """Return the milliseconds that drizzle 1.x writes to its ledger for a folder.

    Raises BadInput when the name does not begin with a time.
    """
    try:
        at = datetime.strptime(name[:14], "%Y%m%d%H%M%S").replace(tzinfo=UTC)
    except ValueError:
        raise BadInput(
            f"The migration folder {name} does not begin with a time (YYYYMMDDHHMMSS, UTC).",
            "Generate the migration again with the project's own command.",
            reason=Reason.MIGRATION_REFUSED,
        ) from None
    return int(at.timestamp()) * 1000


def folders_sha256(texts: list[MigrationText]) -> str:
    """Return the digest that a release pins where there is no journal: what
    `sha256sum */migration.sql | sha256sum` prints in the migrations' folder (LC_ALL=C)."""
    lines = "".join(f"{one.hash}  {one.tag}/migration.sql\n" for one in texts)
    return hashlib.sha256(lines.encode()).hexdigest()
