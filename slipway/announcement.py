"""A notice as the document that is sent: readable as text, complete as data, never too large."""

import json
from typing import Any

from slipway.messages.notice import Notice
from slipway.plan import Contacts

TITLE, TEXT, WHOLE = 150, 3000, 12_000
"""Characters of title and text, bytes of the document: what chat systems take."""


def document_of(notice: Notice) -> dict[str, Any]:
    """Return the document of a notice. `text` alone says everything a person needs.

    Values too large for the receiver are shortened, and the document says so in `shortened`.
    """
    title, text = _cut(notice.title, TITLE), _cut(_text(notice), TEXT)
    document: dict[str, Any] = {
        **notice.model_dump(mode="json", exclude={"title", "text"}),
        "title": title,
        "text": text,
        "shortened": len(title) < len(notice.title) or len(text) < len(_text(notice)),
    }
    if _size(document) > WHOLE:
        document["data"], document["shortened"] = {}, True
    return document


def _text(notice: Notice) -> str:
    lines = [
        f"{notice.title} ({notice.environment}, release {notice.release})",
        notice.text,
        f"Next: {notice.next}" if notice.next else "",
        _contacts(notice.contacts) if notice.contacts else "",
    ]
    return "\n".join(line for line in lines if line)


def _contacts(contacts: Contacts) -> str:
    return "Contacts: " + "; ".join(
        f"{role.replace('_', ' ')}: {one.name}, {one.reach}" for role, one in contacts
    )


def _cut(text: str, most: int) -> str:
    return text if len(text) <= most else text[: most - 1] + "…"


def _size(document: dict[str, Any]) -> int:
    return len(json.dumps(document, ensure_ascii=False).encode())
