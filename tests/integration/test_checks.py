"""Health, critical functions, smoke flows and corruption probes against the running services."""

import gzip
import ssl
import time
from pathlib import Path

import pytest

from activities.adapters import http as http_adapter
from activities.adapters.browser import Browser
from activities.adapters.http import Http
from activities.checks import Checks
from slipway.errors import BadInput
from slipway.judgements.answers import NoAnswer
from slipway.judgements.corruption import judge_probe
from slipway.messages.watch import CheckService, RunFlows, RunProbes
from slipway.plan import Comparison, CorruptionProbe
from slipway.verdicts import Kind, Reason, Signal, Verdict
from tests.integration.cluster_world import ClusterWorld, until
from tests.integration.stub_server import answering, response

pytestmark = pytest.mark.stack


async def checked(
    place: ClusterWorld, service: str, before: list[str] | None = None
) -> list[Verdict]:
    request = CheckService(
        service=place.plan.service(service),
        every=0.5,  # a busy world may answer late once
        workload=place.workload(service),
        log_templates=before,
        addresses={one.name: one.url for one in place.plan.services if one.url},
    )
    checks = Checks(place.http, place.cluster, place.probes, Browser())
    return (await checks.service(request)).verdicts


async def test_every_service_of_the_plan_passes(place: ClusterWorld) -> None:
    for service in place.plan.services:
        verdicts = await checked(place, service.name)
        assert {one.kind for one in verdicts} == {Kind.PROCEED}, verdicts
        assert len(verdicts) == 1 + len(service.critical)


@pytest.mark.parametrize(
    ("service", "fault", "reason", "said"),
    [
        ("buddy", "unhealthy", Reason.UNHEALTHY, "DOWN"),
        ("journey", "wrongbody", Reason.UNHEALTHY, "fine"),
        ("q2q-ai", "critical", Reason.CRITICAL_FUNCTION_BROKEN, "step"),
        ("reporting", "noreports", Reason.CRITICAL_FUNCTION_BROKEN, "step"),
        ("impact-in", "ingestionbroken", Reason.CRITICAL_FUNCTION_BROKEN, "read back"),
        ("corp-cockpit", "nohtml", Reason.UNHEALTHY, "not HTML"),
    ],
)
async def test_each_broken_version_is_found(
    place: ClusterWorld, service: str, fault: str, reason: Reason, said: str
) -> None:
    apply, _ = await place.deploy(service, fault)
    try:
        bad = [one for one in await checked(place, service) if one.kind is not Kind.PROCEED]
        assert [one.kind for one in bad] == [Kind.ROLLBACK]
        assert bad[0].reason is reason
        assert bad[0].service == service
        assert said in bad[0].because
    finally:
        await place.put_back(apply)


async def test_new_kinds_of_error_lines_are_told_and_are_no_veto(place: ClusterWorld) -> None:
    captured = await place.capture("buddy")
    assert captured.log_templates is not None
    apply, _ = await place.deploy("buddy", "errorlogs")
    found: list[Verdict] = []

    async def told() -> bool:
        seen = await checked(place, "buddy", captured.log_templates)
        found[:] = [one for one in seen if one.signal is Signal.LOGS]
        return bool(found)

    try:
        await until(told, "the new version writes an error line")
        assert [one.kind for one in found] == [Kind.PROCEED]
        assert "ERROR [connection] connect ECONNREFUSED <*>" in found[0].because
    finally:
        await place.put_back(apply)


async def test_smoke_flows_pass(place: ClusterWorld) -> None:
    request = RunFlows(flows=place.plan.smoke, services=place.plan.services, every=0.5)
    checks = Checks(place.http, place.cluster, place.probes, Browser())
    verdicts = (await checks.flows(request)).verdicts
    assert [one.kind for one in verdicts] == [Kind.PROCEED] * len(place.plan.smoke), verdicts


