"""Files that releases refer to (`artifact:PATH`), below one folder and pinned by SHA-256."""

import hashlib
import os
import stat
from pathlib import Path

from slipway.errors import BadInput

DEFAULT_LIMIT = 16 * 1024 * 1024
"""Bytes."""


class Artifacts:
    """The worker's artifact folder (SLIPWAY_ARTIFACTS). Nothing outside it can be read.

    Symbolic links are followed only when they end inside the folder, as in a mounted ConfigMap.
    """

    def __init__(self, root: Path) -> None:
        self._root = root

    def path(self, ref: str) -> Path:
        """Return the real path of a file or folder. Raises BadInput when there is none inside."""
        kind, _, rest = ref.partition(":")
        if kind != "artifact" or not rest or rest.startswith("/") or "\x00" in rest:
            raise _bad(f"{ref!r} is no artifact", "Write it as artifact:evidence/junit.xml.")
        root = self._real_root()
        try:
            found = (root / rest).resolve(strict=True)
        except (OSError, RuntimeError):
            raise _bad(
                f"{ref} does not exist", "Put it into the worker's artifact folder."
            ) from None
        if not found.is_relative_to(root):
            raise _bad(f"{ref} leads out of the artifact folder", "Copy the file into it.")
        return found

    def read(self, ref: str, sha256: str, limit: int = DEFAULT_LIMIT) -> bytes:
        """Return a file's content of at most `limit` bytes.

        Raises BadInput when it is missing, larger, no regular file or has another digest.
        """
        content = self._content(ref, limit)
        found = hashlib.sha256(content).hexdigest()
        if found != sha256:
            raise _bad(
                f"{ref} has the SHA-256 {found[:12]}…, the release pins {sha256[:12]}…",
                "Restore the file, or pin its new digest in the release.",
            )
        return content

    def _content(self, ref: str, limit: int) -> bytes:
        path = self.path(ref)
        try:
            with os.fdopen(self._open(path), "rb") as file:
                if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
                    raise _bad(f"{ref} is no regular file", "Refer to a file.")
                content = file.read(limit + 1)
        except OSError as error:
            raise _bad(
                f"{ref} cannot be read ({error.strerror})", "Make it readable for the worker."
            ) from None
        if len(content) > limit:
            raise _bad(f"{ref} is larger than {limit} bytes", "Make it smaller.")
        return content

    def _open(self, path: Path) -> int:
        """Open folder by folder without following links: `path` was resolved, so a link met here
        was put there meanwhile. O_NONBLOCK keeps a FIFO from waiting for a writer."""
        root = self._real_root()
        folder = os.open(root, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            *folders, name = path.relative_to(root).parts or (".",)
            for part in folders:
                flags = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
                inner = os.open(part, flags, dir_fd=folder)
                os.close(folder)
                folder = inner
            flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
            return os.open(name, flags, dir_fd=folder)
        finally:
            os.close(folder)

    def _real_root(self) -> Path:
        try:
            return self._root.resolve(strict=True)
        except OSError:
            raise _bad(
                f"The artifact folder {self._root} does not exist",
                "Set SLIPWAY_ARTIFACTS to the folder with workspace and evidence.",
            ) from None


def _bad(what: str, remedy: str) -> BadInput:
    return BadInput(f"{what}.", remedy)
