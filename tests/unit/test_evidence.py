"""Evidence gates: sound evidence passes, and each way of not proving a gate fails it."""

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from slipway.evidence.judge import GATES
from tests.unit.evidence_set import (
    NOW,
    TWO,
    ago,
    case,
    digest,
    junit,
    k6,
    page,
    rollback_test,
    snyk,
    staging,
    trivy,
    vulnerabilities,
    wrapped,
)

FOREIGN = "sha256:" + "0" * 64


def legacy_k6(p95: float, *, flag: bool) -> dict[str, Any]:
    """`k6 run --summary-export`: no `values`, and a flag that is true when the threshold failed."""
    return {
        "metrics": {
            "http_req_duration": {"avg": 90.0, "p(95)": p95, "thresholds": {"p(95)<500": flag}},
            "http_req_failed": {
                "passes": 2,
                "fails": 9998,
                "value": 0.0002,
                "thresholds": {"rate<0.01": flag},
            },
        }
    }


def new_k6(p95: float) -> dict[str, Any]:
    """The machine-readable summary: metrics in a list, no thresholds."""
    metrics = [
        {"name": "http_req_duration", "type": "trend", "values": {"count": 9, "p(95)": p95}},
        {"name": "http_req_failed", "type": "rate", "values": {"rate": 0.0}},
    ]
    return {"version": "1.0.0", "results": {"passed": True, "metrics": metrics}}


@pytest.mark.parametrize("gate", GATES)
def test_sound_evidence_passes(gate: str) -> None:
    result = case().gate(gate)
    assert result.passed, result.because
    assert result.produced_at is not None


BAD_TESTS: dict[str, tuple[bytes, str]] = {
    "no tests": (junit(cases=""), "no test passed"),
    "all skipped": (junit(cases='<testcase name="a"><skipped/></testcase>'), "1 skipped"),
    "failed": (junit(cases='<testcase name="a"><failure/></testcase><testcase name="b"/>'), "a"),
    "error": (junit(cases='<testcase name="a"><error/></testcase>'), "1 failed"),
    "failed, then skipped": (
        junit(cases='<testcase name="a"><failure/><skipped/></testcase><testcase name="b"/>'),
        "1 failed",
    ),
    "counted only": (junit(counts='failures="2" errors="0"'), "2 failed tests"),
    "count is no number": (junit(counts='failures="-1"'), "no number"),
    "elsewhere": (junit(environment="development"), "development, not in staging"),
    "another image": (junit(images=f"{digest(TWO[0])} {digest(TWO[1])} {FOREIGN}"), "another"),
    "an image short": (junit(images=digest(TWO[0])), "nothing covers the image of analytics"),
    "no image": (junit(images=""), "which images"),
    "tag only": (junit(images="registry/api:2.4.0"), "no image digest"),
    "stale": (junit(at=ago(days=8)), "stale"),
    "future": (junit(at="2026-11-24T20:00:00Z"), "future"),
    "no time": (junit(at="yesterday"), "not a time"),
    "html": (b"<html/>", "root is <html>"),
    "cut off": (junit()[:-20], "not XML"),
    "empty": (b"", "not XML"),
    "doctype": (b'<!DOCTYPE testsuite><testsuite timestamp="x"/>', "document type"),
    "outside a case": (
        b'<testsuite timestamp="2026-11-23T10:00:00"><failure/></testsuite>',
        "no test passed",
    ),
}


@pytest.mark.parametrize("name", BAD_TESTS)
def test_test_results_that_prove_nothing_fail(name: str) -> None:
    content, because = BAD_TESTS[name]
    result = case(tests=[content]).gate("tests")
    assert not result.passed
    assert because in result.because


def test_one_bad_file_among_good_ones_fails_and_is_named() -> None:
    result = case(tests=[junit(), junit(cases="")]).gate("tests")
    assert not result.passed
    assert "artifact:tests-1" in result.because


def test_a_hostname_may_say_staging_instead_of_a_property() -> None:
    content = junit().replace(b'<property name="environment" value="staging"/>', b"")
    assert "hostname" in case(tests=[content]).gate("tests").because
    named = content.replace(b'name="e2e"', b'name="e2e" hostname="staging-runner.teei.com"')
    assert case(tests=[named]).gate("tests").passed


def _trivy_set(change: Callable[[dict[str, Any]], None]) -> list[dict[str, Any]]:
    reports = [trivy(one) for one in TWO]
    change(reports[1])
    return reports


