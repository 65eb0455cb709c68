"""The evidence that the local stack makes up passes by the same rules as any other, and whatever
else lies in a file is judged without a crash."""

import hashlib
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from activities.adapters.artifacts import Artifacts
from devstack.world import evidence
from slipway.evidence import EvidenceFile, judge, references
from slipway.release import Release
from starter.loading import load_plan, load_release
from tests.unit.evidence_set import ROOT, TWO, case, k6, snyk, trivy, wrapped

GATES = ("tests", "trivy", "snyk", "performance")
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner),
    max_leaves=12,
)


def test_the_evidence_of_a_demonstration_passes_every_gate(tmp_path: Path) -> None:
    plan = load_plan(ROOT / "plans" / "teei-production.yaml")
    example = load_release(ROOT / "plans" / "example-release.yaml")
    now = datetime.now(UTC).replace(microsecond=0)
    evidence.write(tmp_path / "evidence", evidence.Subject("2.4.0", dict(example.images), now))

    def pinned(name: str) -> dict[str, str]:
        content = (tmp_path / "evidence" / name).read_bytes()
        return {
            "at": f"artifact:evidence/{name}",
            "sha256": hashlib.sha256(content).hexdigest(),
        }

    data = example.model_dump() | {
        "created_at": now,
        "evidence": {
            "tests": [pinned("junit.xml")],
            "staging": pinned("staging.json"),
            "trivy": [pinned(f"trivy/{name}.json") for name in example.images],
            "snyk": [pinned("snyk.json")],
            "performance": [pinned("k6.json")],
            "documentation": pinned("documentation.md"),
            "release_notes": pinned("release-notes.md"),
            "rollback_plan": {
                "document": pinned("rollback-plan.md"),
                "test_record": pinned("rollback-test.json"),
            },
            "change_request": {"number": "CHG-2041"},
        },
    }
    release, folder = Release.model_validate(data), Artifacts(tmp_path)
    files = {
        (file.at, file.sha256): EvidenceFile(
            file.at, file.sha256, folder.read(file.at, file.sha256)
        )
        for file in references(release)
    }
    assert [one.because for one in judge(plan, release, files, now).failed] == []


@pytest.mark.parametrize("gate", GATES)
@given(content=st.binary(max_size=200))
@settings(deadline=None)
def test_any_bytes_are_judged_without_a_crash(gate: str, content: bytes) -> None:
    result = case(**{gate: [content]}).gate(gate)
    assert not result.passed
    assert result.because.endswith(".")


SOUND: dict[str, list[dict[str, Any]]] = {
    "trivy": [trivy(one) for one in TWO],
    "snyk": [wrapped("snyk", snyk())],
    "performance": [wrapped("k6", k6())],
}
KEYS = ["Results", "Metadata", "ArtifactName", "CreatedAt", "report", "subject_digests"]


@pytest.mark.parametrize("gate", SOUND)
@given(value=JSON, key=st.sampled_from([*KEYS, "produced_at", "vulnerabilities", "metrics"]))
@settings(deadline=None)
def test_any_value_in_a_report_is_judged_without_a_crash(gate: str, value: Any, key: str) -> None:
    first, *rest = SOUND[gate]
    for spoiled in (first | {key: value}, first | {"report": {"ok": True, key: value}}):
        assert case(**{gate: [spoiled, *rest]}).gate(gate).because.endswith(".")
