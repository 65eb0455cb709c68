"""Statements that change or remove every row: DELETE and UPDATE without a WHERE of their own, and
TRUNCATE. Linters of schema changes say nothing about them."""

from collections.abc import Iterable

from slipway.judgements.statements import tokens

_WORDS = {"DELETE": "delete-all", "UPDATE": "update-all"}


def unguarded(text: str) -> list[tuple[str, str]]:
    """Return rule and beginning of each statement that reaches every row of a table, in order.

    Also inside WITH. A WHERE counts only at the statement's own depth: one in a subquery guards
    nothing.
    """
    found: list[tuple[str, str]] = []
    for statement in _statements(text):
        first = [one for one in statement if one.isidentifier()][:4]
        if statement[0] == "TRUNCATE":
            found.append(("truncate", " ".join(first)))
        found += [(rule, " ".join(first)) for rule in _in(statement)]
    return list(dict.fromkeys(found))


def _in(statement: list[str]) -> Iterable[str]:
    open_: list[tuple[int, str]] = []
    """Depth and rule of each statement that has not met its WHERE."""
    depth, before = 0, ""
    for word in statement:
        if word == "(":
            depth += 1
        elif word == ")":
            yield from (rule for at, rule in open_ if at == depth)
            open_ = [one for one in open_ if one[0] != depth]
            depth -= 1
        elif word in _WORDS and before in ("", "(", ")"):
            open_.append((depth, _WORDS[word]))
        elif word == "WHERE":
            open_ = [one for one in open_ if one[0] != depth]
        before = word
    yield from (rule for _, rule in open_)


def _statements(text: str) -> Iterable[list[str]]:
    statement: list[str] = []
    for word in tokens(text):
        if word != ";":
            statement.append(word)
        elif statement:
            yield statement
            statement = []
    if statement:
        yield statement
