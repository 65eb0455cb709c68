"""Answers of services against what the plan expects: health bodies, pages, steps of flows.

Every answer is hostile until parsed: limits of size and depth, no duplicate keys, no NaN.
"""

import json
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

from slipway.checks import Expect, Health, HtmlPage, Step

_DEEPEST = 40
_MARKUP = re.compile(rb"<(!doctype\s+html|html|head|body)\b", re.IGNORECASE)
"""What makes a page of an answer: JSON or plain text under HTML's media type is none."""
_SHOWN = 160
_VARIABLE = re.compile(r"\{([a-z][a-z0-9_]{0,30})\}")
Variables = Mapping[str, Any]


@dataclass(frozen=True)
class Answer:
    """An HTTP answer. `location`: where a redirect, which is not followed, would lead."""

    status: int
    media_type: str
    body: bytes
    location: str = ""
    hidden: frozenset[str] = frozenset()
    """Secrets that it may repeat, and that must not be shown."""


@dataclass(frozen=True)
class Sending:
    """One request, ready to be sent."""

    method: str
    path: str
    headers: dict[str, str]
    body: bytes | None


class Wrong(ValueError):
    """An answer that is not as expected; the text says how, without naming the service."""


class NoAnswer(Wrong):
    """No answer that could be judged; the text says why."""


def check_health(answer: Answer, health: Health) -> None:
    """Raise Wrong unless the answer is 200 with exactly the expected body."""
    _no_redirect(answer)
    wanted = json.dumps(health.body)
    if answer.status != 200:
        raise Wrong(f"{health.path} answered {answer.status} {_shown(answer)} instead of {wanted}")
    try:
        found = parse_json(answer.body)
    except Wrong as error:
        raise Wrong(f"{health.path} answered {_shown(answer)}: {error}") from None
    if not same(found, health.body):
        raise Wrong(f"{health.path} answered {_shown(answer)} instead of {wanted}")


def check_page(answer: Answer, page: HtmlPage) -> None:
    """Raise Wrong unless the answer is 200, really HTML, and contains the expected texts."""
    _no_redirect(answer)
    if answer.status != 200:
        raise Wrong(f"{page.path} answered {answer.status} instead of 200")
    if answer.media_type not in {"text/html", "application/xhtml+xml"}:
        raise Wrong(f"{page.path} is {answer.media_type or 'of no type'}, not HTML")
    if not _MARKUP.search(answer.body):
        raise Wrong(f"{page.path} says that it is HTML and holds none: {_shown(answer)}")
    _contains(page.path, answer, page.contains)


def fill_step(step: Step, variables: Variables) -> Sending:
    """Return the request of a step with its variables filled in. Raises Wrong when one is unknown
    or holds what must not stand in a header."""
    headers = {name: _header(value, variables) for name, value in step.headers.items()}
    body = None
    if step.body is not None:
        body = json.dumps(_fill_tree(step.body, variables)).encode()
        headers.setdefault("content-type", "application/json")
    path = _replace(step.path, variables, lambda value: quote(_text(value), safe=""))
    return Sending(step.method, path, headers, body)


def check_step(step: Step, answer: Answer) -> dict[str, Any]:
    """Return what the step captures from its answer. Raises Wrong unless it is as expected."""
    _no_redirect(answer, step.expect.status)
    expect = step.expect
    if answer.status != expect.status:
        # a good answer may hold a token, which must not be told on
        shown = _shown(answer) if answer.status >= 400 else ""
        said = f" {shown}" if shown else ""
        raise Wrong(f"got {answer.status}{said} instead of {expect.status}")
    if expect.content_type and not answer.media_type.startswith(expect.content_type):
        raise Wrong(f"got {answer.media_type or 'no type'} instead of {expect.content_type}")
    _contains("the body", answer, expect.contains)
    if not (expect.equals or expect.present or step.capture):
        return {}
    document = parse_json(answer.body)
    _check_document(document, expect, answer.hidden)
    return {name: pointed(document, pointer) for name, pointer in step.capture.items()}


def in_headers(step: Step, variables: Variables) -> set[str]:
    """Return the values of variables in a step's headers: tokens mostly, not to be shown."""
    names = {name for value in step.headers.values() for name in _VARIABLE.findall(value)}
    return {_text(variables[name]) for name in names if name in variables}


def hide(text: str, secrets: Iterable[str]) -> str:
    """Return a text without these values, as they are, as they stand in JSON, or in an address."""
    for secret in sorted(filter(None, secrets), key=len, reverse=True):
        for form in (secret, json.dumps(secret)[1:-1], quote(secret, safe="")):
            text = text.replace(form, "***")
    return text


