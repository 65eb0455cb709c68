"""Markdown from data: every cell and line is escaped, so that no text can break the page."""

from collections.abc import Iterable, Sequence

from slipway.base import say_length

_LONGEST_CELL = 500


def cell(text: object) -> str:
    """Return a text for a table's cell: one line, `|` and leading markup harmless."""
    one_line = " ".join(str(text).split())[:_LONGEST_CELL]
    return one_line.replace("\\", "\\\\").replace("|", "\\|").replace("<", "&lt;")


def table(head: Sequence[str], rows: Iterable[Sequence[object]]) -> list[str]:
    """Return the lines of a table, or one line that says there is nothing."""
    body = [f"| {' | '.join(cell(value) for value in row)} |" for row in rows]
    if not body:
        return ["None."]
    return [f"| {' | '.join(head)} |", f"|{' --- |' * len(head)}", *body]


def bullets(lines: Iterable[object]) -> list[str]:
    """Return a list, or one line that says there is nothing."""
    return [f"- {cell(line)}" for line in lines] or ["None."]


def short(digest: str) -> str:
    """Return the first twelve digits of a digest, as people compare them."""
    return digest.removeprefix("sha256:")[:12]


def say_age(seconds: float) -> str:
    """Return an age in at most two units: `3d4h`, `2h5m`, `14m`, `8s`."""
    whole = max(0.0, seconds)
    for unit, step in ((86400.0, 3600.0), (3600.0, 60.0), (600.0, 60.0)):
        if whole >= unit:
            return say_length(whole - whole % step)
    return say_length(float(round(whole)))


def say_size(size: int) -> str:
    """Return a number of bytes as `12 B`, `3.4 KB`, `51.0 MB`."""
    value = float(size)
    for unit in ("B", "KB", "MB", "GB"):
        if value < 1000 or unit == "GB":
            return f"{value:.0f} {unit}" if unit == "B" else f"{value:.1f} {unit}"
        value /= 1000
    raise AssertionError("unreachable")
