"""Plans and releases from files: hostile until parsed, and every refusal one clear sentence."""

import os
import stat
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from slipway.errors import BadInput
from slipway.plan import Plan
from slipway.release import Release
from starter.explain_errors import explain
from starter.overlay import lay_over
from starter.yaml_reader import Parsed, Place, read_yaml

MAX_BYTES = 1_000_000
_M = TypeVar("_M", bound=BaseModel)


def load_plan(path: Path | str, overlay: Path | str | None = None) -> Plan:
    """Return the plan in a YAML file, with an overlay merged in where one is given.

    The plan must be valid on its own; only then are messages about it sure to name its lines.
    Raises BadInput naming file, place and remedy.
    """
    parsed = _read(path)
    data = _mapping(parsed, path)
    if "overlay" in data:
        raise BadInput(
            f"{path}: overlay: a plan does not write this down itself.",
            "Remove it, and pass such changes with --overlay FILE.",
        )
    plan = _validate(Plan, data, str(path), parsed.lines)
    if overlay is None:
        return plan
    merged = lay_over(data, _mapping(_read(overlay), overlay), str(overlay))
    return _validate(Plan, merged, f"{path} with {overlay}", {})


def load_release(path: Path | str) -> Release:
    """Return the release in a YAML file. Raises BadInput naming file, place and remedy."""
    parsed = _read(path)
    return _validate(Release, _mapping(parsed, path), str(path), parsed.lines)


def read_document(path: Path | str) -> dict[str, Any]:
    """Return the plain data of a YAML file whose outermost value is a mapping."""
    return _mapping(_read(path), path)


def _read(path: Path | str) -> Parsed:
    try:
        content = _bytes(Path(path))
        text = content.decode("utf-8-sig")
    except OSError as error:
        raise BadInput(
            f"{path}: it cannot be read: {error.strerror or error}.", "Check the path."
        ) from None
    except UnicodeDecodeError:
        raise BadInput(f"{path}: it is not UTF-8 text.", "Save it as UTF-8.") from None
    return read_yaml(text, str(path))


def _bytes(path: Path) -> bytes:
    # Without O_NONBLOCK, opening a FIFO would wait for ever.
    handle = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    with os.fdopen(handle, "rb") as file:
        if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
            raise BadInput(f"{path}: it is not a regular file.", "Give a YAML file.")
        content = file.read(MAX_BYTES + 1)
    if len(content) > MAX_BYTES:
        raise BadInput(f"{path}: it is larger than {MAX_BYTES} bytes.", "Make it smaller.")
    return content


def _mapping(parsed: Parsed, path: Path | str) -> dict[str, Any]:
    if not isinstance(parsed.data, dict):
        raise BadInput(
            f"{path}: it is empty or no mapping of keys to values.",
            "Begin from plans/teei-production.yaml or plans/example-release.yaml.",
        )
    return parsed.data


def _validate(model: type[_M], data: dict[str, Any], source: str, lines: dict[Place, int]) -> _M:
    try:
        return model.model_validate(data)
    except ValidationError as error:
        raise explain(error, model, data, source, lines) from None