async def test_a_wrong_password_breaks_the_login_and_is_never_told(
    place: ClusterWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TEEI_SMOKE_PASSWORD", "wrong-but-secret")
    verdicts = await checked(place, "api-gateway")
    bad = [one for one in verdicts if one.kind is Kind.ROLLBACK]
    assert [one.reason for one in bad] == [Reason.CRITICAL_FUNCTION_BROKEN]
    assert "401" in bad[0].because
    assert "wrong-but-secret" not in bad[0].because


async def test_a_secret_that_is_not_there_is_named_by_its_reference(
    place: ClusterWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("TEEI_SMOKE_PASSWORD")
    with pytest.raises(BadInput, match="TEEI_SMOKE_PASSWORD"):
        await checked(place, "api-gateway")


@pytest.mark.parametrize(
    ("sql", "kind", "said"),
    [
        ("SELECT true", Kind.PROCEED, "sound"),
        ("SELECT false", Kind.ROLLBACK, "not sound"),
        ("SELECT 1", Kind.INCONCLUSIVE, "one boolean"),
        ("SELECT NULL::boolean", Kind.INCONCLUSIVE, "one boolean"),
        ("SELECT true FROM generate_series(1, 2)", Kind.INCONCLUSIVE, "one row"),
        ("SELECT nothing FROM nowhere", Kind.INCONCLUSIVE, "42P01"),
        ("COMMIT; DELETE FROM users", Kind.INCONCLUSIVE, "42601"),
        ("CREATE TABLE x (y int)", Kind.INCONCLUSIVE, "cannot be run"),
    ],
)
async def test_corruption_probes(place: ClusterWorld, sql: str, kind: Kind, said: str) -> None:
    request = RunProbes(
        probes=[CorruptionProbe(name="p", sql=sql)], probe_url=place.plan.database.probe_url
    )
    checks = Checks(place.http, place.cluster, place.probes, Browser())
    (verdict,) = (await checks.probes(request)).verdicts
    assert verdict.kind is kind, verdict
    assert said in verdict.because


async def test_probes_of_the_plan_are_sound(place: ClusterWorld) -> None:
    request = RunProbes(probes=place.plan.corruption, probe_url=place.plan.database.probe_url)
    checks = Checks(place.http, place.cluster, place.probes, Browser())
    assert {one.kind for one in (await checks.probes(request)).verdicts} == {Kind.PROCEED}


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (response(b"x" * (1024 * 1024 + 1)), "1 MiB"),
        (b"nonsense\r\n\r\n", "status line"),
        (response(gzip.compress(b"{}"), more="Content-Encoding: gzip\r\n"), "compressed"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\nConnection: close\r\n\r\nabc", "peer closed"),
    ],
)
async def test_answers_that_cannot_be_judged(answer: bytes, said: str) -> None:
    client = Http()
    async with answering(answer) as url:
        with pytest.raises(NoAnswer, match=said):
            await client.fetch("GET", url)
    await client.aclose()


async def test_an_answer_that_never_comes_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http_adapter, "_OVERALL", 0.3)
    client = Http()
    async with answering(b"") as url:
        with pytest.raises(NoAnswer, match="no whole answer"):
            await client.fetch("GET", url)
    await client.aclose()


async def test_redirects_are_not_followed() -> None:
    client = Http()
    moved = response(b"", status="302 Found", more="Location: http://169.254.169.254/\r\n")
    async with answering(moved) as url:
        answer = await client.fetch("GET", url)
    await client.aclose()
    assert (answer.status, answer.location) == (302, "http://169.254.169.254/")


async def test_a_certificate_that_is_not_accepted_is_explained(tmp_path: Path) -> None:
    client = Http()
    async with answering(response(b"{}"), tls=self_signed(tmp_path)) as url:
        with pytest.raises(NoAnswer, match="TLS certificate is not accepted"):
            await client.fetch("GET", url)
    await client.aclose()


def self_signed(folder: Path) -> ssl.SSLContext:
    """A server context with a certificate nobody trusts."""
    from datetime import UTC, datetime, timedelta

    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "127.0.0.1")])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(int(time.time()))
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .sign(key, hashes.SHA256())
    )
    file = folder / "server.pem"
    file.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
        + certificate.public_bytes(serialization.Encoding.PEM)
    )
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(file)
    return context


async def test_a_probe_compares_with_the_value_before(place: ClusterWorld) -> None:
    url = place.plan.database.probe_url
    users = CorruptionProbe(
        name="users", sql="SELECT count(*) FROM users", compare=Comparison.NOT_FALLING
    )
    (first,) = await place.probes.run(url, [users], {})
    assert (first.sound, first.value.isdigit()) == (None, True)
    (same,) = await place.probes.run(url, [users], {"users": first.value})
    assert same.sound is True
    (fewer,) = await place.probes.run(url, [users], {"users": str(int(first.value) + 1)})
    assert judge_probe(fewer).kind is Kind.ROLLBACK
