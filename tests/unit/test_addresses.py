"""Which addresses a plan has, and which of them are this machine."""

import pytest

from slipway.addresses import addresses_of, loopback, not_loopback
from tests.fakes.plans import small_plan


def test_every_address_is_named_by_its_place() -> None:
    plan = small_plan(loki={"url": "http://127.0.0.1:3100", "selector": '{pod=~"$pods"}'})
    found = addresses_of(plan)
    assert {"metrics.url", "loki.url", "services[api-gateway].url"} <= set(found)
    assert all(address.startswith("http") for address in found.values())


@pytest.mark.parametrize(
    ("address", "local"),
    [
        ("http://127.0.0.1:1", True),
        ("http://[::1]:1/x", True),
        ("http://localhost:1", True),
        ("/run/postgresql", True),
        ("https://127.0.0.1.evil.example", False),
        ("https://api.teei.com", False),
        ("10.0.0.1", False),
        ("", False),
    ],
)
def test_addresses_off_this_machine_are_named(address: str, local: bool) -> None:
    assert (not_loopback({"x": address}) == []) is local


@pytest.mark.parametrize(
    ("host", "yes"),
    [
        ("127.0.0.1", True),
        ("127.9.9.9", True),
        ("::1", True),
        ("localhost", True),
        ("localhost.teei.com", False),
        ("127.0.0.1.nip.io", False),
        ("10.0.0.1", False),
        ("", False),
    ],
)
def test_loopback_is_decided_without_asking_a_name_server(host: str, yes: bool) -> None:
    assert loopback(host) is yes
