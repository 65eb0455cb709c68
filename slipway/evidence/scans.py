"""Security scans: Trivy and Snyk as JSON. No finding of severity CRITICAL or HIGH, nothing hidden,
nothing of unknown severity, and at least one list of packages that was really scanned."""

from collections import Counter
from collections.abc import Iterator
from datetime import datetime
from typing import Any

from slipway.evidence.reading import (
    NotProved,
    digests,
    envelope,
    instant,
    items,
    mapping,
    parse_json,
)

_HARMLESS = {"MEDIUM", "LOW", "NEGLIGIBLE", "NONE"}
_PACKAGES = {"os-pkgs", "lang-pkgs"}


def trivy(content: bytes) -> tuple[int, set[str], datetime]:
    """Return how many harmless findings a Trivy report holds, its images and date.

    Raises NotProved.
    """
    report = mapping(parse_json(content), "the report")
    results = [
        mapping(one, "an entry of Results") for one in items(report.get("Results"), "Results")
    ]
    if not any(one.get("Class") in _PACKAGES for one in results):
        raise NotProved(
            "it holds no result of class os-pkgs or lang-pkgs, so whether packages were scanned "
            "is unknown"
        )
    count = _judge(finding for one in results for finding in _trivy_findings(one))
    return count, _trivy_images(report), instant(report.get("CreatedAt"), "CreatedAt")


def _trivy_images(report: dict[str, Any]) -> set[str]:
    """An ArtifactName with a digest decides; RepoDigests must then not contradict it."""
    name = str(report.get("ArtifactName") or "")
    metadata = mapping(report.get("Metadata") or {}, "Metadata")
    listed = digests(items(metadata.get("RepoDigests"), "Metadata.RepoDigests"))
    named = digests([name]) if "@" in name else set()
    if named and listed and not named & listed:
        raise NotProved("ArtifactName and Metadata.RepoDigests name different images")
    if not named and not listed:
        raise NotProved("it names no image digest (ArtifactName, Metadata.RepoDigests)")
    return named or listed


def _trivy_findings(result: dict[str, Any]) -> Iterator[tuple[str, str]]:
    for kind, key in (
        ("Vulnerabilities", "VulnerabilityID"),
        ("Secrets", "RuleID"),
        ("Misconfigurations", "ID"),
    ):
        for one in items(result.get(kind), kind):
            finding = mapping(one, f"an entry of {kind}")
            if finding.get("Status") == "PASS":
                continue
            yield str(finding.get(key, "?")), str(finding.get("Severity", ""))
    for one in items(result.get("ExperimentalModifiedFindings"), "ExperimentalModifiedFindings"):
        hidden = mapping(mapping(one, "a hidden finding").get("Finding"), "a hidden finding")
        name = hidden.get("VulnerabilityID") or hidden.get("ID") or hidden.get("RuleID") or "?"
        yield f"{name} (hidden by an ignore file)", str(hidden.get("Severity", ""))


def snyk(content: bytes) -> tuple[int, set[str], datetime]:
    """Return how many harmless findings a Snyk report in its envelope holds, its images and date.

    Raises NotProved.
    """
    report, images, produced = envelope(content, "snyk")
    projects = report if isinstance(report, list) else [report]
    if not projects:
        raise NotProved("the report is empty, so nothing was scanned")
    count = _judge(_distinct(one for project in projects for one in _snyk_findings(project)))
    return count, images, produced


def _snyk_findings(project: Any, depth: int = 0) -> Iterator[tuple[str, str]]:
    """Findings of a project and of the applications found inside its image."""
    report = mapping(project, "a project")
    if "error" in report:
        raise NotProved(f"the scan itself failed: {str(report['error'])[:120]}")
    if "vulnerabilities" not in report or depth > 10:
        raise NotProved("a project holds no list `vulnerabilities`, so what was found is unknown")
    found = list(_snyk_entries(report["vulnerabilities"], ""))
    if report.get("ok") is not True and not found:
        raise NotProved("it is not ok, although it lists nothing")
    yield from found
    hidden = mapping(report.get("filtered") or {}, "filtered")
    for kind in ("ignore", "patch"):
        yield from _snyk_entries(hidden.get(kind), " (hidden by a policy)")
    for application in items(report.get("applications"), "applications"):
        yield from _snyk_findings(application, depth + 1)


def _snyk_entries(value: Any, note: str) -> Iterator[tuple[str, str]]:
    for one in items(value, "vulnerabilities"):
        finding = mapping(one, "a vulnerability")
        yield f"{finding.get('id', '?')}{note}", str(finding.get("severity", ""))


def _distinct(findings: Iterator[tuple[str, str]]) -> Iterator[tuple[str, str]]:
    """Snyk lists a vulnerability once for every path that leads to it."""
    return iter(dict.fromkeys(findings))


def _judge(findings: Iterator[tuple[str, str]]) -> int:
    grave: list[str] = []
    counts: Counter[str] = Counter()
    for name, severity in findings:
        level = severity.upper() or "UNKNOWN"
        counts[level] += 1
        if level not in _HARMLESS:
            grave.append(f"{name[:60]} {level[:12]}")
    if grave:
        raise NotProved(f"{len(grave)} findings CRITICAL, HIGH or unknown: {', '.join(grave[:3])}")
    return sum(counts.values())
