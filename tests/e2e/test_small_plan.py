"""Two services on real servers: a good release, and a migration that fails."""

from pathlib import Path

import pytest

from devstack.demo import bucket, outside
from devstack.demo.cli import Cli
from devstack.demo.troubles import TROUBLES
from devstack.stack import Stack
from tests.e2e.conftest import Make
from tests.e2e.small import PATIENCE, TIME_SCALE, deploy, told, wrongly_parked

pytestmark = [pytest.mark.stack, pytest.mark.e2e]


def test_a_good_release_its_report_and_its_rollback_afterwards(
    stack: Stack, make: Make, queue: str, tmp_path: Path
) -> None:
    made = make(TIME_SCALE)
    ending = deploy(stack, made, queue, tmp_path)
    assert (ending.outcome, ending.code, ending.wrong) == ("deployed", 0, []), told(
        ending, tmp_path
    )
    assert wrongly_parked(ending) == [], told(ending, tmp_path)
    cli = Cli(stack, queue)
    identity = ending.status["id"]
    report = cli.run("report", identity, "--format", "json").json()
    lines = report["status"]["checklist"]
    assert [one["item"] for one in lines if one["state"] != "done"] == []
    assert len(lines) == 10

    for line in lines:
        key = line["evidence"][0]["key"]
        with outside_gone(stack, key):
            again = cli.run("report", identity, "--format", "json").json()
        unticked = [one["item"] for one in again["status"]["checklist"] if one["state"] != "done"]
        assert unticked == [line["item"]], key

    # Hours later somebody wants it back: from the record, in the same undo window.
    asked = ("--person", "on-call@teei.com", "--reason", "users complain", "--wait")
    back = cli.run("rollback", identity, *asked, timeout=PATIENCE)
    assert back.code == 0, back.out + back.err
    status = cli.run("status", identity, "--json").json()
    assert status["outcome"] == "rolled_back"
    assert outside.judge(stack, made, ending.before, status) == []


class outside_gone:  # noqa: N801 - reads as a statement: with outside_gone(…)
    """Hide an object behind a delete marker, as an attacker or a slip would; then show it again."""

    def __init__(self, stack: Stack, key: str) -> None:
        self.store, self.bucket, self.key = bucket.client(stack), stack.bucket, key

    def __enter__(self) -> None:
        answer = self.store.delete_object(Bucket=self.bucket, Key=self.key)
        self.marker = answer["VersionId"]

    def __exit__(self, *_: object) -> None:
        self.store.delete_object(Bucket=self.bucket, Key=self.key, VersionId=self.marker)


def test_a_failing_migration_touches_nothing(
    stack: Stack, make: Make, queue: str, tmp_path: Path
) -> None:
    made = make(TIME_SCALE)
    ending = deploy(stack, made, queue, tmp_path, pending="fails")

    assert (ending.outcome, ending.reason, ending.code) == (
        "stopped",
        "RehearsalFailed",
        6,
    ), told(ending, tmp_path)
    assert ending.wrong == [], told(ending, tmp_path)
    assert ending.status["undo"] == []


def test_a_migration_that_fails_after_its_rehearsal_leaves_nothing_changed(
    stack: Stack, make: Make, queue: str, tmp_path: Path
) -> None:
    made = make(5.0)  # the backup must not grow too old before the migration
    fault = "migration:fails-after-rehearsal"
    ending = deploy(
        stack, made, queue, tmp_path, pending="fails-after-rehearsal", trouble=TROUBLES[fault]
    )

    assert (ending.outcome, ending.reason, ending.code) == (
        "rolled_back",
        "MigrationFailed",
        3,
    ), told(ending, tmp_path)
    assert ending.wrong == [], told(ending, tmp_path)
    assert ending.status["lost_writes"] is None
    assert any("twice alike" in one for one in ending.status["rehearsal"])
