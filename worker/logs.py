"""Logs on stderr, one line each, so that no text can pretend to be another line."""

import logging
import sys
import time


class OneLine(logging.Formatter):
    """`2026-11-23T20:21:34Z INFO worker: text`, tracebacks folded into the line."""

    def __init__(self) -> None:
        super().__init__("%(asctime)s %(levelname)s %(name)s: %(message)s", "%Y-%m-%dT%H:%M:%SZ")
        self.converter = time.gmtime

    def format(self, record: logging.LogRecord) -> str:
        """Return the record as one line."""
        text = super().format(record)
        return "".join(one if one.isprintable() else " " for one in text.replace("\n", " | "))


def log_to_stderr(level: str = "INFO") -> None:
    """Send every log of this process to stderr. `level` is a name of the logging module."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(OneLine())
    logging.basicConfig(level=level, handlers=[handler], force=True)
    for chatty in ("httpx", "httpcore", "botocore", "urllib3", "kubernetes"):
        logging.getLogger(chatty).setLevel(logging.WARNING)
    # It warns of the rollback of a session that the server has ended, as a fence does; what that
    # means is raised as an error of its own.
    logging.getLogger("psycopg").setLevel(logging.ERROR)
