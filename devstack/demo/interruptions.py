"""Ten interruptions of a run, chosen and timed by a seed."""

import random
from dataclasses import dataclass
from typing import Literal

Kind = Literal["killed", "frozen", "replaced"]
ROLES = ("workflow", "privileged")
SERVERS = ("temporal", "postgres", "versitygw", "kube-apiserver", "prometheus")
COUNT = 10
FROZEN_SECONDS = 25.0
"""Longer than every heartbeat timeout: the server gives the frozen worker's work to another."""
_PAUSE = (4.0, 14.0)
_FREEZES = 2


@dataclass(frozen=True)
class Interruption:
    """One interruption."""

    pause: float
    """Seconds between the end of the one before (or the run's start) and this one."""
    kind: Kind
    whom: str
    """A worker's role, or a server as the stack names it."""

    @property
    def worker(self) -> bool:
        """Whether it strikes a worker."""
        return self.whom in ROLES

    def __str__(self) -> str:
        """Return such as `workflow worker frozen`."""
        return f"{self.whom} worker {self.kind}" if self.worker else f"{self.whom} {self.kind}"


def schedule(seed: int) -> tuple[Interruption, ...]:
    """Return the interruptions of a seed: every server and every fate of a worker at least once."""
    chance = random.Random(seed)
    strikes: list[tuple[Kind, str]] = [("killed", server) for server in SERVERS]
    fates: tuple[Kind, ...] = ("killed", "frozen", "replaced")
    strikes += [(fate, chance.choice(ROLES)) for fate in fates]
    every = [*strikes[: len(SERVERS)], *[(fate, role) for fate in fates for role in ROLES]]
    while len(strikes) < COUNT:
        extra = chance.choice(every)
        if extra[0] != "frozen" or [kind for kind, _ in strikes].count("frozen") < _FREEZES:
            strikes.append(extra)
    chance.shuffle(strikes)
    return tuple(
        Interruption(round(chance.uniform(*_PAUSE), 1), kind, whom) for kind, whom in strikes
    )
