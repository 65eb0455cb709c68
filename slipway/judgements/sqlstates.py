"""PostgreSQL's alarm about corrupted data in a line of a service's log.

One such line rolls a release back, so five characters are not enough: a coupon may be called
`XX001`. They must stand where a driver or the server writes an SQLSTATE.
"""

import re
from itertools import islice

_STATE = re.compile(r"(?:\b|\bSqlState\(E)XX00[12]\b")
_MOST = 100
"""States in a line that are looked at."""
_NEAR = 60
"""Characters before and after a state that are looked at."""
_QUOTE = r"""(?:\\{0,3}["'`])"""
_KEY = r"(?:^\s{0,9}|[^\w\s-]\s{0,4}|=[^\s=]{1,40}\s|\b(?:ERROR|FATAL|PANIC)\s)"
"""What stands before a key: no word of a sentence, as in `coupon code: 'XX001'`."""
_NAMED = re.compile(
    rf"""
    (?: sql[\s_-]?state{_QUOTE}?\s?[:=]?\s?[\[(]?{_QUOTE}?           # SQLSTATE[XX001], sqlState: …
      | (?:(?<![\w-])(?:sql|pg|state|err|error)[_-]?|{_KEY})code     # "code":"XX001", code=XX001
        {_QUOTE}?(?:\s?[:=]\s?{_QUOTE}|=)
      | SqlState\((?:Other\()?{_QUOTE}?                               # tokio-postgres, Prisma
    )$
    """,
    re.VERBOSE | re.IGNORECASE,
)
_SEVERITY = re.compile(
    r"""(?:\b(?:ERROR|FATAL|PANIC)(?::\s{1,4}|"?,"?)|PostgresException \(0x\w+\):\s)$"""
)
"""The server's own lines, verbose or CSV, and Npgsql; after the state a colon or comma follows."""
_SAID = re.compile(
    r"""
    (?::\s{1,4}|\s(?:ERROR|FATAL|PANIC):\s{1,4})                       # the server's own words
    (?:invalid\spage|could\snot\sread\sblock|missing\schunk|unexpected\schunk|index\s["'\\])
    | \s\((?:data|index)_corrupted\)                                   # Postgrex
    """,
    re.VERBOSE,
)
_CLASSES = re.compile(r"\b(?:errors\.|exceptions\.|PG::)(?:Data|Index)Corrupted")
"""What psycopg, asyncpg and Ruby's pg call them, who leave the state out."""


def tells_of_corruption(line: str) -> bool:
    """Whether a line carries SQLSTATE XX001 (data_corrupted) or XX002 (index_corrupted)."""
    if _CLASSES.search(line):
        return True
    return any(_is_state(line, found) for found in islice(_STATE.finditer(line), _MOST))


def _is_state(line: str, found: re.Match[str]) -> bool:
    before = line[max(0, found.start() - _NEAR) : found.start()]
    after = line[found.end() : found.end() + _NEAR]
    if found.group().startswith("SqlState"):
        return True
    bracketed = before.endswith("[") and after.startswith("]")
    of_pq = before.endswith("(") and after.startswith(")") and "pq: " in line
    of_server = after.startswith((":", ",", '",')) and _SEVERITY.search(before)
    said = _NAMED.search(before) or _SAID.match(after)
    return bool(bracketed or of_pq or of_server or said)
