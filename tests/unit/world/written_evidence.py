"""The evidence that the local stack writes into a folder, judged as a release's."""

import json
from datetime import UTC, datetime
from pathlib import Path

from activities.adapters.artifacts import Artifacts
from devstack.world import evidence
from slipway.evidence import EvidenceFile, judge, references
from slipway.messages.preflight import GateResult
from slipway.release import Release
from starter.loading import load_plan, load_release
from tests.unit.evidence_set import ROOT


def failed_gates(folder: Path, spoilt: str | None = None) -> list[GateResult]:
    """Write the evidence of the example release, sound or spoilt in one gate, and return the gates
    that it fails."""
    plan = load_plan(ROOT / "plans" / "teei-production.yaml")
    now = datetime.now(UTC).replace(microsecond=0)
    release, artifacts = _release(folder, spoilt, now), Artifacts(folder)
    files = {
        (file.at, file.sha256): EvidenceFile(
            file.at, file.sha256, artifacts.read(file.at, file.sha256)
        )
        for file in references(release)
    }
    return judge(plan, release, files, now).failed


def _release(folder: Path, spoilt: str | None, now: datetime) -> Release:
    example = load_release(ROOT / "plans" / "example-release.yaml")
    subject = evidence.Subject("2.4.0", dict(example.images), now)
    evidence.write(folder / "evidence", subject, spoilt)
    given = evidence.given(folder / "evidence", "artifact:evidence", example.images)
    document = example.model_dump(mode="json") | {"created_at": now.isoformat(), "evidence": given}
    return Release.model_validate_json(json.dumps(document))
