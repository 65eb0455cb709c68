"""Checks docker-compose.yml with the library of `docker compose`, where no engine runs."""

from __future__ import annotations

import subprocess
from pathlib import Path

from devstack import build
from devstack.errors import StackError
from devstack.layout import CHECKOUT
from devstack.products import Product, Program

COMPOSE_GO = "2.16.2"
REVISION = 2
"""Of our own few lines around the library: the cache must not keep an older one."""
CHECKER = Product(
    "compose-check",
    f"{COMPOSE_GO}-{REVISION}",
    "SLIPWAY_COMPOSE_CHECK",
    (Program("compose-check", ".", "compose-check"),),
    10,
    module="compose",
)


def services(file: Path = CHECKOUT / "docker-compose.yml") -> list[str]:
    """Names of the file's services. StackError says what `docker compose` would refuse."""
    checker = build.ensure([CHECKER])["compose-check"]
    done = subprocess.run(
        [str(checker), str(file)], capture_output=True, text=True, timeout=60, check=False
    )
    if done.returncode != 0:
        raise StackError(f"{file} is not a valid compose file: {done.stderr.strip()}")
    return done.stdout.split()
