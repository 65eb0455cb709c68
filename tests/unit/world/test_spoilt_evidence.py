"""Each spoilt piece of evidence fails its own gate and no other."""

import hashlib
import json
from datetime import UTC, datetime
from pathlib import Path

import pytest

from activities.adapters.artifacts import Artifacts
from devstack.world import evidence
from devstack.world.spoilt_evidence import SPOILT, spoil
from slipway.evidence import EvidenceFile, judge, references
from slipway.evidence.judge import GATES
from slipway.release import Release
from starter.loading import load_plan, load_release
from tests.unit.evidence_set import ROOT

_FILES = {gate: gate for gate in GATES if gate != "change_request"} | {"stale": "performance"}


@pytest.mark.parametrize("kind", _FILES)
def test_a_spoilt_piece_fails_its_own_gate_alone(kind: str, tmp_path: Path) -> None:
    plan = load_plan(ROOT / "plans" / "teei-production.yaml")
    now = datetime.now(UTC).replace(microsecond=0)
    release = _release(tmp_path, kind, now)
    artifacts = Artifacts(tmp_path)
    files = {
        (file.at, file.sha256): EvidenceFile(
            file.at, file.sha256, artifacts.read(file.at, file.sha256)
        )
        for file in references(release)
    }

    failed = judge(plan, release, files, now).failed

    assert [one.gate for one in failed] == [_FILES[kind]]
    assert ("stale" in failed[0].because) == (kind == "stale")


def test_every_gate_can_be_spoilt() -> None:
    assert set(SPOILT) == {*GATES, "stale"}


def test_an_unknown_gate_is_refused_by_name(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="trivy"):
        spoil(tmp_path, "astrology")


def _release(folder: Path, kind: str, now: datetime) -> Release:
    example = load_release(ROOT / "plans" / "example-release.yaml")
    subject = evidence.Subject("2.4.0", dict(example.images), now)
    evidence.write(folder / "evidence", subject, kind)

    def pinned(name: str) -> dict[str, str]:
        content = (folder / "evidence" / name).read_bytes()
        digest = hashlib.sha256(content).hexdigest()
        return {"at": f"artifact:evidence/{name}", "sha256": digest}

    given = {
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
    }
    document = example.model_dump(mode="json") | {"created_at": now.isoformat(), "evidence": given}
    return Release.model_validate_json(json.dumps(document))
