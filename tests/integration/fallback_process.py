"""A follower in a process of its own, which a test may kill: `python -m … FILE`.

FILE is JSON: source and side as addresses, slot, publication.
"""

import json
import sys
import threading
from pathlib import Path

import psycopg

from activities.adapters.fallback.follower import Follower
from activities.adapters.postgres.url import parse_target


def main(file: str) -> int:
    """Follow until killed."""
    told = json.loads(Path(file).read_text())
    follower = Follower(
        parse_target(told["source"], "source"),
        parse_target(told["side"], "side"),
        slot=told["slot"],
        publication=told["publication"],
    )
    stop = threading.Event()
    while True:
        try:
            follower.run(stop)
        except psycopg.OperationalError as error:
            print(f"again: {error}", flush=True)
            stop.wait(0.1)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
