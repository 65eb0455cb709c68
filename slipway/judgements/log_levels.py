"""Which lines of a log are errors: by the level in a line's text, or in its JSON."""

import json
import re

_LEVEL = re.compile(
    r"\b(?:(ERROR|FATAL|CRITICAL|ALERT|EMERG|EMERGENCY|PANIC|SEVERE)"
    r"|TRACE|DEBUG|INFO|NOTICE|WARN|WARNING)\b"
)
"""The first one counts: further ones stand in what the line tells, such as a user's text."""
_LEVEL_HEAD = 120
"""Characters of a line in which its level is looked for."""
_ERROR_NAMES = {"error", "fatal", "critical", "alert", "emerg", "emergency", "panic", "severe"}
_PINO_ERROR = 50
_KEYED = re.compile(r'"(?:level|severity)"\s{0,9}:\s{0,9}(?:"(\w{1,20})"|([0-9]{1,9}))')
"""The level of JSON that has no end. What stands in one of its texts has its quotes escaped, and
does not fit."""
MAY_BE_ERROR = (
    "ERROR|FATAL|CRITICAL|ALERT|EMERG|PANIC|SEVERE"
    r'|"(?:level|severity)\\?"\s*:\s*'
    r'(?:\\?"(?i:error|fatal|critical|alert|emerg|panic|severe)|[5-9][0-9]|[0-9]{3}|[0-9.]+[eE])'
)
"""A regular expression (of RE2 as well) that lines fit for which `is_error` holds, wrapped or not:
a log store is asked with it, so that it need not send the others."""


def is_error(line: str) -> bool:
    """Whether a line is of level ERROR or above, as text or as JSON (`level`, `severity`)."""
    level = _level_in_json(line) if line.startswith("{") else None
    if isinstance(level, int | float):
        return level >= _PINO_ERROR
    if level is not None:
        return level.lower() in _ERROR_NAMES
    named = _LEVEL.search(line[:_LEVEL_HEAD])
    return named is not None and named[1] is not None


def _level_in_json(line: str) -> str | int | float | None:
    try:
        found = json.loads(line)
    except (ValueError, RecursionError):
        return _level_of_part(line)
    if not isinstance(found, dict):
        return None
    level = found.get("level", found.get("severity"))
    return level if isinstance(level, str | int | float) else None


def _level_of_part(line: str) -> str | int | None:
    """A runtime splits lines of more than 16 KiB, and very long ones are cut: no JSON any more."""
    found = _KEYED.search(line)
    if found is None:
        return None
    name, number = found.groups()
    return name or int(number)
