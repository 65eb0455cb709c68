"""Whether a PgBouncer in front of the database can let its clients wait while a rollback swaps."""

from dataclasses import dataclass

from slipway.messages.preflight import Finding

PAUSE = 1.0
"""Seconds a rollback waits for the pooler's running transactions before the fence ends them."""
LONGEST = 10.0
"""Seconds clients may have to wait in all: the pause, the drain and the swap."""
_OLDEST = (1, 10)
"""The first version that knows RECONNECT."""


@dataclass(frozen=True)
class Entry:
    """One database of a pooler's list, as its console shows it."""

    name: str
    database: str
    """What it opens on the server."""
    mode: str
    """`session`, `transaction`, `statement`."""
    paused: bool


@dataclass(frozen=True)
class PoolerStanding:
    """A pooler as slipway's login at its console sees it."""

    reference: str
    version: str
    """As it says it itself, such as `PgBouncer 1.18.0`; empty when it is none."""
    may_pause: bool = False
    entries: tuple[Entry, ...] = ()
    refused: str = ""
    """What the console said when it was asked for its databases, empty where it showed them."""
    patience: float = 0.0
    """Seconds after which it ends clients that wait; 0: never."""
    here: bool | None = None
    """Whether its connections are sessions of the plan's database; None: it has none just now."""

    def of(self, database: str) -> list[Entry]:
        """Return the entries that lead to a database of that name."""
        return [one for one in self.entries if one.database == database]


def judge_pooler(found: PoolerStanding, database: str) -> list[Finding]:
    """Return what keeps a rollback from letting the pooler's clients wait."""
    where = f"The pooler {found.reference}"
    if _numbers(found.version) < _OLDEST:
        said = f"says that it is {found.version}" if found.version else "is no console of PgBouncer"
        what = f"{where} {said}."
        return [_block(what, "Let the reference open the database pgbouncer of PgBouncer 1.10+.")]
    if not found.may_pause:
        what = f"Slipway's login may not pause {found.reference}."
        return [_block(what, "Name it in admin_users of pgbouncer.ini, then RELOAD.")]
    if found.refused:
        return [_block(f"{where} does not show its databases: {found.refused}", "Look at its log.")]
    mine = found.of(database)
    if not mine:
        names = ", ".join(sorted({one.database for one in found.entries})) or "none"
        what = f"{where} serves no database {database}; it serves {names}."
        return [_block(what, "Name the pooler that the services use, or leave it out of the plan.")]
    return [*_led(found, where, database), *_waiting(found, where, mine)]


def _led(found: PoolerStanding, where: str, database: str) -> list[Finding]:
    if found.here:
        return []
    if found.here is None:
        what = f"{where} has no connection to {database} just now: not proved that it is this one."
        return [_note(what, "Compare host and port in its SHOW DATABASES with database.url.")]
    what = f"{where} leads to a {database} on another server than database.url."
    return [_block(what, "Name the pooler that the services of this environment use.")]


def _waiting(found: PoolerStanding, where: str, mine: list[Entry]) -> list[Finding]:
    notes = []
    held = [one.name for one in mine if one.paused]
    if held:
        what = f"{where} holds the clients of {', '.join(held)}: somebody has paused it."
        notes.append(_block(what, f"RESUME {held[0]}; there, when whoever did it agrees."))
    by_session = [one.name for one in mine if one.mode == "session"]
    if by_session:
        what = (
            f"{where} gives {', '.join(by_session)} away by the session: a rollback of the database"
            " ends these sessions, and their clients see one error each."
        )
        notes.append(_note(what, "pool_mode = transaction lets them wait instead."))
    if 0 < found.patience < LONGEST:
        what = f"{where} ends clients that wait longer than {found.patience:g} s."
        notes.append(_note(what, f"Set query_wait_timeout to more than {LONGEST:g}."))
    return notes


def _numbers(version: str) -> tuple[int, ...]:
    name, _, number = version.partition(" ")
    parts = number.split(".")[:2]
    if name != "PgBouncer" or not all(one.isdigit() for one in parts):
        return ()
    return tuple(map(int, parts))


def _block(what: str, remedy: str) -> Finding:
    return Finding(severity="block", group="database", what=what, remedy=remedy)


def _note(what: str, remedy: str) -> Finding:
    return Finding(severity="note", group="database", what=what, remedy=remedy)
