"""What a linter's findings about pending SQL mean here: our severities, in our words.

squawk calls everything a warning. What is a lock is only noted, since the rehearsal measures how
long it is held on this database's data; what breaks services on old code or loses data is shown to
those who approve. Timeouts, retries and the transaction are slipway's own business.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from slipway.errors import BadInput
from slipway.judgements.unguarded import unguarded
from slipway.messages.migration import MigrationFinding, Severity

IGNORED = (
    "ban-char-field",
    "ban-uncommitted-transaction",
    "identifier-too-long",
    "prefer-bigint-over-int",
    "prefer-bigint-over-smallint",
    "prefer-identity",
    "prefer-repack",
    "prefer-robust-stmts",
    "prefer-text-field",
    "prefer-timestamp-tz",
    "require-lock-timeout",
    "require-statement-timeout",
    "require-table-schema",
    "require-timeout-settings",
    "transaction-nesting",
    "unused-ignore",
)
"""Style, and what slipway sees to itself: timeouts, one transaction, what would end it."""

WANTED = (
    "ban-disable-trigger",
    "ban-drop-domain",
    "ban-drop-extension",
    "ban-drop-function",
    "ban-drop-schema",
    "ban-drop-type",
    "ban-drop-view",
    "ban-set-schema",
    "renaming-object",
)
"""Rules that squawk has and does not apply by itself."""

_MOST = 100


@dataclass(frozen=True)
class _Rule:
    """What one of the linter's rules is here."""

    name: str
    severity: Severity
    says: str
    """What it blocks or breaks, in plain words."""
    remedy: str


_LATER = "Add what is new now; remove the old in a later release, when no service uses it."
_MEASURED = "The rehearsal says how long; choose a quiet hour if that is too long."
_NOT_VALID = "Add it NOT VALID now and validate it in a later migration."

_RULES: dict[str, _Rule] = {
    "ban-drop-table": _Rule("drop-table", "block", "drops a table with its rows", _LATER),
    "ban-drop-column": _Rule("drop-column", "block", "drops a column with its content", _LATER),
    "ban-drop-schema": _Rule("drop-schema", "block", "drops a schema", _LATER),
    "ban-drop-database": _Rule(
        "drop-database", "refuse", "drops a database", "Take it out of the migration."
    ),
    "ban-truncate-cascade": _Rule(
        "truncate", "block", "empties tables, also those that refer to them", _LATER
    ),
    "ban-drop-view": _Rule("drop-view", "block", "drops a view that services may read", _LATER),
    "ban-drop-type": _Rule("drop-type", "block", "drops a type", _LATER),
    "ban-drop-domain": _Rule("drop-type", "block", "drops a domain", _LATER),
    "ban-drop-function": _Rule(
        "drop-function", "block", "drops a function that services may call", _LATER
    ),
    "ban-drop-extension": _Rule("drop-extension", "block", "drops an extension", _LATER),
    "ban-disable-trigger": _Rule(
        "disable-trigger",
        "block",
        "switches a trigger off: what it keeps true is not kept",
        "Switch it on again in the same migration.",
    ),
    "ban-set-schema": _Rule(
        "rename-table", "block", "moves something to another schema: old code loses it", _LATER
    ),
    "renaming-object": _Rule(
        "rename-object", "block", "renames something: old code no longer finds it", _LATER
    ),
    "renaming-table": _Rule(
        "rename-table", "block", "renames a table: old code no longer finds it", _LATER
    ),
    "renaming-column": _Rule(
        "rename-column", "block", "renames a column: old code no longer finds it", _LATER
    ),
    "changing-column-type": _Rule(
        "changes-type",
        "block",
        "changes a column's type: reads and writes wait while the table is written anew, and old "
        "code reads another type",
        "Add a column of the new type and move over in several releases.",
    ),
    "adding-required-field": _Rule(
        "required-column",
        "block",
        "adds a required column without a default: inserts of old code fail",
        "Give it a default, or make it required in a later release.",
    ),
    "adding-not-nullable-field": _Rule(
        "not-null",
        "block",
        "makes a column required: writes wait while all rows are read, and inserts of old code "
        "that leave it out fail",
        "Make it required in a later release, by a constraint that is validated first.",
    ),
    "ban-drop-not-null": _Rule(
        "drop-not-null", "block", "lets a column be empty: old code may not expect it", _LATER
    ),
    "disallowed-unique-constraint": _Rule(
        "unique-constraint", "note", "adds a unique constraint: reads and writes wait", _MEASURED
    ),
    "require-concurrent-index-creation": _Rule(
        "index", "note", "builds an index: writes to the table wait meanwhile", _MEASURED
    ),
    "require-concurrent-index-deletion": _Rule(
        "drop-index", "note", "drops an index: queries may become slow", _MEASURED
    ),
    "require-concurrent-reindex": _Rule(
        "index", "note", "builds an index anew: writes to the table wait meanwhile", _MEASURED
    ),
    "constraint-missing-not-valid": _Rule(
        "constraint", "note", "adds a constraint: writes wait while all rows are read", _NOT_VALID
    ),
    "adding-foreign-key-constraint": _Rule(
        "foreign-key",
        "note",
        "adds a foreign key: writes to both tables wait while all rows are read",
        _NOT_VALID,
    ),
    "adding-field-with-default": _Rule(
        "default", "note", "adds a column whose default is computed for every row", _MEASURED
    ),
    "syntax-error": _Rule(
        "unreadable",
        "note",
        "cannot be read by the linter",
        "Look at it with care: only the rehearsal has checked it.",
    ),
}
_OWN = {
    "delete-all": "deletes every row of a table (no WHERE)",
    "update-all": "overwrites every row of a table (no WHERE)",
    "truncate": "empties a table",
}


