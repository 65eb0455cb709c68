"""From looks at a migration's session to how long it held which lock.

A look is taken every few milliseconds and, so that the shortest transaction is not missed, each
time the server has answered a statement. Between two looks nothing is known: a lock counts from the
last look without it to the first look without it again, so that none is told shorter than it was.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field

from slipway.messages.rehearsal import LockHeld, StatementTook

WEAKEST_FIRST = (
    "AccessShareLock",
    "RowShareLock",
    "RowExclusiveLock",
    "ShareUpdateExclusiveLock",
    "ShareLock",
    "ShareRowExclusiveLock",
    "ExclusiveLock",
    "AccessExclusiveLock",
)
BLOCKS_READS = frozenset({"AccessExclusiveLock"})
BLOCKS_WRITES = frozenset({*WEAKEST_FIRST[4:]})
_SHORT = 160
_MOST = 20


@dataclass(frozen=True)
class Look:
    """One look at one session. Times are the server's, in seconds."""

    at: float
    pid: int
    statement: str = ""
    began: float = 0.0
    """When that statement began."""
    ended: float = 0.0
    """When it ended; 0 while it runs."""
    locks: frozenset[tuple[str, str]] = frozenset()
    """Table and mode of every lock granted to it."""


@dataclass
class LockTrace:
    """Collects looks in the order they were taken."""

    looks: list[Look] = field(default_factory=list)

    def add(self, look: Look) -> None:
        """Take the next look."""
        self.looks.append(look)

    def locks(self) -> list[LockHeld]:
        """Return the strongest lock of each table, strongest and longest first."""
        best: dict[str, LockHeld] = {}
        for pid in dict.fromkeys(one.pid for one in self.looks):
            for held in _held([one for one in self.looks if one.pid == pid]):
                if held.table not in best or _weight(held) > _weight(best[held.table]):
                    best[held.table] = held
        return sorted(best.values(), key=_weight, reverse=True)

    def statements(self) -> list[StatementTook]:
        """Return the slowest statements, slowest first."""
        took: dict[tuple[int, float], StatementTook] = {}
        for one in self.looks:
            if one.statement and one.began:
                seconds = max(0.0, (one.ended or one.at) - one.began)
                took[(one.pid, one.began)] = StatementTook(
                    statement=short_statement(one.statement), seconds=round(seconds, 4)
                )
        return sorted(took.values(), key=lambda one: -one.seconds)[:_MOST]


def _weight(held: LockHeld) -> tuple[int, float]:
    return WEAKEST_FIRST.index(held.mode), held.seconds


def _held(looks: list[Look]) -> Iterable[LockHeld]:
    """Locks of one session, each from before it was taken until after it was given back."""
    since: dict[tuple[str, str], tuple[float, str]] = {}
    before = 0.0
    for look in looks:
        for lock in look.locks - since.keys():
            if lock[1] in WEAKEST_FIRST:
                # taken by the statement of this look, and not before the look before
                began = max(before, min(look.began, look.at)) or look.at
                since[lock] = (began, look.statement)
        for lock in since.keys() - look.locks:
            yield _one(lock, *since.pop(lock), look.at)
        before = look.at
    for lock, (began, statement) in since.items():
        yield _one(lock, began, statement, before)


def _one(lock: tuple[str, str], began: float, statement: str, until: float) -> LockHeld:
    return LockHeld(
        table=lock[0],
        mode=lock[1],
        seconds=round(max(0.0, until - began), 4),
        statement=short_statement(statement),
    )


def short_statement(text: str) -> str:
    """Return a statement on one line, shortened."""
    line = " ".join(line for line in text.split() if line)
    return line if len(line) <= _SHORT else line[: _SHORT - 1] + "…"
