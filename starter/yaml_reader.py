"""YAML for documents people write: plain data only, every surprise of the format refused.

PyYAML's own loaders let the last of two equal keys win, follow aliases (a kilobyte becomes a
gigabyte), read `no` as false and `22:30` as 1350, and the C parser dies of deep nesting. So only
its event stream is used, from the pure-Python parser, and the data is built here.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import yaml

from slipway.errors import BadInput

MAX_DEPTH = 40
MAX_NODES = 12_000
MAX_LINES = 20_000
MAX_LINE = 10_000
"""Characters. Both keep the pure-Python parser within a second on the worst of texts."""

Place = tuple[str | int, ...]

_INTEGER = re.compile(r"^[-+]?(0|[1-9][0-9]*)$")
_FLOAT = re.compile(r"^[-+]?(0|[1-9][0-9]*)(\.[0-9]+)?([eE][-+]?[0-9]+)?$")
_WORDS: dict[str, bool | None] = {
    **dict.fromkeys(("true", "True", "TRUE"), True),
    **dict.fromkeys(("false", "False", "FALSE"), False),
    **dict.fromkeys(("null", "Null", "NULL", "~", ""), None),
}
_OLD_BOOLEAN = re.compile(r"^(y|n|yes|no|on|off)$", re.IGNORECASE)
_OLD_NUMBER = re.compile(
    r"^[-+]?([0-9][0-9_]*(:[0-5]?[0-9])+(\.[0-9_]*)?"  # sexagesimal
    # octal, hexadecimal, binary, underscores; a digest that begins with 0b is none of them
    r"|0[0-9_]+|0x[0-9a-fA-F_]+|0o[0-7_]+|0b[01_]+|[0-9]*_[0-9_]+"
    r"|[0-9]+\.|\.[0-9]+|\.(inf|Inf|INF|nan|NaN|NAN))$"
)
_LONGEST_NUMBER = 40


@dataclass(frozen=True)
class Parsed:
    """A document's data, and on which line each place of it stands."""

    data: Any
    lines: dict[Place, int]


@dataclass
class _Level:
    """An open mapping or sequence."""

    place: Place
    value: dict[str, Any] | list[Any]
    key: str | None = None


