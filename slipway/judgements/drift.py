"""Whether the schema has changes that no migration carries: what generating anew would write.

The tool asks about renamed columns and tables; where nobody can answer it prints a stack trace,
writes nothing and ends with exit code 0. So only its own sentence that nothing changed counts.
"""

from dataclasses import dataclass

from slipway.plan import Migrations

_SHOWN = 300
_MOST = 3


@dataclass(frozen=True)
class Generated:
    """What the command left in a copy of the workspace."""

    code: int
    said: str
    """Everything it printed."""
    written: list[tuple[str, str]]
    """Files of the migrations' folder that are new or changed: path, and how they begin."""


def judge_generated(found: Generated, migrations: Migrations) -> list[str]:
    """Return why the migrations are not the whole of the schema, a sentence each."""
    command = " ".join(migrations.generate)
    if found.written:
        scripts = [one for one in found.written if one[0].endswith(".sql")] or found.written
        return [
            f"`{command}` writes {path}, so the schema has changes without a migration: "
            f"{_begin(text)}"
            for path, text in scripts[:_MOST]
        ]
    if found.code == 0 and migrations.unchanged in found.said:
        return []
    because = f"it ended with exit code {found.code}, wrote nothing and did not say "
    return [not_checked(f"{because}`{migrations.unchanged}`: {_complaint(found.said)}", migrations)]


def not_checked(because: str, migrations: Migrations) -> str:
    """Return the sentence for a command that could not tell."""
    return (
        f"`{' '.join(migrations.generate)}` cannot tell whether the schema has changes without a "
        f"migration: {because[: _SHOWN * 2].rstrip('.')}. Run it in a terminal, where it can ask "
        "about renamed columns and tables, and commit what it writes."
    )


def _complaint(said: str) -> str:
    """Return the line that names an error, else the last one; never the stack below it."""
    lines = [line.strip() for line in said.splitlines() if line.strip()]
    errors = (line for line in lines if "error" in line.lower())
    return next(errors, lines[-1] if lines else "it printed nothing")


def _begin(text: str) -> str:
    """Return the first statements on one line."""
    line = " ".join(text.split())
    return line if len(line) <= _SHOWN else f"{line[:_SHOWN]}…"
