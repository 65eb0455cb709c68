"""The addresses of a plan, and whether they lead to this machine: compressed time may go nowhere
else."""

import ipaddress
from collections.abc import Mapping
from urllib.parse import urlsplit

from slipway.plan import Plan


def addresses_of(plan: Plan) -> dict[str, str]:
    """Return every plain address of a plan by its place in it; those behind references are not
    known to the plan."""
    found = {
        f"services[{service.name}].{key}": url
        for service in plan.services
        for key, url in (("url", service.url), ("staging_url", service.staging_url))
        if url
    }
    found["metrics.url"] = plan.metrics.url
    if plan.loki:
        found["loki.url"] = plan.loki.url
    if plan.notices.webhook.startswith("http"):
        found["notices.webhook"] = plan.notices.webhook
    return found


def not_loopback(addresses: Mapping[str, str]) -> list[str]:
    """Return the names of addresses (URLs, hosts, folders of Unix sockets) that lead off this
    machine."""
    return sorted(name for name, address in addresses.items() if not loopback(host_of(address)))


def host_of(address: str) -> str:
    """Return the host of a URL; of anything else, all of it."""
    return urlsplit(address).hostname or "" if "//" in address else address


def loopback(host: str) -> bool:
    """Whether a host is this machine by its very name, number or socket: no name server is asked,
    whose answer may be another one at the next question."""
    if host == "localhost" or host.startswith("/"):
        return True
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False
