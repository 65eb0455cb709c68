"""Evidence that is our own format: staging record, rollback test, dated texts, change request."""

from datetime import datetime
from typing import Literal, TypeVar

from pydantic import ValidationError

from slipway.base import Document, Instant, Line, Name, Sha256, say_length
from slipway.check_rules import PLACEHOLDER
from slipway.evidence.reading import NotProved, cover, day, digests, parse_json
from slipway.release import ChangeRequest

_M = TypeVar("_M", bound=Document)
_SHORTEST = 20
"""Characters: less is no document."""


class StagingRecord(Document):
    """Which digests ran in staging, since when and until when."""

    kind: Literal["staging-record"]
    environment: Line
    images: dict[Name, Line]
    since: Instant
    until: Instant


class RollbackTest(Document):
    """That the rollback plan was carried out once, by whom and when."""

    kind: Literal["rollback-test"]
    document_sha256: Sha256
    environment: Line
    tested_at: Instant
    tested_by: Line
    outcome: Literal["passed", "failed"]


def staging(
    content: bytes, wanted: dict[str, str], names: set[str], soak: float
) -> tuple[str, datetime]:
    """Return a sentence and the end of a staging record. Raises NotProved.

    `wanted` maps services to digests, `names` are staging's names, `soak` is in seconds.
    """
    record = _parse(StagingRecord, content)
    if record.environment not in names:
        raise NotProved(f"it is about {record.environment}, not about staging")
    for service, reference in record.images.items():
        if service in wanted and digests([reference]) != {wanted[service]}:
            raise NotProved(f"another image of {service} ran there ({reference[-71:][:19]}…)")
    cover(digests(value for key, value in record.images.items() if key in wanted), wanted)
    ran = (record.until - record.since).total_seconds()
    if ran < soak:
        raise NotProved(
            f"the same images ran for {say_length(max(ran, 0.0))}, less than {say_length(soak)}"
        )
    return f"the same {len(wanted)} images ran there for {say_length(ran)}", record.until


def rollback_test(content: bytes, document: bytes, sha256: str) -> tuple[str, datetime]:
    """Return a sentence and the date of the rollback plan's test. Raises NotProved."""
    if len(_utf8(document).strip()) < _SHORTEST:
        raise NotProved("the document is empty")
    record = _parse(RollbackTest, content)
    if record.document_sha256 != sha256:
        raise NotProved("the test record is about another version of the document")
    if record.outcome != "passed":
        raise NotProved(f"the test of {record.tested_at.date()} failed")
    return f"tested in {record.environment} by {record.tested_by}", record.tested_at


def dated_text(content: bytes, version: str) -> datetime:
    """Return the date in the front matter of a text about this release. Raises NotProved."""
    head, body = _front_matter(_utf8(content))
    if not body.strip():
        raise NotProved("it has no text after its front matter")
    if head.get("release") != version:
        said = head.get("release", "none")
        raise NotProved(f"it is about release {said[:60]}, not about {version}")
    if "date" not in head:
        raise NotProved("its front matter has no `date:`, so its age is unknown")
    return day(head["date"], "date")


def change_request(request: ChangeRequest) -> str:
    """Return a sentence about a change request. Raises NotProved for a placeholder."""
    given = request.number if request.number is not None else request.not_required
    if given is None or PLACEHOLDER.search(given):
        raise NotProved(f"{given!r} is a placeholder; give its number, or why none is required")
    return f"number {given}" if request.number else f"not required: {given}"


def _front_matter(text: str) -> tuple[dict[str, str], str]:
    lines = text.replace("\r\n", "\n").split("\n")
    if lines[0].strip() != "---" or "---" not in [line.strip() for line in lines[1:60]]:
        raise NotProved("it does not begin with a front matter (---, release:, date:, ---)")
    end = next(at for at, line in enumerate(lines[1:], start=1) if line.strip() == "---")
    head: dict[str, str] = {}
    for line in lines[1:end]:
        key, colon, value = line.partition(":")
        if colon:
            head.setdefault(key.strip(), value.strip().strip("\"'"))
    return head, "\n".join(lines[end + 1 :])


def _utf8(content: bytes) -> str:
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise NotProved("it is not UTF-8 text") from None


def _parse(model: type[_M], content: bytes) -> _M:
    try:
        return model.model_validate(parse_json(content))
    except ValidationError as error:
        first = error.errors(include_input=False, include_url=False)[0]
        where = ".".join(str(step) for step in first["loc"])[:80]
        raise NotProved(f"{where or 'it'}: {first['msg'][:120]}") from None
