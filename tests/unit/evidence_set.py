"""A release with sound evidence in memory, for tests to spoil one thing at a time."""

import hashlib
import json
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from pathlib import Path
from typing import Any

from slipway.evidence import EvidenceFile, judge, references
from slipway.messages.preflight import GateResult
from slipway.plan import Plan
from slipway.release import PinnedFile, Release
from starter.loading import load_plan, load_release

ROOT = Path(__file__).resolve().parents[2]
NOW = datetime(2026, 11, 23, 20, 0, tzinfo=UTC)
TWO = ("api-gateway", "analytics")


@lru_cache
def plan_of_two() -> Plan:
    """Return TEEI's plan with two services."""
    data = load_plan(ROOT / "plans" / "teei-production.yaml").model_dump()
    data["services"] = [one for one in data["services"] if one["name"] in TWO]
    data["smoke"] = data["smoke"][:1]
    return Plan.model_validate(data)


def digest(service: str) -> str:
    """Return the digest that the release names for a service."""
    return "sha256:" + hashlib.sha256(service.encode()).hexdigest()


def ago(**length: float) -> str:
    """Return an instant before NOW."""
    return (NOW - timedelta(**length)).strftime("%Y-%m-%dT%H:%M:%SZ")


def junit(
    *,
    environment: str = "staging",
    images: str | None = None,
    cases: str = '<testcase name="a"/><testcase name="b"/>',
    at: str | None = None,
    counts: str = 'failures="0" errors="0"',
) -> bytes:
    """Return a JUnit file."""
    named = " ".join(digest(one) for one in TWO) if images is None else images
    return (
        f'<testsuites><testsuite name="e2e" timestamp="{at or ago(hours=2)}" {counts}><properties>'
        f'<property name="environment" value="{environment}"/>'
        f'<property name="images" value="{named}"/></properties>{cases}</testsuite></testsuites>'
    ).encode()


def trivy(service: str, **changes: Any) -> dict[str, Any]:
    """Return a Trivy report of a service."""
    name = f"registry.teei.example/{service}@{digest(service)}"
    return {
        "SchemaVersion": 2,
        "CreatedAt": "2026-11-23T12:00:00.123456789Z",
        "ArtifactName": name,
        "ArtifactType": "container_image",
        "Metadata": {"RepoDigests": [name]},
        "Results": [vulnerabilities("LOW", "MEDIUM")],
    } | changes


def vulnerabilities(*severities: str) -> dict[str, Any]:
    """Return a Trivy result with findings of these severities."""
    found = [
        {"VulnerabilityID": f"CVE-2026-{number}", "Severity": severity}
        for number, severity in enumerate(severities)
    ]
    return {"Target": "debian", "Class": "os-pkgs", "Type": "debian", "Vulnerabilities": found}


def wrapped(kind: str, report: Any, **changes: Any) -> dict[str, Any]:
    """Return an envelope about all images."""
    return {
        "kind": kind,
        "subject_digests": [digest(one) for one in TWO],
        "produced_at": ago(hours=3),
        "report": report,
    } | changes


def snyk(*severities: str, **changes: Any) -> dict[str, Any]:
    """Return a Snyk report with findings of these severities."""
    found = [
        {"id": f"SNYK-{number}", "severity": severity} for number, severity in enumerate(severities)
    ]
    return {"ok": not found, "vulnerabilities": found, "applications": []} | changes


def k6(p95: float = 212.0, failed: float = 0.0002, *, ok: bool = True) -> dict[str, Any]:
    """Return a k6 summary as handleSummary gives it."""
    return {
        "metrics": {
            "http_req_duration": {
                "type": "trend",
                "values": {"avg": 90.1, "p(95)": p95},
                "thresholds": {"p(95)<500": {"ok": ok}},
            },
            "http_req_failed": {
                "type": "rate",
                "values": {"rate": failed, "passes": 2, "fails": 9998},
                "thresholds": {"rate<0.001": {"ok": ok}},
            },
            "http_reqs": {"type": "counter", "values": {"count": 10000, "rate": 100.0}},
        }
    }


def staging(**changes: Any) -> dict[str, Any]:
    """Return a staging record."""
    return {
        "kind": "staging-record",
        "environment": "staging",
        "images": {one: digest(one) for one in TWO},
        "since": ago(hours=27),
        "until": ago(hours=1),
    } | changes


def page(version: str = "2.4.0", date: str = "2026-11-20", body: str = "What is new.") -> bytes:
    """Return a dated text."""
    return f"---\nrelease: {version}\ndate: {date}\n---\n{body}\n".encode()


PLAN_DOCUMENT = b"# Rollback plan\n\nRun `slipway rollback ID`.\n"


def rollback_test(**changes: Any) -> dict[str, Any]:
    """Return the record of the rollback plan's test."""
    return {
        "kind": "rollback-test",
        "document_sha256": hashlib.sha256(PLAN_DOCUMENT).hexdigest(),
        "environment": "staging",
        "tested_at": ago(days=20),
        "tested_by": "Ingrid",
        "outcome": "passed",
    } | changes


def sound() -> dict[str, Any]:
    """Return sound evidence, gate by gate: a content or a list of contents."""
    return {
        "tests": [junit()],
        "staging": staging(),
        "trivy": [trivy(one) for one in TWO],
        "snyk": [wrapped("snyk", snyk("low"))],
        "performance": [wrapped("k6", k6())],
        "documentation": page(),
        "release_notes": page(),
        "rollback_document": PLAN_DOCUMENT,
        "rollback_test": rollback_test(),
    }


@dataclass
class Case:
    """A release, its plan and its files."""

    plan: Plan
    release: Release
    files: dict[tuple[str, str], EvidenceFile]

    def gate(self, name: str, now: datetime = NOW) -> GateResult:
        """Return the result of one gate."""
        results = judge(self.plan, self.release, self.files, now).results
        return next(one for one in results if one.gate == name)


def case(**changes: Any) -> Case:
    """Return a case: sound evidence, with whole gates replaced by `changes`."""
    evidence = sound() | changes
    files: dict[tuple[str, str], EvidenceFile] = {}

    def keep(name: str, value: Any) -> PinnedFile:
        content = value if isinstance(value, bytes) else json.dumps(value).encode()
        pinned = PinnedFile(at=f"artifact:{name}", sha256=hashlib.sha256(content).hexdigest())
        files[pinned.at, pinned.sha256] = EvidenceFile(pinned.at, pinned.sha256, content)
        return pinned

    release = _release(evidence, keep)
    assert {(one.at, one.sha256) for one in references(release)} == set(files)
    return Case(plan_of_two(), release, files)


@lru_cache
def _example() -> Release:
    return load_release(ROOT / "plans" / "example-release.yaml")


def _release(evidence: dict[str, Any], keep: Callable[[str, Any], PinnedFile]) -> Release:
    data = _example().model_dump()
    data["images"] = {one: f"registry.teei.example/{one}:2.4.0@{digest(one)}" for one in TWO}
    data["created_at"] = NOW
    kept: dict[str, Any] = {
        name: [keep(f"{name}-{at}", one) for at, one in enumerate(value)]
        if isinstance(value, list)
        else keep(name, value)
        for name, value in evidence.items()
        if name != "change_request"
    }
    document, record = kept.pop("rollback_document"), kept.pop("rollback_test")
    kept["rollback_plan"] = {"document": document, "test_record": record}
    kept["change_request"] = evidence.get("change_request", {"number": "CHG-1"})
    return Release.model_validate(data | {"evidence": kept})
