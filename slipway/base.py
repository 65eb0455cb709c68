"""What every model shares: frozen values, strict at the outer edge, lengths of time in seconds."""

import re
from datetime import UTC, datetime
from typing import Annotated, Any

from pydantic import AwareDatetime, BaseModel, BeforeValidator, ConfigDict, Field, StringConstraints

_UNITS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
_DURATION = re.compile(r"^(\d+(?:\.\d+)?)(ms|s|m|h|d)$")


class Document(BaseModel):
    """A document people write (plan, release, evidence): unknown keys are refused."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class Message(BaseModel):
    """A value that travels between workflow, activities and starter.

    Unknown keys are ignored, so that a newer sender may add fields with defaults.
    """

    model_config = ConfigDict(frozen=True, extra="ignore", allow_inf_nan=False)


def added(default: Any, **limits: Any) -> Any:
    """A field that joined its model after values of that model had been written down. It is left
    out of what travels while it has its default, so that digests of plans that are running, and
    what is compared with a record, stay as they are."""
    return Field(default=default, exclude_if=lambda value: bool(value == default), **limits)


def parse_length(value: Any) -> Any:
    """Return seconds for a length written as `30s`, `2m`, `1h`, `24h`, `7d` or `250ms`.

    Numbers pass unchanged: they are seconds already (a parsed plan travels as JSON).
    Raises ValueError for any other text.
    """
    if isinstance(value, bool):
        raise ValueError("a length of time is written as 30s, 2m, 1h or 7d")
    if not isinstance(value, str):
        return value
    match = _DURATION.match(value.strip())
    if match is None:
        raise ValueError(f"{value!r} is not a length of time; write it as 30s, 2m, 1h or 7d")
    return float(match.group(1)) * _UNITS[match.group(2)]


def say_length(seconds: float) -> str:
    """Return a length of time as a person writes it: `30s`, `2m`, `1h30m`, `7d`."""
    if seconds < 1:
        return f"{seconds * 1000:.0f}ms"
    parts: list[str] = []
    rest = seconds
    for unit, size in (("d", 86400), ("h", 3600), ("m", 60)):
        count, rest = divmod(rest, size)
        if count:
            parts.append(f"{count:.0f}{unit}")
    if rest >= 0.05 or not parts:
        parts.append(f"{rest:.1f}".rstrip("0").rstrip(".") + "s")
    return "".join(parts)


def utc_text(at: datetime) -> str:
    """Return an instant as `2026-11-23T20:21:34Z`."""
    return at.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


Length = Annotated[float, BeforeValidator(parse_length), Field(gt=0, le=400 * 86400)]
"""A length of time in seconds; documents write it as `30s`, `2m`, `1h`, `7d`."""

Instant = AwareDatetime
Name = Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9-]{0,62}$")]
"""A DNS label: services, environments, namespaces."""
Sha256 = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")]
Sentence = Annotated[str, StringConstraints(min_length=1, max_length=2000)]
Line = Annotated[str, StringConstraints(min_length=1, max_length=200)]
Person = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9._%+@-]{1,128}$")]
Reference = Annotated[
    str,
    StringConstraints(pattern=r"^(env:[A-Z][A-Z0-9_]{0,127}|file:[^\x00\n]{1,500})$"),
]
"""Where a secret is found by the worker: `env:NAME` or `file:PATH`. Never the secret itself."""
Artifact = Annotated[str, StringConstraints(pattern=r"^artifact:[A-Za-z0-9._/@+-]{1,400}$")]
"""A file below the worker's folder `SLIPWAY_ARTIFACTS`, such as `artifact:evidence/junit.xml`."""