class Linted(BaseModel):
    """One finding as squawk prints it."""

    model_config = ConfigDict(extra="ignore", frozen=True)

    rule_name: str = Field(max_length=80)
    line: int = Field(ge=0)
    message: str = Field(default="", max_length=4000)


_PRINTED = TypeAdapter(list[Linted])


def parse_linted(text: str) -> list[Linted]:
    """Return what the linter printed as JSON. Raises BadInput when it is something else."""
    try:
        return _PRINTED.validate_json(text)
    except ValidationError:
        raise BadInput(
            "The linter printed no list of findings.", "Install squawk-cli anew."
        ) from None


def lint_findings(tag: str, sql: str, printed: Sequence[Linted]) -> list[MigrationFinding]:
    """Return the findings about one migration, gravest first, each rule once: those of the linter
    and our own."""
    found: dict[str, MigrationFinding] = {}
    for one in [*_own(tag, sql), *_of_linter(tag, printed)]:
        found.setdefault(one.rule, one)
    order = ("refuse", "block", "note")
    return sorted(found.values(), key=lambda one: (order.index(one.severity), one.rule))[:_MOST]


def _own(tag: str, sql: str) -> Iterable[MigrationFinding]:
    for rule, words in unguarded(sql):
        yield MigrationFinding(
            rule=rule,
            severity="block",
            about=tag,
            what=f"{tag} {_OWN[rule]}: {words} ….",
            remedy="Say which rows with WHERE, or make sure that all of them are meant.",
        )


def _of_linter(tag: str, printed: Sequence[Linted]) -> Iterable[MigrationFinding]:
    for one in printed:
        rule = _RULES.get(one.rule_name)
        if one.rule_name in IGNORED:
            continue
        if rule is None:
            rule = _Rule(one.rule_name, "note", " ".join(one.message.split())[:300], "")
        yield MigrationFinding(
            rule=rule.name,
            severity=rule.severity,
            about=tag,
            what=f"{tag}, line {one.line + 1}, {rule.says}.",
            remedy=rule.remedy,
        )