def parse_json(body: bytes) -> Any:
    """Parse JSON strictly. Raises Wrong for anything else, duplicate keys and great depth; what was
    got instead is not shown: an answer that was sought may be a token."""
    try:
        found = json.loads(
            body.decode("utf-8"), object_pairs_hook=_object, parse_constant=_no_constant
        )
    except RecursionError:
        raise Wrong("the JSON is nested too deeply") from None
    except ValueError as error:
        raise Wrong(f"the body is no sound JSON ({_why(error)})") from None
    if _depth(found) > _DEEPEST:
        raise Wrong(f"the JSON is nested more than {_DEEPEST} levels deep")
    return found


def pointed(document: Any, pointer: str) -> Any:
    """Return what a JSON pointer (RFC 6901) leads to. Raises Wrong when it leads nowhere."""
    here = document
    for token in pointer.split("/")[1:]:
        key = token.replace("~1", "/").replace("~0", "~")
        if isinstance(here, dict) and key in here:
            here = here[key]
        elif isinstance(here, list) and key.isdigit() and int(key) < len(here):
            here = here[int(key)]
        else:
            raise Wrong(f"there is no {pointer}")
    return here


def same(one: Any, other: Any) -> bool:
    """Whether two JSON values are the same: true is not 1, 1 is 1.0."""
    if isinstance(one, bool) or isinstance(other, bool):
        return one is other
    if isinstance(one, dict) and isinstance(other, dict):
        return one.keys() == other.keys() and all(same(one[key], other[key]) for key in one)
    if isinstance(one, list) and isinstance(other, list):
        return len(one) == len(other) and all(map(same, one, other))
    return bool(one == other)


def _check_document(document: Any, expect: Expect, hidden: frozenset[str]) -> None:
    for pointer, wanted in expect.equals.items():
        got = pointed(document, pointer)
        if not same(got, wanted):
            said = hide(json.dumps(got), hidden)[:_SHOWN]
            raise Wrong(f"{pointer or 'the body'} is {said} instead of {_json(wanted)}")
    for pointer in expect.present:
        if pointed(document, pointer) in (None, "", [], {}):
            raise Wrong(f"{pointer} is empty")


def _contains(what: str, answer: Answer, texts: list[str]) -> None:
    body = answer.body.decode("utf-8", "replace")
    missing = [text for text in texts if text not in body]
    if missing:
        raise Wrong(f"{what} does not contain {missing[0]!r}")


def _no_redirect(answer: Answer, wanted: int = 200) -> None:
    if 300 <= answer.status < 400 and answer.status != wanted:
        location = hide(answer.location, answer.hidden)
        raise Wrong(
            f"answered {answer.status}, a redirect to {location[:_SHOWN] or 'nowhere'}; "
            "redirects are not followed: write the final address into the plan"
        )


def _fill_tree(value: Any, variables: Variables) -> Any:
    if isinstance(value, dict):
        return {key: _fill_tree(one, variables) for key, one in value.items()}
    if isinstance(value, list):
        return [_fill_tree(one, variables) for one in value]
    if not isinstance(value, str):
        return value
    alone = _VARIABLE.fullmatch(value)
    if alone and alone.group(1) in variables:
        return variables[alone.group(1)]  # keeps its type
    return _replace(value, variables, _text)


def _header(value: str, variables: Variables) -> str:
    filled = _replace(value, variables, _text)
    if not filled.isprintable() or not filled.isascii():
        raise Wrong("a captured value cannot stand in a header")
    return filled


def _replace(text: str, variables: Variables, how: Callable[[Any], str]) -> str:
    """Fill in all variables in one pass: a captured value that looks like `{password}` must not
    be filled in once more."""

    def value(found: re.Match[str]) -> str:
        if found.group(1) not in variables:
            raise Wrong(f"{found.group()} was not captured by an earlier step")
        return how(variables[found.group(1)])

    return _VARIABLE.sub(value, text)


def _text(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value)


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a key is given twice")
    return found


def _no_constant(text: str) -> Any:
    raise ValueError(f"{text} is no JSON")


def _depth(value: Any) -> int:
    deepest, level = 0, [value]
    while level:
        deepest += 1
        if deepest > _DEEPEST:
            break
        level = [
            child
            for one in level
            if isinstance(one, dict | list)
            for child in (one.values() if isinstance(one, dict) else one)
        ]
    return deepest


def _why(error: ValueError) -> str:
    """Say why a body cannot be parsed, without quoting it."""
    return "it is not UTF-8" if isinstance(error, UnicodeDecodeError) else str(error)[:80]


def _shown(answer: Answer) -> str:
    # first hidden, then cut: a cut secret would not be known any more
    text = hide(answer.body.decode("utf-8", "replace"), answer.hidden)
    return " ".join(text.split())[:_SHOWN]


def _json(value: Any) -> str:
    return json.dumps(value)[:_SHOWN]
