"""The table of the rollout corpus: a name, what is done, how it must end, what must be said."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from tests.integration.rollout_world import End, Place

Act = Callable[[Place], Awaitable[End]]

DONE = "PROCEED"
DOOMED = "ROLLBACK RolloutDoomed"
TOO_SLOW = "ROLLBACK RolloutTooSlow"


@dataclass(frozen=True)
class Situation:
    """One situation."""

    name: str
    act: Act
    ends: str
    says: str
    own_namespace: bool
    """Whether what it changes would meet others in the same namespace."""


SITUATIONS: list[Situation] = []


def situation(ends: str, says: str = "", *, own_namespace: bool = False) -> Callable[[Act], Act]:
    """Add a situation to the table under the name of its function."""

    def add(act: Act) -> Act:
        name = str(getattr(act, "__name__", act)).replace("_", "-")
        SITUATIONS.append(Situation(name, act, ends, says, own_namespace))
        return act

    return add
