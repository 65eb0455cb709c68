"""Evidence of a healthy staging run, made up and dated now: its releases are marked demo."""

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

from devstack.world import layout
from devstack.world.spoilt_evidence import spoil


@dataclass(frozen=True)
class Subject:
    """What the evidence is about."""

    version: str
    images: Mapping[str, str]
    """Service to image reference with digest."""
    at: datetime

    @property
    def digests(self) -> dict[str, str]:
        """Service to `sha256:…`."""
        return {name: reference.partition("@")[2] for name, reference in self.images.items()}

    def ago(self, **length: float) -> str:
        """Return an instant before `at` as text."""
        return (self.at - timedelta(**length)).strftime("%Y-%m-%dT%H:%M:%SZ")


def write(folder: Path, subject: Subject, spoilt: str | None = None) -> None:
    """Write all evidence files of a release below `folder`.

    `spoilt` names the one piece that fails its gate (see `spoilt_evidence.SPOILT`).
    """
    folder.mkdir(parents=True, exist_ok=True)
    _junit(folder / "junit.xml", subject)
    layout.write_json(folder / "staging.json", _staging(subject))
    for service, reference in subject.images.items():
        layout.write_json(folder / "trivy" / f"{service}.json", _trivy(reference, subject))
    layout.write_json(folder / "snyk.json", _envelope("snyk", subject, _snyk()))
    layout.write_json(folder / "k6.json", _envelope("k6", subject, _k6()))
    _text(
        folder / "documentation.md", subject, "Documentation", "The service catalogue is current."
    )
    _text(folder / "release-notes.md", subject, "Release notes", "Reports know their language.")
    plan = folder / "rollback-plan.md"
    _text(plan, subject, "Rollback plan", "`slipway rollback` brings back services and data.")
    layout.write_json(folder / "rollback-test.json", _rollback_test(plan, subject))
    if spoilt is not None:
        spoil(folder, spoilt)


def given(folder: Path, at: str, services: Iterable[str]) -> dict[str, Any]:
    """Return what a release says of the files that `write` has written below `folder`; `at` is the
    folder as the release refers to it."""

    def pinned(name: str) -> dict[str, str]:
        content = (folder / name).read_bytes()
        return {"at": f"{at}/{name}", "sha256": hashlib.sha256(content).hexdigest()}

    return {
        "tests": [pinned("junit.xml")],
        "staging": pinned("staging.json"),
        "trivy": [pinned(f"trivy/{name}.json") for name in services],
        "snyk": [pinned("snyk.json")],
        "performance": [pinned("k6.json")],
        "documentation": pinned("documentation.md"),
        "release_notes": pinned("release-notes.md"),
        "rollback_plan": {
            "document": pinned("rollback-plan.md"),
            "test_record": pinned("rollback-test.json"),
        },
        "change_request": {"number": "CHG-2041"},
    }


def _junit(path: Path, subject: Subject) -> None:
    cases = [(service, case) for service in subject.images for case in ("health", "contract")]
    suite = ElementTree.Element(
        "testsuite",
        name="staging",
        tests=str(len(cases)),
        failures="0",
        errors="0",
        skipped="0",
        time="41.7",
        timestamp=subject.ago(hours=2),
    )
    properties = ElementTree.SubElement(suite, "properties")
    named = {"environment": "staging", "images": ",".join(subject.digests.values())}
    for name, value in named.items():
        ElementTree.SubElement(properties, "property", name=name, value=value)
    for service, case in cases:
        ElementTree.SubElement(
            suite, "testcase", classname=f"staging.{service}", name=case, time="1.9"
        )
    root = ElementTree.Element("testsuites")
    root.append(suite)
    layout.write_text(path, ElementTree.tostring(root, encoding="unicode") + "\n")


def _staging(subject: Subject) -> dict[str, Any]:
    return {
        "kind": "staging-record",
        "environment": "staging",
        "images": subject.digests,
        "since": subject.ago(hours=26),
        "until": subject.ago(seconds=30),
    }


def _trivy(reference: str, subject: Subject) -> dict[str, Any]:
    name, _, digest = reference.partition("@")
    low = {
        "VulnerabilityID": "CVE-2024-0001",
        "PkgName": "example",
        "InstalledVersion": "1.0",
        "Severity": "LOW",
    }
    return {
        "SchemaVersion": 2,
        "CreatedAt": subject.ago(hours=1),
        "ArtifactName": reference,
        "ArtifactType": "container_image",
        "Metadata": {"RepoTags": [name], "RepoDigests": [f"{name.rpartition(':')[0]}@{digest}"]},
        "Results": [
            {"Target": "debian", "Class": "os-pkgs", "Type": "debian", "Vulnerabilities": [low]},
            {"Target": "Node.js", "Class": "lang-pkgs", "Type": "node-pkg"},
        ],
    }


def _envelope(kind: str, subject: Subject, report: dict[str, Any]) -> dict[str, Any]:
    return {
        "kind": kind,
        "subject_digests": list(subject.digests.values()),
        "produced_at": subject.ago(hours=1),
        "report": report,
    }


def _snyk() -> dict[str, Any]:
    return {
        "ok": True,
        "vulnerabilities": [],
        "dependencyCount": 412,
        "summary": "No known vulnerabilities",
        "projectName": "teei-platform",
    }


def _k6() -> dict[str, Any]:
    return {
        "metrics": {
            "http_req_duration": {
                "type": "trend",
                "contains": "time",
                "values": {"avg": 71.2, "min": 9.1, "med": 56.0, "max": 431.0, "p(90)": 121.0,
                           "p(95)": 151.3},
                "thresholds": {"p(95)<500": {"ok": True}},
            },
            "http_req_failed": {
                "type": "rate",
                "contains": "default",
                "values": {"rate": 0.0002, "passes": 12, "fails": 59988},
                "thresholds": {"rate<0.001": {"ok": True}},
            },
            "http_reqs": {
                "type": "counter",
                "contains": "default",
                "values": {"count": 60000, "rate": 200.0},
            },
        },
    }  # fmt: skip


def _rollback_test(plan: Path, subject: Subject) -> dict[str, Any]:
    return {
        "kind": "rollback-test",
        "document_sha256": hashlib.sha256(plan.read_bytes()).hexdigest(),
        "environment": "staging",
        "tested_at": subject.ago(hours=20),
        "tested_by": "engineer@teei.com",
        "outcome": "passed",
    }


def _text(path: Path, subject: Subject, title: str, sentence: str) -> None:
    head = f"---\nrelease: {json.dumps(subject.version)}\ndate: {subject.at:%Y-%m-%d}\n---\n"
    layout.write_text(path, f"{head}\n# {title} of {subject.version}\n\n{sentence}\n")