def _set(key: str, value: Any) -> Callable[[dict[str, Any]], None]:
    def change(report: dict[str, Any]) -> None:
        report[key] = value

    return change


HIDDEN = {
    "Class": "os-pkgs",
    "ExperimentalModifiedFindings": [
        {"Status": "ignored", "Finding": {"VulnerabilityID": "CVE-1", "Severity": "HIGH"}}
    ],
}
BAD_TRIVY: dict[str, tuple[Callable[[dict[str, Any]], None], str]] = {
    "critical": (_set("Results", [vulnerabilities("LOW", "CRITICAL")]), "CVE-2026-1 CRITICAL"),
    "high": (_set("Results", [vulnerabilities("HIGH")]), "HIGH"),
    "lower case": (_set("Results", [vulnerabilities("high")]), "HIGH"),
    "unknown": (_set("Results", [vulnerabilities("UNKNOWN")]), "UNKNOWN"),
    "no severity": (_set("Results", [vulnerabilities("")]), "UNKNOWN"),
    "invented severity": (_set("Results", [vulnerabilities("FINE")]), "FINE"),
    "hidden": (_set("Results", [HIDDEN]), "hidden by an ignore file"),
    "secret": (
        _set("Results", [{"Class": "os-pkgs", "Secrets": [{"RuleID": "k", "Severity": "HIGH"}]}]),
        "k HIGH",
    ),
    "nothing scanned": (_set("Results", []), "unknown"),
    "null results": (_set("Results", None), "unknown"),
    "secrets only": (_set("Results", [{"Class": "secret"}]), "unknown"),
    "results no list": (_set("Results", {}), "no list"),
    "another image": (_set("ArtifactName", f"x@{FOREIGN}"), "different images"),
    "no image": (
        lambda one: one.update(ArtifactName="analytics:2.4.0", Metadata={}),
        "names no image digest",
    ),
    "foreign": (lambda one: one.update(ArtifactName=f"x@{FOREIGN}", Metadata={}), "another image"),
    "no date": (lambda one: one.pop("CreatedAt"), "CreatedAt is missing"),
    "stale": (_set("CreatedAt", ago(days=9)), "stale"),
}


@pytest.mark.parametrize("name", BAD_TRIVY)
def test_trivy_reports_that_prove_nothing_fail(name: str) -> None:
    change, because = BAD_TRIVY[name]
    result = case(trivy=_trivy_set(change)).gate("trivy")
    assert not result.passed
    assert because in result.because


def test_every_image_needs_its_scan() -> None:
    result = case(trivy=[trivy(TWO[0])]).gate("trivy")
    assert "nothing covers the image of analytics" in result.because


NESTED = snyk(applications=[snyk(applications=[snyk("critical")])])
BAD_SNYK: dict[str, tuple[Any, str]] = {
    "critical": (wrapped("snyk", snyk("low", "critical")), "SNYK-1 CRITICAL"),
    "high twice": (
        wrapped("snyk", snyk() | {"vulnerabilities": [{"id": "A", "severity": "high"}] * 2}),
        "1 findings",
    ),
    "in an application": (wrapped("snyk", NESTED), "CRITICAL"),
    "in a second project": (wrapped("snyk", [snyk(), snyk("high")]), "HIGH"),
    "hidden": (
        wrapped("snyk", snyk(filtered={"ignore": [{"id": "B", "severity": "critical"}]})),
        "hidden by a policy",
    ),
    "no severity": (wrapped("snyk", snyk("")), "UNKNOWN"),
    "scan failed": (wrapped("snyk", {"ok": False, "error": "no such image"}), "scan itself failed"),
    "nothing said": (wrapped("snyk", {"ok": True}), "unknown"),
    "nothing scanned": (wrapped("snyk", []), "nothing was scanned"),
    "not ok without reason": (wrapped("snyk", snyk(ok=False)), "lists nothing"),
    "bare": (snyk(), "envelope"),
    "another kind": (wrapped("k6", snyk()), "envelope"),
    "a key more": (wrapped("snyk", snyk(), waived=True), "envelope"),
    "an image short": (wrapped("snyk", snyk(), subject_digests=[digest(TWO[0])]), "analytics"),
    "no image": (wrapped("snyk", snyk(), subject_digests=[]), "nothing covers"),
    "stale": (wrapped("snyk", snyk(), produced_at=ago(days=8)), "stale"),
    "no zone": (wrapped("snyk", snyk(), produced_at="2026-11-23T10:00:00"), "no time zone"),
}