@dataclass
class _Builder:
    """Builds plain data from events; `file` is only for messages."""

    file: str
    levels: list[_Level] = field(default_factory=list)
    lines: dict[Place, int] = field(default_factory=dict)
    root: Any = None
    documents: int = 0

    def take(self, event: yaml.Event) -> None:
        """Take one event. Raises BadInput for whatever is not plain data."""
        if isinstance(event, yaml.DocumentStartEvent):
            self._new_document(event)
        elif isinstance(event, yaml.AliasEvent):
            raise self._bad(event, "uses an alias (*name)", "Write the value out.")
        elif isinstance(event, yaml.MappingEndEvent | yaml.SequenceEndEvent):
            self.levels.pop()
        elif isinstance(event, yaml.MappingStartEvent | yaml.SequenceStartEvent):
            self._open(event)
        elif isinstance(event, yaml.ScalarEvent):
            self._scalar(event)

    def _new_document(self, event: yaml.Event) -> None:
        self.documents += 1
        if self.documents > 1:
            raise self._bad(event, "begins a second document (---)", "Keep one per file.")

    def _open(self, event: yaml.MappingStartEvent | yaml.SequenceStartEvent) -> None:
        self._plain(event)
        if len(self.levels) >= MAX_DEPTH:
            raise self._bad(event, f"is nested deeper than {MAX_DEPTH} levels", "Flatten it.")
        if self._wants_key():
            raise self._bad(event, "has a list or mapping as a key", "Use a text as the key.")
        value: dict[str, Any] | list[Any] = {} if isinstance(event, yaml.MappingStartEvent) else []
        place = self._put(event, value)
        self.levels.append(_Level(place, value))

    def _scalar(self, event: yaml.ScalarEvent) -> None:
        self._plain(event)
        if self._wants_key():
            self._take_key(event)
        else:
            quoted = event.style is not None
            self._put(event, event.value if quoted else self._resolve(event))

    def _take_key(self, event: yaml.ScalarEvent) -> None:
        level = self.levels[-1]
        if event.value == "<<" and event.style is None:
            raise self._bad(event, "merges with <<", "Write the keys out.")
        if event.value in level.value:
            raise self._bad(event, f"gives the key {event.value!r} twice", "Keep one of them.")
        level.key = event.value

    def _resolve(self, event: yaml.ScalarEvent) -> Any:
        text = event.value
        if text in _WORDS:
            return _WORDS[text]
        if _OLD_BOOLEAN.match(text) or _OLD_NUMBER.match(text):
            what = "true or false" if _OLD_BOOLEAN.match(text) else "another number"
            raise self._bad(
                event,
                f"holds {text[:40]!r} without quotes, which YAML 1.1 reads as {what}",
                f'Put quotes around it: "{text[:40]}".',
            )
        if len(text) <= _LONGEST_NUMBER:
            if _INTEGER.match(text):
                return int(text)
            if _FLOAT.match(text):
                return float(text)
        return text

    def _wants_key(self) -> bool:
        return (
            bool(self.levels)
            and isinstance(self.levels[-1].value, dict)
            and self.levels[-1].key is None
        )

    def _put(self, event: yaml.Event, value: Any) -> Place:
        place: Place = ()
        if not self.levels:
            self.root = value
        else:
            place = self._put_into(self.levels[-1], value)
        self.lines[place] = _line(event)
        return place

    def _put_into(self, level: _Level, value: Any) -> Place:
        if isinstance(level.value, list):
            level.value.append(value)
            return (*level.place, len(level.value) - 1)
        key = level.key or ""
        level.value[key], level.key = value, None
        return (*level.place, key)

    def _plain(self, event: Any) -> None:
        if event.anchor is not None:
            raise self._bad(event, f"sets an anchor (&{event.anchor[:40]})", "Remove it.")
        if event.tag is not None:
            raise self._bad(event, f"has a tag ({event.tag[:60]})", "Remove the tag.")

    def _bad(self, event: yaml.Event, what: str, remedy: str) -> BadInput:
        return BadInput(f"{self.file}, line {_line(event)}: it {what}.", remedy)


def _line(event: yaml.Event) -> int:
    return event.start_mark.line + 1 if event.start_mark else 0


def read_yaml(text: str, file: str) -> Parsed:
    """Return the plain data of a YAML text. `file` names it in messages.

    Texts, whole numbers, decimals, true, false and null exist, and nothing else: dates stay texts.
    Raises BadInput naming line and remedy.
    """
    _refuse_shape(text, file)
    builder = _Builder(file)
    try:
        for count, event in enumerate(_events(text)):
            if count > 2 * MAX_NODES:
                raise BadInput(
                    f"{file}: it holds more than {MAX_NODES} values.", "Make the document smaller."
                )
            builder.take(event)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        where = f"{file}, line {mark.line + 1}" if mark else file
        raise BadInput(
            f"{where}: it is not YAML: {error.problem or error.context}.",
            "Correct the line; indent with spaces and quote texts with special signs.",
        ) from None
    except yaml.YAMLError as error:
        what = str(error).splitlines()[0]
        raise BadInput(f"{file}: it is not YAML: {what}.", "Save it as UTF-8 text.") from None
    return Parsed(builder.root, builder.lines)


def _refuse_shape(text: str, file: str) -> None:
    lines = text.split("\n", MAX_LINES + 1)
    if len(lines) > MAX_LINES:
        raise BadInput(f"{file}: it has more than {MAX_LINES} lines.", "Make it smaller.")
    for number, line in enumerate(lines, start=1):
        if len(line) > MAX_LINE:
            raise BadInput(
                f"{file}, line {number}: it has more than {MAX_LINE} characters.", "Break the line."
            )


def _events(text: str) -> Iterator[yaml.Event]:
    loader = yaml.SafeLoader(text)
    try:
        while loader.check_event():
            yield loader.get_event()  # type: ignore[no-untyped-call] # the stubs leave it out
    finally:
        loader.dispose()
