"""The digest of a file."""

import hashlib
from pathlib import Path


def sha256_of_file(file: Path) -> str:
    """Read a file to its end and return its digest."""
    with file.open("rb") as source:
        return hashlib.file_digest(source, "sha256").hexdigest()
