"""Judges from outside what slipway reports: images, schema, rows, the writer's own log. `traces`
adds audit log, record and bucket, `backups` the dump itself."""

from collections.abc import Callable
from contextlib import suppress
from typing import Any

import psycopg

from devstack.demo import backups, traces
from devstack.demo.look import IN_DATABASE, Seen, look
from devstack.errors import StackError
from devstack.stack import Stack
from devstack.world import cluster
from devstack.world.database import access
from devstack.world.environment import Environment
from devstack.world.services.writer import acknowledged_keys, missing_keys
from slipway.verdicts import Reason

_ENOUGH = 20
"""Acknowledged writes below which a comparison would prove nothing."""
_SETTLES = 60.0

Look = Callable[[Stack, Environment, Seen, dict[str, Any]], list[str]]


def judge(
    stack: Stack, made: Environment, before: Seen, status: dict[str, Any], *, crashes: int = 0
) -> list[str]:
    """Return what disagrees with the status that slipway reports, a sentence each.

    `crashes` says how often the database server was killed meanwhile.
    """
    wanted = _LOOKS.get(str(status.get("outcome")))
    if wanted is None:
        return [f"the run did not end as it should: {status}"]
    wrong = wanted(stack, made, before, status)
    wrong += _lost(stack, made, status, breaks=1 + crashes)
    return wrong + backups.judge(stack, made, before, status)


def _settled(stack: Stack, made: Environment) -> Seen:
    """Look once every service is ready, or after a while: a busy machine may be late with a probe,
    which says nothing of what a run has left."""
    with suppress(StackError):  # who looks says it, service by service
        cluster.wait_ready(stack, [made.namespace], deadline=_SETTLES)
    return look(stack, made)


def deployed(stack: Stack, made: Environment, before: Seen, status: dict[str, Any]) -> list[str]:
    """Return what is not as a finished deployment must leave it, a sentence each."""
    now, wrong = _settled(stack, made), []
    for service in status["services"]:
        name = service["name"]
        if _digest(now.images[name]) != _digest(service["image_after"]):
            wrong.append(f"{name} runs {now.images[name]}, not {service['image_after']}")
        if not now.ready[name]:
            wrong.append(f"{name} is not ready")
    pending = [one["hash"] for one in status["migrations"]]
    if now.database.ledger != before.database.ledger + pending:
        wrong.append("the ledger does not hold exactly the old and the pending migrations")
    if now.database.still != before.database.still:
        wrong.append("tables that nobody writes have changed")
    return wrong + traces.judge(stack, made, before, now, status)


def rolled_back(stack: Stack, made: Environment, before: Seen, status: dict[str, Any]) -> list[str]:
    """Return what is not as a rollback must leave it, a sentence each."""
    now, wrong = _settled(stack, made), []
    for name, image in before.images.items():
        if now.images[name] != image:
            wrong.append(f"{name} runs {now.images[name]}, not {image} as before")
        if not now.ready[name]:
            wrong.append(f"{name} is not ready")
    wrong += _same_database(before, now)
    if status["lost_writes"] is not None and not (status["followed"] or _corrupted(status)):
        wrong.append("the database went back to its backup, without the later writes")
    return wrong + traces.judge(stack, made, before, now, status)


def _corrupted(status: dict[str, Any]) -> bool:
    """Whether the data was corrupt: then a person, shown what was written since the backup, decides
    that it goes back there; the writes that are lost are counted all the same."""
    return bool((status["verdict"] or {}).get("reason") == Reason.DATA_CORRUPTION.value)


def stopped(stack: Stack, made: Environment, before: Seen, status: dict[str, Any]) -> list[str]:
    """Return what a run that stopped before any change has changed, a sentence each."""
    now = look(stack, made)
    wrong = [] if now.images == before.images else ["images differ from before"]
    wrong += _same_database(before, now)
    return wrong + traces.judge(stack, made, before, now, status)


_LOOKS: dict[str, Look] = {
    "deployed": deployed,
    "rolled_back": rolled_back,
    "stopped": stopped,
    "rejected": stopped,
    "expired": stopped,
}


def _same_database(before: Seen, now: Seen) -> list[str]:
    return [
        f"{what} of the database differs from before"
        for what in IN_DATABASE
        if getattr(now.database, what) != getattr(before.database, what)
    ]


def _lost(stack: Stack, made: Environment, status: dict[str, Any], *, breaks: int) -> list[str]:
    """Compare the writer's own log with what was reported as lost.

    A row whose commit the writer never heard of (the fence ended its session) is in no log; it is
    looked for in the database that was swapped out. Only one such row can be for each break of
    the writer's connection.
    """
    acknowledged = set(acknowledged_keys(made))
    if len(acknowledged) < _ENOUGH:
        return ["the writer has hardly written: a comparison with its log proves nothing"]
    reported = (status["lost_writes"] or {}).get("public.ingestion_events", 0)
    missing = set(missing_keys(stack, made))
    kept = status.get("kept_database", "")
    gone = _keys(stack, kept) - _keys(stack, made.database) if kept else set()
    unheard = {key for key in gone - acknowledged if key.startswith("w-")}
    wrong = []
    if missing - gone:
        wrong.append(f"{len(missing - gone)} acknowledged writes are in no database any more")
    if len(gone) != reported:
        wrong.append(f"{len(gone)} writes are missing; {reported} were reported")
    if len(unheard) > breaks:
        wrong.append(f"{len(unheard)} writes of the writer are in no log: it cannot be")
    return wrong


def _keys(stack: Stack, database: str) -> set[str]:
    with psycopg.connect(access.url(stack, access.ADMIN, database)) as connection:
        return {key for (key,) in connection.execute("SELECT key FROM ingestion_events")}


def _digest(image: str) -> str:
    return image.partition("@")[2]
