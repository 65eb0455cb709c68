"""A page as data: sections of paragraphs, lists and tables, written as Markdown or as HTML.

Texts come from people, logs and servers: neither form lets them become markup.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from typing import Literal


@dataclass(frozen=True)
class Code:
    """A name, key, digest or command, to be read letter by letter."""

    text: str


Text = str | Code | tuple[str | Code, ...]
"""One line of text, or its pieces."""


@dataclass(frozen=True)
class Heading:
    """A heading within a section."""

    text: str


@dataclass(frozen=True)
class Paragraph:
    """One paragraph."""

    text: Text


@dataclass(frozen=True)
class Bullets:
    """A list; an empty one is written as `None.`"""

    lines: tuple[Text, ...]


@dataclass(frozen=True)
class Table:
    """A table; one without rows is written as `None.`"""

    head: tuple[str, ...]
    rows: tuple[tuple[Text, ...], ...]


Mark = Literal["x", " ", "!"]
"""Of a checklist's line: done, open, or missing (it was done, but its proof is gone)."""


@dataclass(frozen=True)
class Check:
    """A line of a checklist."""

    mark: Mark
    title: str
    by: str
    proofs: tuple[tuple[str, str], ...]
    """Name or key, and digest, of each artefact."""
    age: str
    note: str


@dataclass(frozen=True)
class Checks:
    """A checklist."""

    lines: tuple[Check, ...]


@dataclass(frozen=True)
class Bar:
    """One bar: what, since when and how long in words, and where it is drawn."""

    label: str
    began: str
    took: str
    start: float
    """Seconds since the bars begin."""
    end: float
    kind: Literal["work", "wait", "undo"]


@dataclass(frozen=True)
class Bars:
    """What happened when, as bars on one axis of time. It is a table too: the words suffice."""

    begin: datetime
    length: float
    """Seconds from begin to end, above 0."""
    rows: tuple[Bar, ...]
    mark: float | None = None
    """Seconds until the decision to roll back, where there was one."""


Block = Heading | Paragraph | Bullets | Table | Checks | Bars


@dataclass(frozen=True)
class Section:
    """A heading and what stands below it."""

    title: str
    blocks: tuple[Block, ...]


Tone = Literal["good", "bad", "warn", "calm"]


@dataclass(frozen=True)
class Page:
    """A whole page."""

    title: str
    badge: str
    """One or two words: the outcome."""
    tone: Tone
    lead: str
    """The sentence that a reader in a hurry takes away."""
    marks: tuple[str, ...] = ()
    """What must be known before anything is believed."""
    sections: tuple[Section, ...] = field(default=())


def plain(text: object) -> str:
    """Return a text as one line that can neither steer a terminal nor reorder what is read:
    control and formatting characters become blanks."""
    return " ".join("".join(one if one.isprintable() else " " for one in str(text)).split())


def pieces(text: Text) -> tuple[str | Code, ...]:
    """Return the pieces of a text, in order."""
    return text if isinstance(text, tuple) else (text,)


def joined(text: Text, words: Callable[[str], str], code: Callable[[str], str]) -> str:
    """Return a text in a form that writes words and code in its own way. Blanks at the ends of a
    piece stay between it and its neighbours."""
    return "".join(
        code(one.text) if isinstance(one, Code) else _spaced(one, words) for one in pieces(text)
    )


def _spaced(text: str, words: Callable[[str], str]) -> str:
    before = " " if text[:1].isspace() else ""
    after = " " if text[-1:].isspace() and text.strip() else ""
    return f"{before}{words(text)}{after}"