@pytest.mark.parametrize("name", BAD_SNYK)
def test_snyk_reports_that_prove_nothing_fail(name: str) -> None:
    content, because = BAD_SNYK[name]
    result = case(snyk=[content]).gate("snyk")
    assert not result.passed
    assert because in result.because


@pytest.mark.parametrize("ok", [True, False])
def test_k6_flags_are_never_believed(ok: bool) -> None:
    assert case(performance=[wrapped("k6", k6(212, ok=ok))]).gate("performance").passed
    assert not case(performance=[wrapped("k6", k6(512, ok=ok))]).gate("performance").passed
    assert case(performance=[wrapped("k6", legacy_k6(212, flag=ok))]).gate("performance").passed
    slow = case(performance=[wrapped("k6", legacy_k6(512, flag=ok))]).gate("performance")
    assert "p(95)<500 is not so, it was 512" in slow.because


def test_a_summary_without_thresholds_is_judged_by_the_plans_limits() -> None:
    assert case(performance=[wrapped("k6", new_k6(499))]).gate("performance").passed
    slow = case(performance=[wrapped("k6", new_k6(501))]).gate("performance")
    assert "p(95)<500" in slow.because


def _k6_with(threshold: str) -> dict[str, Any]:
    report = k6()
    report["metrics"]["http_req_duration"]["thresholds"] = {threshold: {"ok": True}}
    return report


BAD_K6: dict[str, tuple[Any, str]] = {
    "failures": (k6(failed=0.02), "rate<0.001"),
    "no metric": ({"metrics": {}}, "no metric"),
    "no values": ({"metrics": {"http_reqs": {"values": {}}}}, "cannot be judged"),
    "unknown aggregate": (_k6_with("p(99)<800"), "has no p(99)"),
    "unreadable": (_k6_with("p(95) is fine"), "cannot be read"),
    "text": (k6() | {"metrics": {"http_req_duration": {"p(95)": "1"}}}, "cannot be judged"),
    "no request": (
        {"metrics": k6()["metrics"] | {"http_reqs": {"values": {"count": 0}}}},
        "no request",
    ),
    "no object": (["fine"], "no object"),
}


@pytest.mark.parametrize("name", BAD_K6)
def test_performance_tests_that_prove_nothing_fail(name: str) -> None:
    report, because = BAD_K6[name]
    result = case(performance=[wrapped("k6", report)]).gate("performance")
    assert not result.passed
    assert because in result.because


BAD_STAGING: dict[str, tuple[dict[str, Any], str]] = {
    "too short": (staging(since=ago(hours=24)), "ran for 23h, less than 1d"),
    "backwards": (staging(since=ago(hours=0)), "ran for 0ms"),
    "another image": (staging(images={TWO[0]: digest(TWO[0]), TWO[1]: FOREIGN}), "another image"),
    "a service short": (staging(images={TWO[0]: digest(TWO[0])}), "nothing covers"),
    "elsewhere": (staging(environment="qa"), "about qa"),
    "stale": (staging(since=ago(days=9), until=ago(days=7)), "stale"),
    "future": (staging(until="2026-11-25T00:00:00Z"), "future"),
    "a key more": (staging(waived=True), "waived"),
    "no zone": (staging(since="2026-11-20T00:00:00"), "since"),
}


@pytest.mark.parametrize("name", BAD_STAGING)
def test_staging_records_that_prove_nothing_fail(name: str) -> None:
    record, because = BAD_STAGING[name]
    result = case(staging=record).gate("staging")
    assert not result.passed
    assert because in result.because


@pytest.mark.parametrize("gate", ["documentation", "release_notes"])
@pytest.mark.parametrize(
    ("content", "because"),
    [
        (b"", "front matter"),
        (b"Everything is new.", "front matter"),
        (page(body="  "), "no text"),
        (page(version="2.3.0"), "about release 2.3.0"),
        (page(date="soon"), "not a time"),
        (page(date="2026-01-01"), "stale"),
        (b"---\nrelease: 2.4.0\n---\nnew\n", "no `date:`"),
        (b"\xff\xfe\x00", "UTF-8"),
    ],
)
def test_texts_that_prove_nothing_fail(gate: str, content: bytes, because: str) -> None:
    result = case(**{gate: content}).gate(gate)
    assert not result.passed
    assert because in result.because


