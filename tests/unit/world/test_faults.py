"""Faults, images and what is expected of them belong together."""

import json

import pytest
import yaml

from devstack.__main__ import main
from devstack.demo.run import Wish
from devstack.demo.wishes import wished
from devstack.servers import stages
from devstack.world import drizzle, expectations
from devstack.world.catalog import BY_NAME, NAMES, SERVICES
from devstack.world.faults import FAULTS, PodFate, fault_of
from devstack.world.images import digest, fault_in, image
from devstack.world.spoilt_evidence import SPOILT
from slipway.plan import ServiceKind
from slipway.release import digest_of
from slipway.states import EXIT_CODES, Outcome
from slipway.verdicts import Reason

_PAIRS = [
    (service, fault)
    for fault in FAULTS
    if fault != "healthy"
    for service in NAMES
    if FAULTS[fault].applies_to(service)
]


def test_the_eleven_services_stand_in_the_playbooks_order() -> None:
    assert [service.port for service in SERVICES] == [
        3017, 3018, 3019, 3021, 3022, 3023, 3024, 3025, 3026, 4017, 4327,
    ]  # fmt: skip
    assert [one.name for one in SERVICES if not one.has_http] == ["discord-bot"]
    assert set(ServiceKind) == {"http", "html", "log"}


@pytest.mark.parametrize("service", SERVICES, ids=lambda service: service.name)
def test_the_routes_carry_all_of_the_traffic(service: object) -> None:
    spec = BY_NAME[getattr(service, "name", "")]
    assert sum(route.share for route in spec.routes) == pytest.approx(1.0)
    assert spec.main_route in {route.path for route in spec.routes}


@pytest.mark.parametrize(("service", "fault"), _PAIRS)
def test_every_fault_of_every_service_has_an_expected_end(service: str, fault: str) -> None:
    for end in expectations.ends(service, fault):
        assert EXIT_CODES[Outcome(end.outcome)] == end.exit_code
        assert {Reason(reason) for reason in end.reasons}
        assert end.within > 0


def test_all_that_can_go_wrong_is_listed_once_and_can_be_wished() -> None:
    listed = [one.fault for one in expectations.everything()]
    assert len(listed) == len(set(listed))
    assert {f"{service}:{fault}" for service, fault in _PAIRS} <= set(listed)
    assert {f"gate:{kind}" for kind in SPOILT} <= set(listed)
    for fault in listed:
        wish, allowed = wished(fault)
        assert allowed
        assert wish != Wish()


def test_the_list_of_faults_is_printed_as_json(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["faults", "--json"]) == 0
    printed = json.loads(capsys.readouterr().out)
    late = next(one for one in printed if one["fault"] == "migration:fails-after-rehearsal")
    assert {end["outcome"] for end in late["ends"]} == {"stopped", "rolled_back"}


def test_every_set_of_migrations_that_can_be_wished_exists() -> None:
    listed = [one.fault.partition(":") for one in expectations.everything()]
    assert {name for kind, _, name in listed if kind == "migration"} <= set(drizzle.PENDING)


def test_what_becomes_of_a_pod_has_its_stages() -> None:
    fated = {name for name, fault in FAULTS.items() if fault.pod is not PodFate.READY}
    assert fated == set(stages.FAULTS)


def test_expectations_name_no_unknown_fault() -> None:
    assert set(yaml.safe_load(expectations.FILE.read_text())["services"]) == set(FAULTS) - {
        "healthy"
    }


@pytest.mark.parametrize("which", ["fails", "fails-late"])
def test_a_failing_migration_is_expected_to_stop_before_any_change(which: str) -> None:
    outcomes = {end.outcome for end in expectations.ends("migration", which)}
    assert outcomes == {"stopped"}


@pytest.mark.parametrize(("service", "fault"), [("discord-bot", "unhealthy"), ("buddy", "nohtml")])
def test_a_fault_that_a_service_cannot_have_is_refused(service: str, fault: str) -> None:
    with pytest.raises(ValueError, match="cannot have"):
        image(service, "1.1.0", fault)
    with pytest.raises(ValueError, match="cannot have"):
        expectations.ends(service, fault)


def test_an_unknown_fault_is_refused_by_name() -> None:
    with pytest.raises(ValueError, match="errors3"):
        fault_of("gremlins")


def test_the_fault_is_read_from_the_tag_or_by_the_digest() -> None:
    tagged = image("buddy", "1.1.0", "errors3")
    assert fault_in(tagged, {}).name == "errors3"
    plain = f"registry.teei.example/buddy@{digest('buddy', '1.1.0', 'errors3')}"
    assert fault_in(plain, {}).name == "healthy"
    assert fault_in(plain, {digest_of(plain): "errors3"}).name == "errors3"


@pytest.mark.parametrize("tag", ["1.1.0", "1.1.0-rc1", "release-healthy"])
def test_other_tags_are_healthy(tag: str) -> None:
    assert fault_in(f"registry.teei.example/buddy:{tag}@sha256:{'0' * 64}", {}).name == "healthy"


def test_digests_differ_by_service_version_and_fault() -> None:
    digests = {
        digest(service, version, fault)
        for service in NAMES
        for version in ("1.0.0", "1.1.0")
        for fault in (None, "errors3")
    }
    assert len(digests) == len(NAMES) * 4
    assert digest("buddy", "1.0.0") == digest("buddy", "1.0.0")
