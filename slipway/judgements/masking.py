"""Log lines as people may see them: without secrets, and in characters that can be stored.

What stands there goes into Temporal's history, the record and notices, and nobody can take it out
of them again: rather too much is masked than too little. Every pattern takes time in proportion to
the text.
"""

import re

LONGEST = 2000
"""Characters of a line that are shown."""
_LOOKED_AT = 2 * LONGEST
"""Characters that are searched: a secret that begins in those shown must end in these."""
_MASK = "***"
_WORD = re.compile(r"\S+")
_USER = re.compile(r"\w://[^:/@]*:")
_QUOTE = r"(?:\\{0,7}[\"'])"
_AUTHORIZATION = re.compile(
    rf"(authorization{_QUOTE}?\s{{0,3}}[:=]\s{{0,3}}{_QUOTE}?)"
    r"(?:(?:bearer|basic|token|digest|apikey|negotiate)\s{1,3})?[^\s\"',\\]+",
    re.IGNORECASE,
)
_BEARER = re.compile(r"(\bbearer\s{1,3})[^\s\"',;\\]{6,}", re.IGNORECASE)
_JWT = re.compile(r"()\beyJ[\w-]{8,}(?:\.[\w-]*){0,4}")
_SQL = re.compile(r"(\bpassword\s{1,3})'(?:[^']|'')*'?", re.IGNORECASE)
_KEYED = re.compile(
    rf"""
    (
      (?:passw(?:or)?d|passphrase|\bpass|pwd|secret|token|credential|signature
        |(?:api|access|private)[_-]?key)
      [\w-]{{0,20}} {_QUOTE}? \s{{0,3}} (?::|=>?) \s{{0,3}}
    )
    (?: (?P<quote>\\{{0,7}}["']) (?:(?!(?<!\\)(?P=quote)).)*    # up to the quote that ends it
      | [^\s"']+
    )
    """,
    re.VERBOSE | re.IGNORECASE | re.DOTALL,
)


def without_passwords(text: str) -> str:
    """Return text without the passwords in addresses such as `postgres://app:…@db`."""
    return _WORD.sub(_without_password, text)


def _without_password(word: re.Match[str]) -> str:
    """Up to the last `@`: a password may hold one itself."""
    head, at, rest = word.group().rpartition("@")
    user = _USER.search(head)
    return f"{head[: user.end()]}{_MASK}{at}{rest}" if user else word.group()


def masked(text: str) -> str:
    """Return text without what looks like a secret: passwords in addresses, Authorization headers,
    Bearer tokens, JWTs, and values of keys such as `password`, `token`, `api_key`."""
    text = without_passwords(text)
    for pattern in (_AUTHORIZATION, _BEARER, _JWT, _SQL):
        text = pattern.sub(rf"\1{_MASK}", text)
    return _KEYED.sub(lambda found: f"{found[1]}{found['quote'] or ''}{_MASK}", text)


def shown(line: str) -> str:
    """Return a log line as people may see it. A lone surrogate, such as JSON's `"\\ud83d"` gives,
    becomes `?`: no UTF-8 can hold it."""
    storable = line[:_LOOKED_AT].encode("utf-8", "replace").decode()
    return masked(storable)[:LONGEST]
