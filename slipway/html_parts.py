"""Texts and cells in HTML. Every text goes through `words`, which escapes it."""

from html import escape

from slipway.page import Code, Text, joined, pieces, plain

_NOTHING = "-"
"""An empty cell; left out where cells stand below each other."""
_SHORT = 20
"""Characters of a cell that stay on one line."""


def words(text: object) -> str:
    """Return a text in which nothing is markup."""
    return escape(plain(text))


def text_of(text: Text) -> str:
    """Return a text with its code."""
    return joined(text, words, lambda code: f"<code>{words(code)}</code>")


def width_of(text: Text) -> str:
    """Return the class of a cell: short texts (states, digests, times) are not broken."""
    length = sum(len(one.text if isinstance(one, Code) else one) for one in pieces(text))
    return "tight" if length <= _SHORT else ""


def cell(name: str, inner: str, kind: str = "") -> str:
    """Return a cell of a table, which names its column where cells stand below each other."""
    kinds = f"{kind} empty".strip() if inner == _NOTHING else kind
    sort = f' class="{kinds}"' if kinds else ""
    return f'<td{sort} data-label="{words(name)}">{inner}</td>'
