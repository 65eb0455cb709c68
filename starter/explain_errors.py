"""What pydantic found wrong with a document, said to the person who wrote it.

Texts from the document are not repeated: one of them may be a secret in the wrong place.
"""

import difflib
import re
from collections.abc import Iterator, Mapping
from typing import Any, get_args

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from slipway import base, checks, plan, release
from slipway.errors import BadInput

SHOWN = 8
Place = tuple[str | int, ...]

_BY_REFERENCE = "Write env:NAME or file:PATH; never the secret itself."


def _pattern(annotated: Any) -> str:
    constraints = [one for one in get_args(annotated) if getattr(one, "pattern", None)]
    return str(constraints[0].pattern)


_SHAPES: dict[str, tuple[str, str]] = {
    _pattern(base.Name): (
        "it must be lower-case letters, digits and dashes, beginning with a letter",
        "Write it as in api-gateway.",
    ),
    _pattern(base.Sha256): ("it must be 64 lower-case hex digits", "Take it from sha256sum."),
    _pattern(base.Person): ("it must be one name or address without spaces", "Write name@team."),
    _pattern(base.Reference): ("it must be a reference to a secret", _BY_REFERENCE),
    _pattern(base.Artifact): (
        "it must be a file below the worker's artifact folder",
        "Write it as artifact:evidence/junit.xml.",
    ),
    _pattern(plan.Url): (
        "it must be an http or https address without user, password and query",
        "Write it as https://api.teei.com; put a secret address behind env:NAME.",
    ),
    _pattern(release.Image): (
        "it must name the image by digest",
        "Write repository[:tag]@sha256:<64 hex digits>; a tag alone can be moved.",
    ),
    _pattern(release.Tag): ("it must be a migration's tag", "Write it as in the journal."),
    _pattern(checks.Path): ("it must be a path", "Begin it with a slash."),
    _pattern(checks.Pointer): ("it must be a JSON pointer", "Write it as /items/0/id."),
    _pattern(checks.Variable): ("it must be a short lower-case name", "Write it as in user_id."),
}

_SAID: dict[str, tuple[str, str]] = {
    "missing": ("it is missing", "Add it; plans/ holds a commented example of each document."),
    "string_type": (
        "a text is expected here",
        "Put quotes around numbers, true, false and dates that are meant as text.",
    ),
    "bool_type": ("true or false is expected here", "Write true or false without quotes."),
    "dict_type": ("a mapping of keys to values is expected here", "Write `key: value` lines."),
    "model_type": ("a mapping of keys to values is expected here", "Write `key: value` lines."),
    "list_type": ("a list is expected here", "Begin each entry with a dash."),
    "timezone_aware": ("the time has no zone", "End it in Z or +01:00."),
    "recursion_loop": ("it contains itself", "Remove the repetition."),
}


def explain(
    error: ValidationError,
    model: type[BaseModel],
    data: Any,
    source: str,
    lines: Mapping[Place, int],
) -> BadInput:
    """Return the refusal of a document: each finding with its place, line and remedy."""
    other = _mistaken_for(model, data)
    if other:
        return BadInput(f"{source}: {other}", "Name the plan first, then the release.")
    said: list[str] = []
    found = error.errors(include_url=False, include_context=True, include_input=True)
    for one in found[: 4 * SHOWN]:
        place = _place(one["loc"], data, missing=one["type"] == "missing")
        sentence = f"{_shown(place, data)}{_line(place, lines)}: {_say(one, model)}"
        if sentence not in said:
            said.append(sentence)
    if len(said) == 1:
        return BadInput(f"{source}: {said[0]}")
    count = len(said) if len(found) <= 4 * SHOWN else len(found)
    if count > SHOWN:
        said = [*said[:SHOWN], f"and {count - SHOWN} more."]
    return BadInput(f"{source}: {count} things are wrong:\n  " + "\n  ".join(said))


def _mistaken_for(model: type[BaseModel], data: Any) -> str:
    """Say so where plan and release were exchanged; else the empty text."""
    if not isinstance(data, dict) or model not in (plan.Plan, release.Release):
        return ""
    fits = {one: len(data.keys() & one.model_fields.keys()) for one in (plan.Plan, release.Release)}
    if model is plan.Plan and fits[release.Release] > fits[plan.Plan]:
        return "it is a release, and a plan is expected here."
    if model is release.Release and fits[plan.Plan] > fits[release.Release]:
        return "it is a plan, and a release is expected here."
    return ""


def _say(one: ErrorDetails, model: type[BaseModel]) -> str:
    kind, context = one["type"], one.get("ctx", {})
    if kind == "extra_forbidden":
        return f"there is no such key. {_nearest(str(one['loc'][-1]), model)}"
    if kind == "string_pattern_mismatch":
        what, remedy = _SHAPES.get(
            str(context.get("pattern")), ("it is not written as it must be", "See the examples.")
        )
        return f"{what}. {remedy}"
    if kind in _SAID:
        what, remedy = _SAID[kind]
        return f"{what}{_got(one)}. {remedy}"
    if kind == "value_error":
        return f"{one['msg'].removeprefix('Value error, ')}."
    return f"{_small(one['msg'])}{_got(one)}."


def _got(one: ErrorDetails) -> str:
    """Numbers and truth values are repeated, texts never."""
    value = one.get("input")
    if one["type"] != "missing" and isinstance(value, bool | int | float):
        return f", not {str(value).lower() if isinstance(value, bool) else value}"
    return ""


def _small(message: str) -> str:
    text = re.sub(r"^Input should be", "it must be", message)
    text = re.sub(r"^(String|List|Dictionary) should", r"\1 must", text)
    return text[:1].lower() + text[1:]


def _nearest(key: str, model: type[BaseModel]) -> str:
    near = difflib.get_close_matches(key, sorted(set(_fields(model, set()))), n=1, cutoff=0.7)
    return f"Did you mean `{near[0]}`?" if near else "Remove it, or look at the examples in plans/."


def _fields(model: type[BaseModel], seen: set[type[BaseModel]]) -> Iterator[str]:
    """Yield the names of all fields in a document of this model."""
    seen.add(model)
    for name, info in model.model_fields.items():
        yield name
        for inner in _models_in(info.annotation):
            if inner not in seen:
                yield from _fields(inner, seen)


def _models_in(annotation: Any) -> Iterator[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    for argument in get_args(annotation):
        yield from _models_in(argument)


def _place(location: Place, data: Any, *, missing: bool) -> Place:
    """Return the part of pydantic's location that exists in the document: it also holds names of
    types that were tried."""
    place: list[str | int] = []
    here = data
    for step in location:
        if not _holds(here, step):
            if missing and isinstance(here, dict):
                place.append(step)
            break
        here = here[step]
        place.append(step)
    return tuple(place)


def _holds(value: Any, step: str | int) -> bool:
    if isinstance(value, dict):
        return step in value
    return isinstance(value, list) and isinstance(step, int) and step < len(value)


def _shown(place: Place, data: Any) -> str:
    """Return `services[analytics].port`: entries of lists by their name where they have one."""
    text, here = "", data
    for step in place:
        here = here[step] if not isinstance(here, dict) or step in here else None
        if isinstance(step, int):
            name = here.get("name") if isinstance(here, dict) else None
            text += f"[{name if isinstance(name, str) and len(name) <= 63 else step}]"
        else:
            text += f".{step}" if text else step
    return text[:200] or "the document"


def _line(place: Place, lines: Mapping[Place, int]) -> str:
    for length in range(len(place), 0, -1):
        if place[:length] in lines:
            return f" (line {lines[place[:length]]})"
    return ""
