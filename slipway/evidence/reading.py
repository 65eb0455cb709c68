"""Reading evidence from outside: bounded, strict, with the refusal said in one sentence."""

import json
from collections.abc import Iterable
from datetime import UTC, date, datetime, time
from typing import Any

from slipway.base import Sha256, utc_text

MAX_VALUES = 500_000
MAX_DEPTH = 60


class NotProved(Exception):
    """Evidence that does not prove its gate. Its text is the sentence people read."""


def parse_json(content: bytes) -> Any:
    """Return the data of a JSON text. Raises NotProved.

    Equal keys, NaN and deep nesting are refused: readers disagree about what they mean.
    """
    try:
        data = json.loads(
            content.decode("utf-8-sig"),
            object_pairs_hook=_without_doubles,
            parse_constant=_no_constant,
        )
    except UnicodeDecodeError:
        raise NotProved("it is not UTF-8 text") from None
    except RecursionError:
        raise NotProved("it is nested too deeply") from None
    except ValueError as error:
        raise NotProved(f"it is not JSON: {str(error)[:120]}") from None
    _measure(data)
    return data


def _without_doubles(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    result = dict(pairs)
    if len(result) != len(pairs):
        seen = [key for key, _ in pairs]
        double = next(key for key in seen if seen.count(key) > 1)
        raise ValueError(f"the key {double[:60]!r} is given twice")
    return result


def _no_constant(name: str) -> Any:
    raise ValueError(f"{name} is no number")


def _measure(data: Any) -> None:
    level, count, depth = [data], 0, 0
    while level:
        count, depth = count + len(level), depth + 1
        if count > MAX_VALUES or depth > MAX_DEPTH:
            raise NotProved(f"it holds more than {MAX_VALUES} values or {MAX_DEPTH} levels")
        level = [inner for value in level for inner in _inside(value)]


def _inside(value: Any) -> Iterable[Any]:
    if isinstance(value, dict):
        return value.values()
    return value if isinstance(value, list) else ()


def mapping(value: Any, what: str) -> dict[str, Any]:
    """Return a JSON object. Raises NotProved naming `what` for anything else."""
    if not isinstance(value, dict):
        raise NotProved(f"{what} is missing or no object")
    return value


def items(value: Any, what: str) -> list[Any]:
    """Return a JSON list; an absent one (null) is empty. Raises NotProved for anything else."""
    if value is None:
        return []
    if not isinstance(value, list):
        raise NotProved(f"{what} is no list")
    return value


def text(value: Any, what: str) -> str:
    """Return a text that is not empty. Raises NotProved for anything else."""
    if not isinstance(value, str) or not value.strip():
        raise NotProved(f"{what} is missing or no text")
    return value.strip()


def instant(value: Any, what: str, *, default_zone: bool = False) -> datetime:
    """Return an ISO 8601 time in UTC. Raises NotProved.

    A time without zone is refused, unless `default_zone` reads it as UTC (JUnit writes such).
    """
    written = text(value, what)
    try:
        moment = datetime.fromisoformat(written)
    except ValueError:
        raise NotProved(f"{what} is not a time: {written[:40]!r}") from None
    if moment.tzinfo is None and not default_zone:
        raise NotProved(f"{what} has no time zone: {written[:40]!r}")
    return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)


def day(value: str, what: str) -> datetime:
    """Return the beginning (UTC) of a day written as 2026-11-23, or a full time."""
    try:
        return datetime.combine(date.fromisoformat(value), time(), tzinfo=UTC)
    except ValueError:
        return instant(value, what)


def fresh(moment: datetime, now: datetime, max_age: float, *, slack: float = 300.0) -> None:
    """Raise NotProved unless `moment` lies within the last `max_age` seconds."""
    age = (now - moment).total_seconds()
    if age < -slack:
        raise NotProved(f"it is dated in the future ({utc_text(moment)})")
    if age > max_age:
        raise NotProved(f"it is stale: from {utc_text(moment)}, older than the {_hours(max_age)}")


def _hours(seconds: float) -> str:
    if seconds >= 2 * 86400:
        return f"{seconds / 86400:g} days the plan allows"
    return f"{seconds / 3600:.3g} h the plan allows"


def digests(values: Iterable[Any]) -> set[Sha256]:
    """Return `sha256:<hex>` of digests or image references. Raises NotProved for anything else."""
    found = set()
    for value in values:
        digest = str(value).rpartition("@")[2].strip()
        if not digest.startswith("sha256:") or len(digest) != 71:
            raise NotProved(f"{str(value)[:80]!r} names no image digest")
        found.add(digest)
    return found


def cover(found: set[str], wanted: dict[str, str]) -> None:
    """Raise NotProved unless the digests found are exactly those of the release.

    `wanted` maps services to digests.
    """
    foreign = found - set(wanted.values())
    if foreign:
        raise NotProved(f"it is about another image ({sorted(foreign)[0][:19]}…)")
    missing = sorted(name for name, digest in wanted.items() if digest not in found)
    if missing:
        more = f" and {len(missing) - 3} more" if len(missing) > 3 else ""
        raise NotProved(f"nothing covers the image of {', '.join(missing[:3])}{more}")


def envelope(content: bytes, kind: str) -> tuple[Any, set[str], datetime]:
    """Return report, digests and date of an envelope. Raises NotProved.

    Sources that name neither image nor date come in
    `{"kind", "subject_digests": […], "produced_at", "report": …}`.
    """
    data = mapping(parse_json(content), "the envelope")
    unknown = set(data) - {"kind", "subject_digests", "produced_at", "report"}
    if data.get("kind") != kind or unknown:
        raise NotProved(
            f'it must be an envelope {{"kind": "{kind}", "subject_digests", "produced_at", '
            '"report"}, since the report alone names neither image nor date'
        )
    subjects = items(data.get("subject_digests"), "subject_digests")
    if "report" not in data:
        raise NotProved("report is missing")
    return data["report"], digests(subjects), instant(data.get("produced_at"), "produced_at")
