"""The evidence that the local stack makes up passes by the same rules as any other, and whatever
else lies in a file is judged without a crash."""

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.unit.evidence_set import TWO, case, k6, snyk, trivy, wrapped
from tests.unit.world.written_evidence import failed_gates

GATES = ("tests", "trivy", "snyk", "performance")
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner),
    max_leaves=12,
)


def test_the_evidence_of_a_demonstration_passes_every_gate(tmp_path: Path) -> None:
    assert [one.because for one in failed_gates(tmp_path)] == []


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
