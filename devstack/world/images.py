"""Images of the TEEI services: names, digests, and the fault a digest stands for."""

import hashlib
from collections.abc import Mapping

from devstack.world.faults import FAULTS, HEALTHY, Fault, fault_of

REGISTRY = "registry.teei.example"


def digest(service: str, version: str, fault: str | None = None) -> str:
    """Return `sha256:<64 hex>`, the same for the same version at any time."""
    text = f"{service}:{version}" + (f"-{fault}" if fault else "")
    return "sha256:" + hashlib.sha256(text.encode()).hexdigest()


def image(service: str, version: str, fault: str | None = None) -> str:
    """Return `registry/service:tag@digest`; the tag of a faulty version ends in the fault's name.

    Raises ValueError when there is no such fault or the service cannot have it.
    """
    if fault and not fault_of(fault).applies_to(service):
        raise ValueError(f"{service} cannot have the fault {fault}")
    tag = version + (f"-{fault}" if fault else "")
    return f"{REGISTRY}/{service}:{tag}@{digest(service, version, fault)}"


def fault_in(reference: str, table: Mapping[str, str]) -> Fault:
    """Return the fault of an image: by its digest in `table`, else by the end of its tag."""
    name, _, pinned = reference.partition("@")
    if pinned in table:
        return FAULTS.get(table[pinned], HEALTHY)
    tag = name.rpartition(":")[2]
    return FAULTS.get(tag.rpartition("-")[2], HEALTHY) if "-" in tag else HEALTHY
