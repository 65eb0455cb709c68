"""Reads `devstack/expectations.yaml`: how a run with a fault may end."""

from dataclasses import dataclass
from functools import cache
from typing import Any

import yaml

from devstack.world import layout
from devstack.world.catalog import BY_NAME, NAMES
from devstack.world.faults import FAULTS, fault_of

FILE = layout.PACKAGE / "expectations.yaml"


@dataclass(frozen=True)
class End:
    """One way a run may end."""

    outcome: str
    exit_code: int
    reasons: tuple[str, ...]
    within: float
    """Seconds before they are divided by `time_scale`."""


def ends(service: str, fault: str) -> list[End]:
    """Return how a release may end whose `service` has `fault`.

    A fault of the release itself is asked for as its two parts: `("migration", "fails")`. Raises
    ValueError when the service cannot have the fault, or nothing is expected.
    """
    document = _document()
    whole = document["release"].get(f"{service}:{fault}")
    if whole is not None:
        return [_end(document, one) for one in whole["any"]]
    if service not in BY_NAME:
        raise ValueError(
            f"no service {service!r}; there are {', '.join(BY_NAME)}. "
            "All faults: python -m devstack faults"
        )
    if not fault_of(fault).applies_to(service):
        raise ValueError(f"{service} cannot have the fault {fault}")
    rows = document["services"].get(fault, {}).get(BY_NAME[service].traffic.value)
    if not rows:
        raise ValueError(f"expectations.yaml says nothing about {service}:{fault}")
    return [_end(document, one) for one in rows]


@dataclass(frozen=True)
class Expected:
    """One fault that can be asked for, and how the run may end."""

    fault: str
    """As `make demo FAULT=…` takes it."""
    title: str
    ends: tuple[End, ...]


def everything() -> list[Expected]:
    """Return every fault of every service that can have it, then those around the services."""
    document = _document()
    of_services = [
        Expected(f"{name}:{fault}", rows["title"], tuple(ends(name, fault)))
        for fault, rows in document["services"].items()
        for name in NAMES
        if FAULTS[fault].applies_to(name)
    ]
    around = [
        Expected(name, one["title"], tuple(_end(document, row) for row in one["any"]))
        for name, one in document["release"].items()
    ]
    return of_services + around


@cache
def _document() -> dict[str, Any]:
    document: dict[str, Any] = yaml.safe_load(FILE.read_text())
    return document


def _end(document: dict[str, Any], row: dict[str, Any]) -> End:
    given = row["end"]
    end = document["ends"][given] if isinstance(given, str) else given
    return End(end["outcome"], end["exit_code"], tuple(row["reasons"]), float(row["within"]))
