"""What is kept of a run that nobody wanted: its backup is read and restored, the rest goes."""

import time

import psycopg
from psycopg import sql

from devstack.demo.cli import Cli
from devstack.stack import Stack
from devstack.world.database import access
from devstack.world.environment import Environment
from slipway.judgements.backup import MARK

_SECONDS = 120.0


def carry_kept(stack: Stack, made: Environment, queue: str) -> list[str]:
    """Use the backup of a rejected run as an engineer may, and wait until its copy is gone; return
    what is wrong, a sentence each."""
    cli, drill = Cli(stack, queue), f"{made.database}_drill"[:63]
    wrong = []
    for command in (
        ("list", made.name),
        ("verify", made.name),
        ("restore-to", drill, "--from", made.name),
        ("reapply", made.name),
    ):
        answer = cli.run("backups", *command, timeout=300)
        if answer.code != 0:
            wrong.append(f"backups {command[0]}: exit {answer.code}: {answer.out}{answer.err}")
    with psycopg.connect(access.url(stack, access.ADMIN, access.CONTROL), autocommit=True) as admin:
        admin.execute(sql.SQL("DROP DATABASE IF EXISTS {}").format(sql.Identifier(drill)))
        deadline = time.monotonic() + _SECONDS
        while (left := _left(admin, made)) and time.monotonic() < deadline:
            time.sleep(0.2)
    return [*wrong, *(f"{one} was not dropped" for one in left)]


def _left(admin: "psycopg.Connection", made: Environment) -> list[str]:
    """Copies and slots of the environment's database that are still there."""
    query = (
        "SELECT datname FROM pg_database WHERE starts_with(datname, %s)"
        " UNION ALL SELECT slot_name FROM pg_replication_slots WHERE database = %s"
    )
    return [one for (one,) in admin.execute(query, [f"{made.database}{MARK}", made.database])]
