"""From the name of a fault to what is deployed, and how that may end."""

from devstack.demo.interruptions import schedule
from devstack.demo.run import Wish
from devstack.demo.troubles import STUBBORN, TROUBLES
from devstack.world.expectations import End, ends
from slipway.verdicts import Reason

SICK_IN_STAGING = "analytics"
"""The service that has the fault of `staging:<fault>`."""
GOOD = (End("deployed", 0, ("Ok",), 7200.0),)
"""How a release without a fault ends."""


def wished(fault: str | None) -> tuple[Wish, list[End]]:
    """Return what to deploy for a fault as the command line names it, and how that may end.

    Raises ValueError for one that does not exist.
    """
    if fault is None:
        return Wish(), list(GOOD)
    service, colon, name = fault.partition(":")
    if not colon:
        raise ValueError(
            f"{fault!r} is no fault: write SERVICE:FAULT, such as analytics:errors3; "
            "`python -m devstack faults` lists all"
        )
    allowed = ends(service, name)
    if fault in TROUBLES:
        pending = name if service == "migration" else Wish.pending
        return Wish(trouble=TROUBLES[fault], pending=pending), allowed
    match service:
        case "migration":
            return Wish(pending=name), allowed
        case "gate":
            return Wish(gate=name), allowed
        case "staging":
            return Wish(staging_fault=(SICK_IN_STAGING, name)), allowed
    return Wish(faults={service: name}), allowed


def interrupted(seed: int) -> tuple[Wish, list[End]]:
    """Return a good release that is interrupted ten times, and how that may end.

    A database that crashes may make a service fail, which is a reason to take the release back.
    """
    every = tuple(reason.value for reason in Reason)
    allowed = [*GOOD, End("rolled_back", 3, every, 7200.0)]
    return Wish(trouble=STUBBORN, interruptions=schedule(seed)), allowed
