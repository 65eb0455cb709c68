"""Markdown from data: every text is escaped, so that none can break the page or become markup."""

import re
from collections.abc import Iterable, Sequence

from slipway.base import say_length
from slipway.page import (
    Bars,
    Block,
    Bullets,
    Check,
    Checks,
    Heading,
    Page,
    Paragraph,
    Table,
    Text,
    joined,
    plain,
)

_LONGEST_CELL = 500
_MARKUP = re.compile(r"[\\`*\[\]|~$]|(?<![^\W_])_|_(?![^\W_])|&(?=#?\w+;)")
"""Emphasis, code, links, cells, entities; an underscore within a word is none."""
_AT_START = re.compile(r"^(?:#{1,6}(?=\s|$)|[-+](?=[\s-]|$)|>|\d{1,9}(?=[.)](?:\s|$)))")
"""What would begin a heading, list or quotation."""


def page_markdown(page: Page) -> str:
    """Return a page in Markdown."""
    lines = [f"# {cell(page.title)}: {cell(page.badge)}", "", f"**{cell(page.lead)}**", ""]
    for mark in page.marks:
        lines += [f"> {line(mark)}", ""]
    for section in page.sections:
        lines += [f"## {cell(section.title)}", ""]
        for block in section.blocks:
            lines += [*_block(block), ""]
    return "\n".join(lines)


def _block(block: Block) -> list[str]:
    if isinstance(block, Heading):
        return [f"### {cell(block.text)}"]
    if isinstance(block, Paragraph):
        return [line(block.text)]
    if isinstance(block, Bullets):
        return bullets(block.lines)
    if isinstance(block, Table):
        return table(block.head, block.rows)
    if isinstance(block, Bars):
        return table(
            ("What", "Began", "Took"), [(one.label, one.began, one.took) for one in block.rows]
        )
    return _checks(block)


def _checks(block: Checks) -> list[str]:
    return [_check(one) for one in block.lines] or ["None."]


def _check(check: Check) -> str:
    parts = [f"- [{check.mark}] {cell(check.title)}"]
    if check.by:
        parts.append(f"by {cell(check.by)}")
    parts += [f"{code(key)} sha256 {code(digest)}" for key, digest in check.proofs]
    if check.age:
        parts.append(f"{check.age} old")
    if check.note:
        parts.append(cell(check.note))
    return " · ".join(parts)


def cell(text: object) -> str:
    """Return a text as one line of at most 500 characters in which nothing is markup. At the
    beginning of a block use `line`, which also keeps headings and lists from beginning."""
    escaped = _MARKUP.sub(lambda found: "\\" + found.group(), plain(text)[:_LONGEST_CELL])
    return escaped.replace("<", "&lt;")


def _blunt(start: str) -> str:
    return f"{start}\\" if start[0].isdigit() else f"\\{start}"


def code(text: object) -> str:
    """Return a text as code, fenced by more backticks than it holds in a row."""
    inner = plain(text)[:_LONGEST_CELL]
    fence = "`" * (max((len(run) for run in re.findall("`+", inner)), default=0) + 1)
    room = " " if inner.startswith("`") or inner.endswith("`") or not inner else ""
    return f"{fence}{room}{inner}{room}{fence}"


def line(text: Text) -> str:
    """Return a text, with its code, as a line that begins nothing."""
    whole = joined(text, cell, code).strip()
    return _AT_START.sub(lambda found: _blunt(found.group()), whole)


def table(head: Sequence[str], rows: Iterable[Sequence[Text]]) -> list[str]:
    """Return the lines of a table, or one line that says there is nothing."""
    body = [f"| {' | '.join(_value(value) for value in row)} |" for row in rows]
    if not body:
        return ["None."]
    return [f"| {' | '.join(head)} |", f"|{' --- |' * len(head)}", *body]


def _value(value: Text) -> str:
    return joined(value, cell, lambda inner: code(inner).replace("|", "\\|"))


def bullets(lines: Iterable[Text]) -> list[str]:
    """Return a list, or one line that says there is nothing."""
    return [f"- {line(one)}" for one in lines] or ["None."]


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
