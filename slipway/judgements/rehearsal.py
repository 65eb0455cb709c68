"""What a rehearsal means: which facts forbid the migration, and which approvers must know."""

import difflib
from collections.abc import Iterable

from slipway.base import utc_text
from slipway.judgements.backup import schema_lines
from slipway.judgements.lock_trace import BLOCKS_READS, BLOCKS_WRITES
from slipway.messages.migration import MigrationFinding, Severity
from slipway.messages.rehearsal import LockHeld, Rehearsal, TableTouched

NOTICED = 1.0
"""Seconds from which a lock is told to those who approve: whoever waits so long notices."""
LEAST_BUDGET, BUDGET_FACTOR = 30.0, 10.0
_MOST_DIFF = 200
_LONGEST_DIFF = 16_000
_MOST_SAID = 12


def statement_budget(slowest: float, deadline: float) -> float:
    """Return how many seconds a statement may take in production: ten times what the slowest took
    in the rehearsal, at least half a minute, never more than the plan gives the whole command."""
    return min(deadline, max(LEAST_BUDGET, BUDGET_FACTOR * slowest))


def schema_diff(before: str, after: str) -> str:
    """Return the difference of two schema dumps, bounded; dumps differ in nothing else."""
    lines = list(
        difflib.unified_diff(
            schema_lines(before), schema_lines(after), "before", "after", lineterm="", n=2
        )
    )
    more = [f"… and {len(lines) - _MOST_DIFF} lines more"] if len(lines) > _MOST_DIFF else []
    return "\n".join([*lines[:_MOST_DIFF], *more])[:_LONGEST_DIFF]


def judge(seen: Rehearsal, *, untouched: bool) -> list[MigrationFinding]:
    """Return the findings of a rehearsal, gravest first. `untouched`: production's ledger, grants
    and settings are as before it."""
    return [*_refusals(seen, untouched), *_for_approvers(seen)]


def _refusals(seen: Rehearsal, untouched: bool) -> Iterable[MigrationFinding]:
    if not untouched:
        yield _finding(
            "production-touched",
            "refuse",
            "production",
            "Production's ledger, grants or settings changed while the migration was rehearsed "
            "beside it.",
            "Find out who migrated or configured it, or what the migration reaches outside of its "
            "own database; then start again.",
        )
    if seen.error:
        yield _finding(
            "rehearsal-failed",
            "refuse",
            "migrations",
            f"The pending migrations fail on the backup of {utc_text(seen.taken_at)}: "
            f"{seen.error}.",
            "Correct the migration for production's data and run it in staging first.",
        )
        return
    for one in seen.broken:
        yield _finding(
            "read-check-broken",
            "refuse",
            one.partition(":")[0],
            f"After the migration, what must still run does not: {one}.",
            "Migrate in two releases: first add, let the services follow, then remove.",
        )
    if seen.error_again:
        yield _finding(
            "not-repeatable",
            "refuse",
            "migrations",
            f"The migrations succeeded on the backup, and then failed on it: {seen.error_again}.",
            "Take out of the migrations what depends on time or chance.",
        )
    elif seen.schema_again != seen.schema_after:
        yield _finding(
            "not-repeatable",
            "refuse",
            "migrations",
            "Run twice on the same backup, the migrations left two different schemas.",
            "Take out of the migrations what depends on time or chance.",
        )
    for table in seen.tables if seen.followed else ():
        if table.key_lost:
            yield _finding(
                "loses-key",
                "refuse",
                table.table,
                f"{table.table} loses its primary key. While the restored copy follows, production "
                "publishes it, and the server would refuse every UPDATE and DELETE of it.",
                "Give it another key in the same migration, or set rollback.fallback to off.",
            )


def _for_approvers(seen: Rehearsal) -> Iterable[MigrationFinding]:
    found = [one for table in seen.tables for one in _table(table)]
    found += [_logged(table) for table in seen.tables if seen.followed and table.changes_values]
    found += [one for one in map(_lock, seen.locks) if one is not None]
    return sorted(found, key=lambda one: one.severity != "block")


def _logged(one: TableTouched) -> MigrationFinding:
    return _finding(
        "logs-whole-rows",
        "note",
        one.table,
        f"Rows of {one.table} are logged whole (REPLICA IDENTITY FULL) from the migration to the "
        "end of the undo window: so a rollback has the old values of what services wrote since.",
    )


