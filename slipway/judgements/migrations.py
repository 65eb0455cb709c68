"""Journal, ledger and release compared as sets: what is applied, what is pending, what is wrong.

The migration tool itself only looks at the newest ledger row: it skips what is older in silence,
never notices an edited file, and applies twice when run twice at once. So slipway compares.
"""

from collections import Counter
from itertools import pairwise
from typing import Annotated, Literal

from pydantic import Field, StringConstraints, ValidationError

from slipway.base import Document
from slipway.errors import BadInput
from slipway.judgements.migration_text import MigrationText
from slipway.judgements.statements import objections
from slipway.messages.migration import AppliedMigration, MigrationReview, PendingMigration
from slipway.release import MigrationFile, Tag
from slipway.verdicts import Reason

LARGEST_FILE = 1024 * 1024
"""Bytes of one migration, and of the journal."""
LARGEST_SET = 512 * 1024
"""Bytes of all pending migrations together: they travel to those who approve."""


class JournalEntry(Document):
    """One line of the journal."""

    idx: int = Field(ge=0)
    version: Annotated[str, StringConstraints(max_length=10)]
    when: int = Field(gt=0)
    """Milliseconds since 1970."""
    tag: Tag
    breakpoints: bool


class Journal(Document):
    """`meta/_journal.json` as the migration tool writes it."""

    version: Annotated[str, StringConstraints(max_length=10)]
    dialect: Literal["postgresql"]
    entries: list[JournalEntry] = Field(max_length=10_000)


def parse_journal(content: bytes) -> Journal:
    """Return the journal. Raises BadInput saying what is wrong where."""
    try:
        return Journal.model_validate_json(content)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        where = ".".join(str(part) for part in first["loc"]) or "the document"
        raise BadInput(
            f"The migration journal cannot be read: {where}: {first['msg']}.",
            "Generate the migrations again with the project's own command.",
            reason=Reason.MIGRATION_REFUSED,
        ) from None


def review(
    texts: list[MigrationText],
    applied: list[AppliedMigration],
    promised: list[MigrationFile],
    staging: list[AppliedMigration] | None,
) -> MigrationReview:
    """Compare the workspace with production's ledger, the release's promise and staging's ledger.

    `staging` None: not asked again (the review before approval did).
    """
    pending = pending_of(texts, applied)
    rehearsed = {one.hash for one in staging or []}
    refused = [
        *_journal_faults(texts),
        *_ledger_faults(texts, applied),
        *_skipped(pending, applied),
        *_broken_promises(pending, promised),
        *(_unrehearsed(pending, rehearsed) if staging is not None else []),
        *[f"{one.tag}: {why}." for one in pending for why in objections(one.sql)],
    ]
    if sum(len(one.sql.encode()) for one in pending) > LARGEST_SET:
        refused.append(f"The pending migrations are longer than {LARGEST_SET // 1024} KiB.")
    tags = {one.hash: one.tag for one in texts}
    return MigrationReview(
        applied=[
            one.model_copy(update={"tag": tags.get(one.hash, "")})
            for one in sorted(applied, key=lambda one: -one.created_at)[:10]
        ],
        pending=[
            PendingMigration(
                tag=one.tag,
                hash=one.hash,
                when=one.when,
                sql=one.sql,
                in_staging=one.hash in rehearsed,
            )
            for one in pending
        ],
        refused=refused,
        notes=_notes(texts, pending, applied, staging),
    )


def pending_of(texts: list[MigrationText], applied: list[AppliedMigration]) -> list[MigrationText]:
    """Return what the ledger does not hold, in the journal's order."""
    rows = _by_hash(applied)
    return [one for one in texts if not any(_is(one, row) for row in rows.get(one.hash, []))]


def _by_hash(applied: list[AppliedMigration]) -> dict[str, list[AppliedMigration]]:
    found: dict[str, list[AppliedMigration]] = {}
    for one in applied:
        found.setdefault(one.hash, []).append(one)
    return found


