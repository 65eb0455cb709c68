"""Command lines of PostgreSQL's own tools, as lists. Nothing here runs; no list holds a secret.

Passwords travel by a passfile that the caller opens, never in a list or an address.
"""

import re
from dataclasses import dataclass
from enum import StrEnum

LOCK_WAIT = 60_000
"""Milliseconds pg_dump waits for a table's lock before it fails."""

_COPIED = ("--no-publications", "--no-subscriptions")
"""A copy must not publish or subscribe: its origin does, and would fail on tables without a key."""

FALLBACK_SCHEMA = "slipway_fallback"
"""What slipway keeps in a copy that follows production. It is nobody's data: in no dump, in no
fingerprint, also not when that copy has become production."""
_NOT_OURS = f"--exclude-schema={FALLBACK_SCHEMA}"


@dataclass(frozen=True)
class Where:
    """A database as PostgreSQL's tools are told of it."""

    host: str
    port: int
    user: str
    database: str

    @property
    def arguments(self) -> list[str]:
        """Connection arguments; the tools never ask for a password."""
        return [
            "--no-password",
            f"--host={self.host}",
            f"--port={self.port}",
            f"--username={self.user}",
            f"--dbname={self.database}",
        ]


def dump(program: str, where: Where, snapshot: str) -> list[str]:
    """Dump everything as of an exported snapshot, uncompressed custom format, to standard output.

    Uncompressed, because zstandard outside is both faster and smaller than pg_dump's gzip.
    """
    return [
        program,
        *where.arguments,
        "--format=custom",
        "--compress=0",
        f"--snapshot={snapshot}",
        _NOT_OURS,
        f"--lock-wait-timeout={LOCK_WAIT}",
    ]


def roles(program: str, where: Where) -> list[str]:
    """Print all roles without passwords, their memberships and settings, as SQL."""
    return [
        program,
        "--no-password",
        f"--host={where.host}",
        f"--port={where.port}",
        f"--username={where.user}",
        f"--database={where.database}",
        "--globals-only",
        "--no-role-passwords",
        f"--lock-wait-timeout={LOCK_WAIT}",
    ]


def schema(program: str, where: Where, snapshot: str | None = None) -> list[str]:
    """Print the schema as SQL, for its fingerprint."""
    pinned = [f"--snapshot={snapshot}"] if snapshot else []
    return [
        program,
        *where.arguments,
        "--schema-only",
        *_COPIED,
        _NOT_OURS,
        *pinned,
        f"--lock-wait-timeout={LOCK_WAIT}",
    ]


def read_through(program: str, file: str) -> list[str]:
    """Read every byte of a dump. `pg_restore --list` would accept a dump cut in half."""
    return [program, "--exit-on-error", "--file=/dev/null", file]


def restore(program: str, where: Where, file: str, jobs: int = 2) -> list[str]:
    """Restore a dump file into an empty database; the first error ends it."""
    return [program, *where.arguments, "--exit-on-error", *_COPIED, f"--jobs={jobs}", file]


class Part(StrEnum):
    """What of a database is carried over."""

    ALL = "all"
    SCHEMA = "schema-only"
    DATA = "data-only"


def carry_out(program: str, where: Where, snapshot: str, part: Part) -> list[str]:
    """Dump a copy with everything in it, slipway's own schema too, for `carry_in` to read."""
    only = [] if part is Part.ALL else [f"--{part.value}"]
    return [
        program,
        *where.arguments,
        "--format=custom",
        "--compress=0",
        f"--snapshot={snapshot}",
        *only,
        f"--lock-wait-timeout={LOCK_WAIT}",
    ]


def carry_in(program: str, where: Where) -> list[str]:
    """Restore what comes on standard input; the first error ends it."""
    return [program, *where.arguments, "--exit-on-error", *_COPIED]


def version(program: str) -> list[str]:
    """Print the tool's version."""
    return [program, "--version"]


def major_of(text: str) -> int:
    """Return the major version in the output of `--version`, such as 18.

    Raises ValueError when there is none.
    """
    match = re.search(r"\) (\d{1,3})\b|\) (\d{1,3})(?:devel|beta|rc)", text)
    if match is None:
        raise ValueError(f"no version in {text[:80]!r}")
    return int(match.group(1) or match.group(2))
