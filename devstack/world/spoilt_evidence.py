"""Evidence that fails one gate: a small change to files that are otherwise sound."""

import json
from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

from devstack.world import layout

_STALE = timedelta(days=8)
"""A day more than the plan allows."""
_OLD_RELEASE = "0.9.0"


def spoil(folder: Path, kind: str) -> None:
    """Change the evidence below `folder` so that the gate `kind` fails, or one file is `stale`.

    A change request is no file: the release says it. Raises ValueError for an unknown kind.
    """
    if kind not in SPOILT:
        raise ValueError(f"no gate {kind!r}; there are {', '.join(SPOILT)}")
    SPOILT[kind](folder)


def _tests(folder: Path) -> None:
    path = folder / "junit.xml"
    root = ElementTree.fromstring(path.read_text())  # noqa: S314 - written by this program
    for suite in root.iter("testsuite"):
        suite.set("failures", "1")
    case = next(root.iter("testcase"))
    ElementTree.SubElement(case, "failure", message="expected UP, found DOWN")
    layout.write_text(path, ElementTree.tostring(root, encoding="unicode") + "\n")


def _staging(folder: Path) -> None:
    """Ten minutes of soak."""

    def change(record: dict[str, Any]) -> None:
        record["since"] = _earlier(record["until"], timedelta(minutes=10))

    _change(folder / "staging.json", change)


def _trivy(folder: Path) -> None:
    def change(report: dict[str, Any]) -> None:
        report["Results"][0]["Vulnerabilities"][0]["Severity"] = "CRITICAL"

    _change(min((folder / "trivy").glob("*.json")), change)


def _snyk(folder: Path) -> None:
    found = {
        "id": "SNYK-JS-EXAMPLE-1",
        "title": "Prototype Pollution",
        "severity": "critical",
        "packageName": "example",
        "version": "1.0.0",
    }

    def change(envelope: dict[str, Any]) -> None:
        envelope["report"] |= {"ok": False, "vulnerabilities": [found], "uniqueCount": 1}

    _change(folder / "snyk.json", change)


def _performance(folder: Path) -> None:
    def change(envelope: dict[str, Any]) -> None:
        duration = envelope["report"]["metrics"]["http_req_duration"]
        duration["values"] |= {"p(95)": 912.4, "max": 3000.0}
        duration["thresholds"]["p(95)<500"]["ok"] = False

    _change(folder / "k6.json", change)


def _text(name: str) -> Callable[[Path], None]:
    """A text that was written for an earlier release."""

    def spoil_text(folder: Path) -> None:
        path = folder / name
        head, line, rest = path.read_text().partition("release: ")
        layout.write_text(path, f'{head}{line}"{_OLD_RELEASE}"\n{rest.partition(chr(10))[2]}')

    return spoil_text


def _rollback_plan(folder: Path) -> None:
    _change(folder / "rollback-test.json", lambda record: record.update(outcome="failed"))


def _stale(folder: Path) -> None:
    def change(envelope: dict[str, Any]) -> None:
        envelope["produced_at"] = _earlier(envelope["produced_at"], _STALE)

    _change(folder / "k6.json", change)


def _change(path: Path, change: Callable[[dict[str, Any]], None]) -> None:
    document: dict[str, Any] = json.loads(path.read_text())
    change(document)
    layout.write_json(path, document)


def _earlier(moment: str, length: timedelta) -> str:
    return (datetime.fromisoformat(moment) - length).strftime("%Y-%m-%dT%H:%M:%SZ")


SPOILT: dict[str, Callable[[Path], None]] = {
    "tests": _tests,
    "staging": _staging,
    "trivy": _trivy,
    "snyk": _snyk,
    "performance": _performance,
    "documentation": _text("documentation.md"),
    "release_notes": _text("release-notes.md"),
    "rollback_plan": _rollback_plan,
    "change_request": lambda _: None,
    "stale": _stale,
}
"""What `gate:<kind>` does, by the gate's name."""
