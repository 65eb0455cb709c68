"""Error lines folded into templates, so that people see which kinds of them are new.

New kinds are listed, and nothing more: a new version may word an old error anew.
"""

import json
import re
from collections import Counter
from collections.abc import Iterable

from slipway.judgements.log_levels import is_error
from slipway.judgements.logs import LogLine
from slipway.judgements.masking import shown

_LONGEST = 160
_MOST = 100
"""Templates kept of one service; the most frequent ones."""
_SHOWN = 5
_GAP = "<*>"
_VARIABLE = re.compile(
    r"""
    "[^"]*" | '[^']*'                                                      # quoted texts
    | \d{4}-\d\d-\d\d[T ]\d\d:\d\d[0-9:.,]*(?:Z|[+-]\d\d:?\d\d)?           # times
    | \b[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}\b     # UUIDs
    | \b(?:0x)?(?=[0-9a-f]*\d)[0-9a-f]{8,}\b                               # digests, pointers
    | \d+(?:[.:,]\d+)*                                                     # numbers, addresses
    """,
    re.VERBOSE | re.IGNORECASE,
)
_TEXTS = ("msg", "message", "error", "err")
"""Keys of a JSON line under which its text stands."""


def fold(line: str) -> str:
    """Return a line without what differs from one to the next (numbers, names in quotes, times),
    and without secrets: templates are kept in the record."""
    text = _VARIABLE.sub(_GAP, shown(_text(line)))
    return " ".join(text.split())[:_LONGEST]


def templates(lines: Iterable[LogLine]) -> Counter[str]:
    """Return how many error lines each template has."""
    return Counter(fold(one.text) for one in lines if is_error(one.text))


def kept(counts: Counter[str]) -> list[str]:
    """Return the templates worth remembering until after the release."""
    return sorted(name for name, _ in counts.most_common(_MOST))


def new_kinds(service: str, before: Iterable[str], now: Counter[str]) -> str:
    """Return in a sentence which kinds of error lines were not there before; empty: none."""
    known = set(before)
    new = [(name, count) for name, count in now.most_common() if name not in known]
    if not new:
        return ""
    shown = "; ".join(f"{count} × {name}" for name, count in new[:_SHOWN])
    more = f"; and {len(new) - _SHOWN} more" if len(new) > _SHOWN else ""
    return (
        f"{service} writes error lines of a kind that the hour before did not hold: {shown}{more}."
    )


def _text(line: str) -> str:
    if not line.startswith("{"):
        return line
    try:
        found = json.loads(line)
    except (ValueError, RecursionError):
        return line
    texts = (found.get(key) for key in _TEXTS) if isinstance(found, dict) else ()
    return next((one for one in texts if isinstance(one, str) and one), line)