def _lock(held: LockHeld) -> MigrationFinding | None:
    if held.mode not in BLOCKS_WRITES:
        return None
    reads = held.mode in BLOCKS_READS
    long = held.seconds >= NOTICED
    remedy = ""
    if long:
        remedy = "Choose a quiet hour, or split the migration so that the lock is short."
    return _finding(
        "locks-reads" if reads else "locks-writes",
        "block" if long else "note",
        held.table,
        lock_sentence(held),
        remedy,
    )


def lock_sentence(held: LockHeld) -> str:
    """Return what a lock meant, for people."""
    who = "reads and writes of it wait" if held.mode in BLOCKS_READS else "writes to it wait"
    what = f" ({held.statement})" if held.statement else ""
    mode = "".join(f" {one}" if one.isupper() else one for one in held.mode.removesuffix("Lock"))
    return (
        f"{mode.strip().upper()} is held on {held.table} ({held.size / 2**20:.1f} MiB, "
        f"{held.rows:,} rows) for {say_seconds(held.seconds)}"
        f"{what}: {who} meanwhile."
    )


def say_seconds(seconds: float) -> str:
    """Return a short length as `4.2 s` or `12 ms`."""
    return f"{seconds:.1f} s" if seconds >= 1 else f"{seconds * 1000:.0f} ms"


def _table(one: TableTouched) -> Iterable[MigrationFinding]:
    about, rows = one.table, f"about {one.rows:,} rows"
    if one.change == "dropped":
        yield _destroys("drop-table", about, f"{about} is dropped with {rows}.")
    elif one.change == "renamed":
        what = f"{about} becomes {one.renamed_to}: services on old code no longer find it."
        yield _destroys("rename-table", about, what)
    elif one.change == "recreated":
        what = f"{about} is another table afterwards; {rows} were in the one before."
        yield _destroys("recreate-table", about, what)
    if one.dropped_columns:
        names = ", ".join(one.dropped_columns)
        yield _destroys("drop-column", about, f"{about} loses {names}, {rows}.")
    yield from _data(one)


def _data(one: TableTouched) -> Iterable[MigrationFinding]:
    about = one.table
    counts = f"{one.inserted:,} inserted, {one.updated:,} updated, {one.deleted:,} deleted"
    if one.change != "new" and one.changed_columns:
        names = ", ".join(one.changed_columns)
        if one.updated or one.deleted or one.rewritten or one.change != "altered":
            what = f"Old columns of {about} hold other content afterwards: {names} ({counts})."
            yield _destroys("changes-data", about, what)
        else:
            yield _finding("adds-rows", "note", about, f"{about} gets rows ({counts}).")
    elif one.change != "new" and (one.updated or one.deleted):
        what = f"Rows of {about} are written, old columns hold what they held ({counts})."
        yield _finding("writes-rows", "note", about, what)
    if one.rewritten:
        what = f"All of {about} ({one.size >> 20} MiB, {one.rows:,} rows) is written anew."
        yield _finding("rewrites-table", "note", about, what)


def _destroys(rule: str, about: str, what: str) -> MigrationFinding:
    remedy = "Make sure that no service on old code needs it, and that its data is not needed."
    return _finding(rule, "block", about, what, remedy)


def _finding(
    rule: str, severity: Severity, about: str, what: str, remedy: str = ""
) -> MigrationFinding:
    return MigrationFinding(
        rule=rule, severity=severity, about=about, what=what[:600], remedy=remedy
    )


def summary(seen: Rehearsal) -> list[str]:
    """Return a rehearsal in sentences, for those who approve and those who operate."""
    backup = f"the backup of {utc_text(seen.taken_at)}"
    if seen.error:
        return [one.what for one in seen.refused]
    said = [f"The pending migrations ran on {backup} in {say_seconds(seen.seconds)}, twice alike."]
    if seen.busiest:
        slow = seen.busiest[0]
        said.append(f"Slowest statement: {say_seconds(slow.seconds)}: {slow.statement}")
    findings = [one.what for one in seen.findings]
    if not any(one.rule.startswith("locks-") for one in seen.findings):
        findings.append("No lock was held that keeps services waiting.")
    more = [f"… and {len(findings) - _MOST_SAID} more."] if len(findings) > _MOST_SAID else []
    return [*said, *findings[:_MOST_SAID], *more, *seen.notes]
