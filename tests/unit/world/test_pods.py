"""What a pod writes follows from what becomes of it."""

from pathlib import Path

import pytest

from devstack.world.catalog import BY_NAME
from devstack.world.faults import FAULTS
from devstack.world.images import image
from devstack.world.services.podlogs import PodLog
from devstack.world.services.pods import Pod


def _pod(folder: Path, fault: str) -> Pod:
    manifest = {
        "metadata": {"name": f"buddy-{fault}", "uid": "1", "labels": {}},
        "spec": {"containers": [{"name": "app", "image": image("buddy", "1.1.0", fault)}]},
        "status": {"conditions": [{"type": "Ready", "status": "False"}]},
    }
    pod = Pod(manifest, BY_NAME["buddy"], FAULTS[fault], PodLog(folder / "pod.log"))
    pod.begin()
    pod.see(manifest)
    pod.speak(100.0, 15.0)
    return pod


@pytest.mark.parametrize(
    ("fault", "lines"), [("imagepull", 0), ("errorlogs", 1), ("neverready", 2), ("crashloop", 2)]
)
def test_a_pod_that_is_not_ready_says_what_its_fate_lets_it_say(
    tmp_path: Path, fault: str, lines: int
) -> None:
    pod = _pod(tmp_path, fault)
    pod.log.close()
    assert len(pod.log.path.read_text().splitlines()) == lines
