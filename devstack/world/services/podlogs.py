"""Pod logs: files in the container runtime's format, which kwok serves through the API."""

from datetime import UTC, datetime
from pathlib import Path


class PodLog:
    """One pod's log file."""

    def __init__(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self.path = path
        self._file = path.open("a", buffering=1)

    def write(self, level: str, message: str) -> None:
        """Append a line: `<time> stdout F <LEVEL> <message>`."""
        if self._file.closed:
            return
        now = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.%f000Z")
        flat = message.replace("\n", " ").replace("\r", " ")[:2000]
        self._file.write(f"{now} stdout F {level} {flat}\n")

    def close(self) -> None:
        """Close the file; it stays for later readers."""
        self._file.close()
