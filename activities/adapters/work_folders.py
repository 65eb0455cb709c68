"""Folders on the worker's machine where backups keep their files, found again by name."""

import hashlib
import os
import secrets
import shutil
import tempfile
from pathlib import Path

_FOLDER = f"slipway-{os.getuid()}-"


def left_folders() -> list[str]:
    """Return the names of all side databases whose work has a folder on this machine."""
    found = Path(tempfile.gettempdir()).glob(f"{_FOLDER}*")
    return sorted({one.name.removeprefix(_FOLDER).partition(".")[0] for one in found})


def drop_folders(name: str) -> None:
    """Remove every folder of work on a side database."""
    here = Path(tempfile.gettempdir())
    for one in (here / f"{_FOLDER}{name}", *here.glob(f"{_FOLDER}{name}.*")):
        if one.is_symlink():
            one.unlink()  # nobody can point it elsewhere
        elif one.exists():
            shutil.rmtree(one)


def fresh_folder(name: str) -> Path:
    """A folder of this attempt's own: an older one that wakes and cleans up must not meet it."""
    drop_folders(name)
    folder = Path(tempfile.gettempdir()) / f"{_FOLDER}{name}.{secrets.token_hex(4)}"
    folder.mkdir(mode=0o700)
    return folder


def sha256_of_file(file: Path) -> str:
    """Read a file to its end and return its digest."""
    with file.open("rb") as source:
        return hashlib.file_digest(source, "sha256").hexdigest()
