"""HTML from data: one file that needs nothing else. Every text is escaped, and a policy in the
page forbids scripts and everything from outside, should one ever slip through."""

import base64
import hashlib
from collections.abc import Iterable
from html import escape

from slipway.html_bars import bars
from slipway.html_parts import cell, text_of, width_of, words
from slipway.html_style import STYLE
from slipway.page import (
    Bars,
    Block,
    Bullets,
    Check,
    Checks,
    Code,
    Heading,
    Page,
    Paragraph,
    Section,
    Table,
    Text,
)

_POLICY = (
    "default-src 'none'; style-src 'sha256-"
    + base64.b64encode(hashlib.sha256(STYLE.encode()).digest()).decode()
    + "'; base-uri 'none'; form-action 'none'"
)
_MARKS = {"x": ("done", "✓"), "!": ("missing", "✗"), " ": ("open", "–")}
"""Word and sign of a checklist's line; the word is the class of its cell too."""


def page_html(page: Page) -> str:
    """Return a page as one HTML file."""
    lines = [
        "<!DOCTYPE html>",
        '<html lang="en">',
        "<head>",
        '<meta charset="utf-8">',
        f'<meta http-equiv="Content-Security-Policy" content="{escape(_POLICY)}">',
        '<meta name="viewport" content="width=device-width, initial-scale=1">',
        '<meta name="referrer" content="no-referrer">',
        f"<title>{words(f'{page.title}: {page.badge}')}</title>",
        f"<style>{STYLE}</style>",
        "</head>",
        "<body>",
        "<main>",
        f"<h1>{words(page.title)}</h1>",
        f'<p class="badge {page.tone}">{words(page.badge)}</p>',
        f'<p class="lead {page.tone}"><span>{words(page.lead)}</span></p>',
        *(f'<p class="mark">{words(mark)}</p>' for mark in page.marks),
    ]
    for number, section in enumerate(page.sections, 1):
        lines += _section(number, section)
    return "\n".join([*lines, "</main>", "</body>", "</html>"])


def _section(number: int, section: Section) -> list[str]:
    lines = [
        f'<section aria-labelledby="s{number}">',
        f'<h2 id="s{number}">{words(section.title)}</h2>',
    ]
    for block in section.blocks:
        lines += _block(block)
    return [*lines, "</section>"]


def _block(block: Block) -> list[str]:
    if isinstance(block, Heading):
        return [f"<h3>{words(block.text)}</h3>"]
    if isinstance(block, Paragraph):
        return [f"<p>{text_of(block.text)}</p>"]
    if isinstance(block, Bullets):
        items = [f"<li>{text_of(line)}</li>" for line in block.lines]
        return ["<ul>", *items, "</ul>"] if items else ["<p>None.</p>"]
    if isinstance(block, Table):
        return _table(block.head, [_row(block.head, row) for row in block.rows])
    if isinstance(block, Bars):
        return bars(block)
    return _checks(block)


def _table(head: Iterable[str], rows: list[str], kind: str = "") -> list[str]:
    if not rows:
        return ["<p>None.</p>"]
    opening = f'<table class="{kind}">' if kind else "<table>"
    columns = "".join(f'<th scope="col">{words(one)}</th>' for one in head)
    return [opening, f"<thead><tr>{columns}</tr></thead>", "<tbody>", *rows, "</tbody>", "</table>"]


def _row(head: tuple[str, ...], row: tuple[Text, ...]) -> str:
    """A row; its first cell is its heading, and on a narrow screen each cell names its column."""
    first, *rest = row
    tight = f' class="{width_of(first)}"' if width_of(first) else ""
    cells = [f'<th scope="row"{tight}>{text_of(first)}</th>']
    cells += [
        cell(name, text_of(one), width_of(one)) for name, one in zip(head[1:], rest, strict=True)
    ]
    return f"<tr>{''.join(cells)}</tr>"


def _checks(block: Checks) -> list[str]:
    head = ("Line", "State", "By", "Proof", "Age", "Note")
    return _table(head, [_check(head, one) for one in block.lines], "checks")


def _check(head: tuple[str, ...], one: Check) -> str:
    word, sign = _MARKS[one.mark]
    proofs = "".join(
        f'<span class="proof">{text_of((Code(key), " sha256 ", Code(digest)))}</span>'
        for key, digest in one.proofs
    )
    cells = (
        cell(head[1], f'<span aria-hidden="true">{sign}</span> {word}', f"{word} tight"),
        cell(head[2], words(one.by or "-")),
        cell(head[3], proofs or "-"),
        cell(head[4], words(one.age or "-"), "tight"),
        cell(head[5], words(one.note or "-")),
    )
    return f'<tr><th scope="row">{words(one.title)}</th>{"".join(cells)}</tr>'
