"""From files to gates: the artifact folder, and the activity that reads evidence from it."""

import hashlib
import os
from pathlib import Path

import pytest
from temporalio.testing import ActivityEnvironment

from activities.adapters.artifacts import Artifacts
from activities.gates import Gates
from slipway.errors import BadInput
from slipway.messages.preflight import Preflight
from tests.unit.evidence_set import Case, case


def sha(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


@pytest.fixture
def root(tmp_path: Path) -> Path:
    folder = tmp_path / "artifacts"
    (folder / "evidence").mkdir(parents=True)
    (folder / "evidence" / "a.json").write_bytes(b"{}")
    (tmp_path / "secret").write_bytes(b"{}")
    return folder


def test_a_pinned_file_is_read(root: Path) -> None:
    assert Artifacts(root).read("artifact:evidence/a.json", sha(b"{}")) == b"{}"
    assert Artifacts(root).path("artifact:evidence") == root / "evidence"


@pytest.mark.parametrize(
    ("ref", "said"),
    [
        ("artifact:evidence/b.json", "does not exist"),
        ("artifact:../secret", "leads out"),
        ("artifact:evidence/../../secret", "leads out"),
        ("artifact:evidence/out", "leads out"),
        ("artifact:up/secret", "leads out"),
        ("artifact:/etc/passwd", "no artifact"),
        ("artifact:", "no artifact"),
        ("file:/etc/passwd", "no artifact"),
        ("evidence/a.json", "no artifact"),
        ("artifact:evidence", "cannot be read|regular"),
        ("artifact:pipe", "regular"),
        ("artifact:loop", "does not exist"),
        ("artifact:a\x00b", "no artifact"),
        ("artifact:evidence/a.json/b", "does not exist"),
        ("artifact:" + "x" * 5000, "does not exist"),
    ],
)
def test_nothing_else_is_read(root: Path, ref: str, said: str) -> None:
    (root / "evidence" / "out").symlink_to(root.parent / "secret")
    (root / "up").symlink_to(root.parent)
    (root / "loop").symlink_to("loop")
    os.mkfifo(root / "pipe")
    with pytest.raises(BadInput, match=said):
        Artifacts(root).read(ref, sha(b"{}"))


def test_links_inside_the_folder_are_followed(root: Path) -> None:
    """A ConfigMap is mounted so: every file is a link into a folder that is swapped as a whole."""
    (root / "..data").symlink_to("evidence")
    (root / "a.json").symlink_to("..data/a.json")
    assert Artifacts(root).read("artifact:a.json", sha(b"{}")) == b"{}"


def test_another_digest_and_a_larger_file_are_refused(root: Path) -> None:
    with pytest.raises(BadInput, match="release pins"):
        Artifacts(root).read("artifact:evidence/a.json", sha(b"[]"))
    with pytest.raises(BadInput, match="larger than 1 bytes"):
        Artifacts(root).read("artifact:evidence/a.json", sha(b"{}"), limit=1)


def test_a_missing_folder_says_which_setting_is_wrong(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="SLIPWAY_ARTIFACTS"):
        Artifacts(tmp_path / "absent").path("artifact:a")


def laid_out(made: Case, root: Path) -> Case:
    """Write a case's files below the folder."""
    for file in made.files.values():
        path = root / file.at.removeprefix("artifact:")
        path.write_bytes(file.content)
    return made


async def evaluated(made: Case, root: Path) -> dict[str, str]:
    """Return the sentences of the gates that fail, as the activity gives them."""
    request = Preflight(plan=made.plan, release=made.release, deployment="d")
    gates = Gates(Artifacts(root))
    results = await ActivityEnvironment().run(gates.evaluate, request)
    assert len(results.results) == 9
    return {one.gate: one.because for one in results.failed}


async def test_the_activity_reads_the_files_again_in_every_call(root: Path) -> None:
    """The set is dated in 2026, so only what has no age can pass by the clock of today."""
    made = laid_out(case(), root)
    before = await evaluated(made, root)
    assert all("stale" in one or "future" in one for one in before.values())
    (root / "trivy-1").write_bytes(b"{}")
    (root / "documentation").unlink()
    after = await evaluated(made, root)
    assert "release pins" in after["trivy"]
    assert "artifact:trivy-1" in after["trivy"]
    assert "does not exist" in after["documentation"]
