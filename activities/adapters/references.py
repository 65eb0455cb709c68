"""Resolves references to secrets (`env:NAME`, `file:PATH`). Errors name the reference only."""

import os
import re
from pathlib import Path

from slipway.errors import BadInput
from slipway.verdicts import Reason

_LARGEST = 65_536
_HEADER = re.compile(r"[\x20-\x7e\t]+")


def resolve(reference: str) -> str:
    """Return the text a reference leads to, without the newline at its end.

    Raises BadInput naming the reference when it leads nowhere.
    """
    kind, _, rest = reference.partition(":")
    if kind == "env":
        return _checked(reference, os.environ.get(rest, ""), f"Set {rest} where the worker runs.")
    if kind == "file":
        return _checked(reference, _read(reference, Path(rest)), "Put the value into that file.")
    raise _bad(f"{reference!r} is no reference.", "Write env:NAME or file:PATH.")


def header(reference: str) -> str:
    """Return the value of an HTTP header that a reference leads to, without spaces around it.

    Raises BadInput where no header can hold it: httpx would show it in its own error.
    """
    value = resolve(reference).strip(" \t")
    if not _HEADER.fullmatch(value):
        raise _bad(
            f"{reference} holds a character that no HTTP header can hold, or spaces only.",
            "Put the header's value there: printable ASCII in one line.",
        )
    return value


def _read(reference: str, path: Path) -> str:
    try:
        with path.open("rb") as file:
            content = file.read(_LARGEST + 1)
        if len(content) > _LARGEST:
            raise _bad(f"{reference} holds more than 64 KiB.", "Refer to a file with one value.")
        return content.decode()
    except (OSError, ValueError) as error:
        what = error.strerror if isinstance(error, OSError) else "it is not UTF-8 text"
        raise _bad(
            f"{reference} cannot be read: {what}.",
            "Make the file readable for the worker, or correct the reference in the plan.",
        ) from None


def _checked(reference: str, value: str, remedy: str) -> str:
    value = value.rstrip("\r\n")
    if not value or "\x00" in value:
        raise _bad(f"{reference} is empty or not set.", remedy)
    return value


def _bad(what: str, remedy: str) -> BadInput:
    return BadInput(what, remedy, reason=Reason.ENVIRONMENT_NOT_READY)
