"""SQL read just far enough to see which statements a migration holds.

Comments, strings, quoted names and dollar-quoted bodies are skipped, so that a word in them is
never taken for a command.
"""

import re
import string
from itertools import pairwise

_TOKEN = re.compile(
    r"""(?P<skip>\s+|--[^\n]*)
    |(?P<block>/\*)
    |(?P<quoted>[eE]'(?:[^'\\]|\\.|'')*'|'(?:[^']|'')*'|"(?:[^"]|"")*")
    |(?P<dollar>\$(?:[A-Za-z_]\w*)?\$)
    |(?P<word>[A-Za-z_][\w$]*)
    |(?P<other>.)""",
    re.VERBOSE | re.DOTALL,
)
_BEGINS_WORD = frozenset(string.ascii_uppercase + "_")
_BLOCK = re.compile(r"/\*|\*/")

_CONTROL = {"BEGIN", "COMMIT", "END", "ROLLBACK", "ABORT", "SAVEPOINT", "RELEASE"}
_CONTROL_PAIRS = {("START", "TRANSACTION"), ("PREPARE", "TRANSACTION")}
_IDENTITY = {
    ("SET", "ROLE"),
    ("SET", "LOCAL", "ROLE"),
    ("SET", "SESSION", "ROLE"),
    ("SET", "SESSION", "AUTHORIZATION"),
    ("SET", "LOCAL", "SESSION", "AUTHORIZATION"),
    ("RESET", "ROLE"),
    ("RESET", "SESSION", "AUTHORIZATION"),
    ("DISCARD",),
}
_ALONE = {
    ("VACUUM",),
    ("CREATE", "DATABASE"),
    ("DROP", "DATABASE"),
    ("ALTER", "DATABASE"),
    ("ALTER", "SYSTEM"),
    ("CREATE", "TABLESPACE"),
    ("DROP", "TABLESPACE"),
}
_SHARED = {
    (verb, what) for verb in ("CREATE", "ALTER", "DROP") for what in ("ROLE", "USER", "GROUP")
} | {("REASSIGN", "OWNED"), ("DROP", "OWNED")}
"""What is not part of one database: a rehearsal beside production would change production's."""
_CONCURRENT = {"CREATE", "DROP", "REINDEX", "ALTER"}


def statements(text: str) -> list[list[str]]:
    """Return each statement's unquoted words in capitals, in order; empty statements are left out.

    A semicolon in the body of an SQL function (BEGIN ATOMIC … END) does not end a statement.
    """
    found: list[list[str]] = [[]]
    depth = 0
    for word in _words(text):
        if word == ";" and depth == 0:
            found.append([])
            continue
        if word == ";":
            continue
        depth = _depth(depth, found[-1], word)
        found[-1].append(word)
    return [one for one in found if one]


def _depth(depth: int, before: list[str], word: str) -> int:
    if word == "ATOMIC" and before[-1:] == ["BEGIN"]:
        return 1
    if depth and word == "CASE":
        return depth + 1
    return depth - 1 if depth and word == "END" else depth


def _words(text: str) -> list[str]:
    return [one for one in tokens(text) if one == ";" or one[0] in _BEGINS_WORD]


def tokens(text: str) -> list[str]:
    """Return unquoted words in capitals and every other sign, in order. What is skipped: comments,
    strings, quoted names and dollar-quoted bodies."""
    words: list[str] = []
    at = 0
    while (match := _TOKEN.match(text, at)) is not None:
        at = match.end()
        if match.lastgroup == "block":
            at = _after_block(text, at)
        elif match.lastgroup == "dollar":
            closing = text.find(match.group(), at)
            at = len(text) if closing < 0 else closing + len(match.group())
        elif match.lastgroup == "word":
            words.append(match.group().upper())
        elif match.lastgroup == "other":
            words.append(match.group())
    return words


def _after_block(text: str, at: int) -> int:
    """Comments in blocks nest."""
    depth = 1
    while depth:
        match = _BLOCK.search(text, at)
        if match is None:
            return len(text)
        depth += 1 if match.group() == "/*" else -1
        at = match.end()
    return at


def objections(text: str) -> list[str]:
    """Say which statements must not stand in a migration that is one transaction."""
    found = [why for words in statements(text) if (why := _objection(words))]
    return sorted(set(found))


def _objection(words: list[str]) -> str:
    start = " ".join(words[:3])
    if words[0] in _CONTROL or tuple(words[:2]) in _CONTROL_PAIRS:
        return f"{start} would end the migration's own transaction halfway"
    if any(tuple(words[: len(one)]) == one for one in _IDENTITY):
        return f"{start} would leave the role that the migration must act as"
    if "CONCURRENTLY" in words and words[0] in _CONCURRENT:
        return f"{start} … CONCURRENTLY cannot run inside a transaction"
    if any(tuple(words[: len(one)]) == one for one in _ALONE):
        return f"{start} cannot run inside a migration"
    if tuple(words[:2]) in _SHARED or _grants_elsewhere(words):
        return f"{start} reaches beyond this database, to what all databases of the server share"
    return ""


def _grants_elsewhere(words: list[str]) -> bool:
    """Membership in a role, or rights on a whole database; also a comment on one."""
    if words[0] in ("GRANT", "REVOKE"):
        return "ON" not in words or ("ON", "DATABASE") in pairwise(words)
    return words[:3] in (["COMMENT", "ON", "DATABASE"], ["COMMENT", "ON", "ROLE"])
