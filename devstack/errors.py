"""The one error of the local stack: what failed, and what to do next."""

from __future__ import annotations

from pathlib import Path


class StackError(Exception):
    """Something of the local stack cannot be built, started or stopped.

    The text names what failed, and the remedy; it is printed without a traceback.
    """


def tail(path: Path, lines: int = 15) -> str:
    """The last lines of a log file, indented for an error message; never raises."""
    try:
        with path.open("rb") as file:
            file.seek(0, 2)
            file.seek(max(0, file.tell() - 16_384))
            text = file.read().decode(errors="replace")
    except OSError:
        return "  (no log)"
    return "\n".join(f"  {line}" for line in text.splitlines()[-lines:]) or "  (empty log)"