def _is(text: MigrationText, row: AppliedMigration) -> bool:
    """Whether a ledger's row, of the same hash, is this migration. A folder's name holds seconds:
    rows that an older drizzle wrote hold the journal's milliseconds, and no name."""
    if not text.folder:
        return row.created_at == text.when
    if row.name:
        return row.name == text.tag
    return row.created_at // 1000 == text.when // 1000


def unequal(texts: list[MigrationText], applied: list[AppliedMigration]) -> list[str]:
    """Say how ledger and journal differ as sets; an empty list means equal."""
    return [
        *[f"{one.tag} is not in the ledger." for one in pending_of(texts, applied)],
        *_ledger_faults(texts, applied),
    ]


def _journal_faults(texts: list[MigrationText]) -> list[str]:
    found = []
    for before, after in pairwise(texts):
        if after.when <= before.when and not after.folder:
            found.append(f"{after.tag} is not younger than {before.tag} in the journal.")
    for what, values in (("tag", [t.tag for t in texts]), ("content", [t.hash for t in texts])):
        if len(set(values)) != len(values):
            found.append(f"Two migrations of the journal have the same {what}.")
    return found


def _ledger_faults(texts: list[MigrationText], applied: list[AppliedMigration]) -> list[str]:
    by_when = {one.when // 1000 if one.folder else one.when: one.tag for one in texts}
    by_hash = {one.hash: one for one in texts}
    names = {one.tag for one in texts if one.folder}
    folders = bool(names)
    found = []
    for one in applied:
        same = by_hash.get(one.hash)
        if same is not None and _is(same, one):
            continue
        edited = by_when.get(one.created_at // 1000 if folders else one.created_at, "")
        if one.name and folders:
            edited = one.name if one.name in names else ""
        if edited:
            found.append(f"{edited} was edited after it had been applied.")
        elif same is not None and one.name:
            found.append(
                f"{same.tag} was applied under the name {one.name[:100]}: the tool would apply it "
                "again."
            )
        elif same is not None:
            found.append(f"{same.tag} was applied with another `when` in the journal.")
        else:
            found.append(
                f"The ledger holds {one.hash[:12]}, which has no file here: the schema is ahead "
                "of the workspace."
            )
    keys = [(one.hash, one.created_at) for one in applied]
    double = {
        by_hash[key[0]].tag if key[0] in by_hash else key[0][:12]
        for key, times in Counter(keys).items()
        if times > 1
    }
    return found + [f"{tag} was applied twice." for tag in sorted(double)]


def _skipped(pending: list[MigrationText], applied: list[AppliedMigration]) -> list[str]:
    newest = max((one.created_at for one in applied), default=0)
    return [
        f"{one.tag} is older than the newest applied migration and would be skipped in silence."
        for one in pending
        if one.when <= newest and not one.folder
    ]


def _broken_promises(pending: list[MigrationText], promised: list[MigrationFile]) -> list[str]:
    here = {(one.tag, one.hash) for one in pending}
    named = {(one.tag, one.sha256) for one in promised}
    found = []
    for tag, _ in sorted(here - named):
        found.append(f"{tag} is pending, but the release does not name it with this content.")
    for tag, _ in sorted(named - here):
        found.append(f"The release names {tag}, but it is not pending with this content.")
    return found


def _unrehearsed(pending: list[MigrationText], rehearsed: set[str]) -> list[str]:
    return [
        f"{one.tag} has not been applied in staging."
        for one in pending
        if one.hash not in rehearsed
    ]


def _notes(
    texts: list[MigrationText],
    pending: list[MigrationText],
    applied: list[AppliedMigration],
    staging: list[AppliedMigration] | None,
) -> list[str]:
    known = {one.hash for one in texts}
    ahead = [one.hash[:12] for one in staging or [] if one.hash not in known]
    found = [f"Staging's ledger also holds {', '.join(ahead[:5])}."] if ahead else []
    newest = max((one.created_at for one in applied), default=0)
    return found + [
        f"{one.tag} is older than the newest applied migration; the tool applies it all the same."
        for one in pending
        if one.folder and one.when <= newest
    ]