@pytest.mark.parametrize(
    ("changes", "because"),
    [
        ({"rollback_document": b" \n"}, "empty"),
        ({"rollback_document": b"# Another plan\n\nHope for the best.\n"}, "another version"),
        ({"rollback_test": rollback_test(outcome="failed")}, "failed"),
        ({"rollback_test": rollback_test(tested_at=ago(days=200))}, "stale"),
        ({"rollback_test": {"outcome": "passed"}}, "kind"),
    ],
)
def test_rollback_plans_that_prove_nothing_fail(changes: dict[str, Any], because: str) -> None:
    result = case(**changes).gate("rollback_plan")
    assert not result.passed
    assert because in result.because


@pytest.mark.parametrize(
    ("given", "passed"),
    [
        ({"number": "CHG-7"}, True),
        ({"not_required": "standard change, pre-approved"}, True),
        ({"number": "TBD"}, False),
        ({"number": "-"}, False),
        ({"not_required": "[reason]"}, False),
    ],
)
def test_change_requests(given: dict[str, str], passed: bool) -> None:
    assert case(change_request=given).gate("change_request").passed is passed


@pytest.mark.parametrize("gate", [one for one in GATES if one != "change_request"])
def test_a_missing_file_fails_its_gate(gate: str) -> None:
    made = case()
    result = made.gate(gate)
    key = (result.evidence[-1], result.sha256[-1])
    made.files[key] = replace(made.files[key], problem="does not exist")
    assert "does not exist" in made.gate(gate).because
    del made.files[key]
    assert not made.gate(gate).passed


@pytest.mark.parametrize("gate", GATES)
def test_everything_goes_stale(gate: str) -> None:
    assert not case().gate(gate, NOW + timedelta(days=200)).passed


def test_ages_and_soak_are_divided_by_time_scale() -> None:
    made = case(staging=staging(since=ago(hours=3), until=ago(hours=1)))
    assert not made.gate("staging").passed
    made.plan = made.plan.model_copy(update={"time_scale": 15.0})
    assert made.gate("staging").passed  # 2 h are more than 24 h / 15
    assert not made.gate("snyk", NOW + timedelta(hours=12)).passed  # 7 d / 15 are 11.2 h


BAD_JSON: dict[str, tuple[bytes, str]] = {
    "no json": (b"{", "not JSON"),
    "binary": (b"\xff\xfe{}", "UTF-8"),
    "equal keys": (b'{"kind": 1, "kind": 2}', "given twice"),
    "NaN": (b'{"a": NaN}', "no number"),
    "deep": (b"[" * 100_000 + b"]" * 100_000, "deep"),
    "deep enough": (b"[" * 200 + b"]" * 200, "levels"),
    "wide": (b"[" + b"0," * 600_000 + b"0]", "values"),
    "long number": (b'{"a": ' + b"9" * 5000 + b"}", "not JSON"),
    "list": (b"[]", "no object"),
    "null": (b"null", "no object"),
}


@pytest.mark.parametrize("name", BAD_JSON)
@pytest.mark.parametrize("gate", ["trivy", "snyk", "performance"])
def test_json_that_is_hostile_fails_the_gate(gate: str, name: str) -> None:
    content, because = BAD_JSON[name]
    result = case(**{gate: [content]}).gate(gate)
    assert not result.passed
    assert because in result.because


BOMB = (
    b"""<?xml version="1.0"?><!DOCTYPE lolz [<!ENTITY a "lol">%s]><testsuite>&z;</testsuite>"""
    % (b"".join(b'<!ENTITY %c "%s">' % (98 + n, b"&%c;" % (97 + n) * 10) for n in range(20)))
)


@pytest.mark.parametrize(
    "content",
    [
        BOMB,
        b'<!DOCTYPE x [<!ENTITY y SYSTEM "file:///etc/passwd">]><testsuite>&y;</testsuite>',
        b"<testsuite>" + b"<a>" * 100_000,
        b"<testsuite>" + b"<a/>" * 600_000 + b"</testsuite>",
        b"\xff\xfe<testsuite/>",
        b'<?xml version="1.0" encoding="ebcdic-nonsense"?><testsuite/>',
    ],
)
def test_xml_that_is_hostile_fails_the_gate(content: bytes) -> None:
    assert not case(tests=[content]).gate("tests").passed
